//! The docker command line, as far as the chaos test needs it.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

/// The longest that one command may take: stopping a container includes its grace period.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Runs a program to its end and returns what it printed.
pub(super) async fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let shown = format!("{program} {}", args.join(" "));
    let run = Command::new(program).args(args).kill_on_drop(true).output();
    let done = tokio::time::timeout(TIMEOUT, run).await.with_context(|| format!("{shown} does not end"))?;
    let done = done.with_context(|| format!("cannot run {shown}"))?;
    if !done.status.success() {
        bail!("{shown}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Runs a docker command.
pub(super) async fn docker(args: &[&str]) -> anyhow::Result<String> {
    output("docker", args).await
}

/// One container of the composition.
#[derive(Debug, Clone)]
pub(super) struct Container {
    /// The name of its service, which is its name on the network, too.
    pub(super) service: String,
    id: String,
}

impl Container {
    /// Finds the container of a service of a compose project.
    pub(super) async fn find(project: &str, service: &str) -> anyhow::Result<Self> {
        let project = format!("label=com.docker.compose.project={project}");
        let label = format!("label=com.docker.compose.service={service}");
        let ids = docker(&["ps", "-aq", "-f", &project, "-f", &label]).await?;
        let id = ids.lines().next().with_context(|| format!("there is no container of the service {service}"))?;
        Ok(Self { service: service.to_owned(), id: id.to_owned() })
    }

    /// A container that is not part of compose.yaml.
    pub(super) fn known(service: &str, id: &str) -> Self {
        Self { service: service.to_owned(), id: id.to_owned() }
    }

    /// A field of what docker knows of it.
    pub(super) async fn inspect(&self, format: &str) -> anyhow::Result<String> {
        docker(&["inspect", "-f", format, &self.id]).await
    }

    /// Runs a program in it.
    pub(super) async fn exec(&self, args: &[&str]) -> anyhow::Result<String> {
        let args: Vec<_> = ["exec", &self.id].into_iter().chain(args.iter().copied()).collect();
        docker(&args).await
    }

    /// A command whose last argument is the container.
    pub(super) async fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        let args: Vec<_> = args.iter().copied().chain([self.id.as_str()]).collect();
        docker(&args).await.map(drop)
    }

    /// Its present address; another one perhaps after it was started or connected again.
    pub(super) async fn ip(&self) -> anyhow::Result<Ipv4Addr> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let addresses = self.inspect(format).await?;
        let first = addresses.split_whitespace().next().unwrap_or_default();
        first.parse().with_context(|| format!("{} has no address", self.service))
    }

    /// Whether it runs and its healthcheck, if it has one, is content.
    pub(super) async fn is_healthy(&self) -> bool {
        let format = "{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}";
        self.inspect(format).await.is_ok_and(|state| state == "true healthy")
    }

    /// Runs iptables in its network namespace.
    pub(super) async fn iptables(&self, args: &[&str]) -> anyhow::Result<()> {
        let pid = self.inspect("{{.State.Pid}}").await?;
        ensure!(pid != "0", "{} does not run", self.service);
        let all: Vec<_> = ["-t", &pid, "-n", "iptables", "-w", "5"].into_iter().chain(args.iter().copied()).collect();
        output("nsenter", &all).await.map(drop)
    }
}
