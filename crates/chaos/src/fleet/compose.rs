//! A fleet of containers: those of compose.yaml, which run already.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use triton_api::secret::ClusterSecret;
use triton_testkit::{Cut, EtcdGateway, Proxy};

use super::{
    Fleet, Site, StorageAddress,
    docker::{Container, docker},
};
use crate::harm::{Harm, Part, Parts};

const WEB_PORT: u16 = 8080;
const STORAGE_PORT: u16 = 8090;
const ETCD_PORT: u16 = 2379;
const SECRET_FILE: &str = "/run/tritontube/cluster.secret";
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a spare node may take to start.
const SPARE_DEADLINE: Duration = Duration::from_secs(60);

/// The containers of one compose project, and a spare storage node, `PROJECT-chaos-storage-5`, which stays.
#[derive(Debug)]
pub struct Compose {
    network: String,
    webs: Vec<Reached>,
    storage: Vec<Reached>,
    workers: Vec<Container>,
    etcd: Vec<Container>,
    secret: ClusterSecret,
    replicas: u8,
    gateway: EtcdGateway,
    http: reqwest::Client,
}

/// A container behind a proxy of this process, for its own address may change.
#[derive(Debug)]
struct Reached {
    container: Container,
    port: u16,
    proxy: Proxy,
}

impl Reached {
    async fn new(container: Container, port: u16) -> anyhow::Result<Self> {
        let proxy = Proxy::start(SocketAddr::from((container.ip().await?, port))).await;
        Ok(Self { container, port, proxy })
    }

    async fn find_again(&self) -> anyhow::Result<()> {
        self.proxy.redirect(SocketAddr::from((self.container.ip().await?, self.port)));
        Ok(())
    }

    fn origin(&self) -> String {
        format!("http://{}", self.proxy.addr)
    }
}

impl Compose {
    /// Finds the containers of a project that is up, and starts a spare storage node on its network.
    pub async fn find(project: &str, replicas: u8) -> anyhow::Result<Self> {
        let network = format!("{project}_cluster");
        let (mut webs, mut storage, mut etcd) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=2 {
            webs.push(Reached::new(Container::find(project, &format!("web-{number}")).await?, WEB_PORT).await?);
        }
        for number in 1..=4 {
            let container = Container::find(project, &format!("storage-{number}")).await?;
            storage.push(Reached::new(container, STORAGE_PORT).await?);
        }
        for number in 1..=3 {
            etcd.push(Container::find(project, &format!("etcd-{number}")).await?);
        }
        let workers = vec![Container::find(project, "worker-1").await?];
        let node = Container::find(project, "storage-1").await?;
        let secret = node.exec(&["cat", SECRET_FILE]).await.context("the cluster secret")?.parse()?;
        let gateway = EtcdGateway::new();
        let http = reqwest::Client::builder().no_proxy().timeout(LOOK_TIMEOUT).build()?;
        let mut fleet = Self { network, webs, storage, workers, etcd, secret, replicas, gateway, http };
        let spare = fleet.start_spare(project).await.context("the spare storage node")?;
        fleet.storage.push(spare);
        Ok(fleet)
    }

    /// `storage-5`, from the image of the others.
    async fn start_spare(&self, project: &str) -> anyhow::Result<Reached> {
        let name = format!("{project}-chaos-storage-5");
        // Where an earlier run left it, it may hold content by now.
        if docker(&["start", &name]).await.is_err() {
            self.create_spare(project, &name).await?;
        }
        let spare = Reached::new(Container::known("storage-5", &name), STORAGE_PORT).await?;
        let began = std::time::Instant::now();
        while !self.answers(&format!("{}/healthz", spare.origin())).await {
            anyhow::ensure!(began.elapsed() < SPARE_DEADLINE, "it does not answer");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(spare)
    }

    async fn create_spare(&self, project: &str, name: &str) -> anyhow::Result<()> {
        let image = Container::find(project, "storage-1").await?.inspect("{{.Config.Image}}").await?;
        let secret = format!("{project}_secret:/run/tritontube:ro");
        let (data, file) = (format!("{name}:/var/lib/tritontube"), format!("TRITON_CLUSTER_SECRET_FILE={SECRET_FILE}"));
        let args = ["run", "-d", "--name", name, "--network", &self.network, "--network-alias", "storage-5"];
        let rest = ["-v", &secret, "-v", &data, "-e", &file, "--cap-drop", "ALL", "--read-only", &image];
        docker(&[args.as_slice(), &rest].concat()).await.map(drop)
    }

    fn container(&self, part: Part) -> anyhow::Result<&Container> {
        let found = match part {
            Part::Storage(number) => self.storage.get(number).map(|reached| &reached.container),
            Part::Web(number) => self.webs.get(number).map(|reached| &reached.container),
            Part::Worker(number) => self.workers.get(number),
            Part::Etcd(number) => self.etcd.get(number),
        };
        found.with_context(|| format!("there is no {part}"))
    }

    /// Nothing goes in or out any more between one container and some others.
    async fn cut(&self, part: Part, from: &[&Container], cut: Cut) -> anyhow::Result<()> {
        let container = self.container(part)?;
        for other in from {
            let ip = other.ip().await?.to_string();
            let rules: &[&[&str]] = match cut {
                Cut::Swallow => {
                    &[&["-I", "OUTPUT", "-d", &ip, "-j", "DROP"], &["-I", "INPUT", "-s", &ip, "-j", "DROP"]]
                }
                Cut::Reject => &[
                    &["-I", "OUTPUT", "-p", "tcp", "-d", &ip, "-j", "REJECT", "--reject-with", "tcp-reset"],
                    &["-I", "INPUT", "-p", "tcp", "-s", &ip, "-j", "REJECT", "--reject-with", "tcp-reset"],
                ],
            };
            for rule in rules {
                container.iptables(rule).await?;
            }
        }
        Ok(())
    }

    /// Takes all rules of this test away; docker's own are in another table.
    async fn mend(&self, part: Part) -> anyhow::Result<()> {
        self.container(part)?.iptables(&["-F"]).await
    }

    async fn connect(&self, part: Part) -> anyhow::Result<()> {
        let container = self.container(part)?;
        // The name is not given back by itself.
        container.run(&["network", "connect", "--alias", &container.service, &self.network]).await
    }

    /// Addresses may have changed with what was healed.
    async fn find_again(&self) -> anyhow::Result<()> {
        for reached in self.webs.iter().chain(&self.storage) {
            reached.find_again().await?;
        }
        Ok(())
    }

    async fn answers(&self, url: &str) -> bool {
        self.http.get(url).send().await.is_ok_and(|response| response.status().is_success())
    }

    async fn etcd_endpoint(&self, member: usize) -> Option<String> {
        Some(format!("{}:{ETCD_PORT}", self.etcd.get(member)?.ip().await.ok()?))
    }

    async fn is_part_well(&self, part: Part) -> bool {
        match part {
            Part::Web(number) => match self.webs.get(number) {
                Some(web) => self.answers(&format!("{}/readyz", web.origin())).await,
                None => false,
            },
            Part::Storage(number) => match self.storage.get(number) {
                Some(node) => self.answers(&format!("{}/healthz", node.origin())).await,
                None => false,
            },
            Part::Worker(number) => match self.workers.get(number) {
                Some(worker) => worker.is_healthy().await,
                None => false,
            },
            Part::Etcd(number) => match self.etcd_endpoint(number).await {
                Some(endpoint) => self.gateway.takes_writes(&endpoint).await,
                None => false,
            },
        }
    }

    fn etcd_peers(&self, member: usize) -> Vec<&Container> {
        self.etcd.iter().enumerate().filter(|(number, _)| *number != member).map(|(_, peer)| peer).collect()
    }
}

impl Fleet for Compose {
    fn parts(&self) -> Parts {
        Parts { storage: self.storage.len(), webs: self.webs.len(), workers: self.workers.len(), etcd: self.etcd.len() }
    }

    fn site(&self) -> Site {
        let address = |node: &Reached| {
            let theirs = format!("http://{}:{STORAGE_PORT}", node.container.service).parse().ok()?;
            // compose.yaml says nothing of zones.
            Some(StorageAddress { theirs, ours: node.origin().parse().ok()?, zone: "default".to_owned() })
        };
        Site {
            webs: self.webs.iter().map(Reached::origin).collect(),
            storage: self.storage.iter().filter_map(address).collect(),
            replicas: self.replicas,
            secret: Some(self.secret.clone()),
        }
    }

    async fn harm(&mut self, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill(part) => self.container(part)?.run(&["kill"]).await,
            Harm::Terminate(part) => self.container(part)?.run(&["stop"]).await,
            Harm::Suspend(part) => self.container(part)?.run(&["pause"]).await,
            Harm::KillAllEtcd => {
                for member in &self.etcd {
                    member.run(&["kill"]).await?;
                }
                Ok(())
            }
            Harm::CutWebFromEtcd(web, cut) => {
                let etcd: Vec<_> = self.etcd.iter().collect();
                self.cut(Part::Web(web), &etcd, cut).await
            }
            Harm::CutWebFromStorage(web, node, cut) => {
                let node = self.container(Part::Storage(node))?;
                self.cut(Part::Web(web), &[node], cut).await
            }
            Harm::IsolateStorage(node, _) => {
                self.container(Part::Storage(node))?.run(&["network", "disconnect", "-f", &self.network]).await
            }
            Harm::IsolateEtcd(member, cut) => self.cut(Part::Etcd(member), &self.etcd_peers(member), cut).await,
        }
    }

    async fn heal(&mut self, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill(part) | Harm::Terminate(part) => self.container(part)?.run(&["start"]).await?,
            Harm::Suspend(part) => self.container(part)?.run(&["unpause"]).await?,
            Harm::KillAllEtcd => {
                for member in &self.etcd {
                    member.run(&["start"]).await?;
                }
            }
            Harm::CutWebFromEtcd(web, _) | Harm::CutWebFromStorage(web, ..) => self.mend(Part::Web(web)).await?,
            Harm::IsolateStorage(node, _) => self.connect(Part::Storage(node)).await?,
            Harm::IsolateEtcd(member, _) => self.mend(Part::Etcd(member)).await?,
        }
        self.find_again().await
    }

    async fn is_well(&mut self, harm: Harm) -> bool {
        match harm {
            Harm::Kill(part) | Harm::Terminate(part) | Harm::Suspend(part) => self.is_part_well(part).await,
            Harm::CutWebFromEtcd(web, _) | Harm::CutWebFromStorage(web, ..) => self.is_part_well(Part::Web(web)).await,
            Harm::IsolateStorage(node, _) => self.is_part_well(Part::Storage(node)).await,
            Harm::IsolateEtcd(member, _) => self.is_part_well(Part::Etcd(member)).await,
            Harm::KillAllEtcd => {
                let mut well = true;
                for member in 0..self.etcd.len() {
                    well &= self.is_part_well(Part::Etcd(member)).await;
                }
                well
            }
        }
    }

    async fn etcd_leader(&mut self) -> Option<usize> {
        let mut endpoints = Vec::new();
        for member in 0..self.etcd.len() {
            endpoints.extend(self.etcd_endpoint(member).await.map(|endpoint| (member, endpoint)));
        }
        self.gateway.leader(endpoints.into_iter()).await
    }
}
