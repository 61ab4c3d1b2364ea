//! Finding out, when the service starts, whether programs can be confined here.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::trial::{Findings, Hole, Trial, beside};
use super::{Policy, ProcessLimits, Sandbox, SandboxMode, TRIAL};

/// The trial connects, opens and is refused, which takes milliseconds on a machine that is not out of breath.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(30);

/// Why programs cannot be confined as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The trial shows that something is possible that must not be.
    #[error(
        "programs that read uploads cannot be confined on this machine: one could {}. It takes {}. To do with less, at your own \
         risk, use --sandbox auto",
        words(.0.iter().map(|hole| hole.in_words())), words(.0.iter().map(|hole| hole.closed_by()))
    )]
    Holes(Vec<Hole>),
    /// The trial could not be made.
    #[error(
        "the launcher that confines programs does not work here: {0}. To do without, at your own risk, use --sandbox off"
    )]
    Launcher(String),
    /// Nothing could be prepared for a trial.
    #[error("cannot try out in {} whether programs can be confined: {source}", .directory.display())]
    Prepare {
        /// Where a file was to be made that must not be readable.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// `a; b; c`, each once.
fn words<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for part in parts {
        if !all.contains(&part) {
            all.push(part);
        }
    }
    all.join("; ")
}

impl Sandbox {
    /// Tries out what a confined program can do here that it must not: reading a file made in `directory`, connecting to a
    /// port that somebody listens on, and more. With [`SandboxMode::Auto`] what is missing is logged as a warning.
    ///
    /// # Errors
    /// In [`SandboxMode::Required`] when anything is possible that must not be, or nothing can be tried.
    pub async fn detect(mode: SandboxMode, launcher: PathBuf, directory: PathBuf) -> Result<Self, SandboxError> {
        if mode == SandboxMode::Off {
            return Ok(Self { mode, launcher: Some(launcher), holes: Vec::new() });
        }
        match (try_out(&launcher, &directory).await, mode) {
            (Ok(holes), SandboxMode::Required) if !holes.is_empty() => Err(SandboxError::Holes(holes)),
            (Ok(holes), _) => {
                if !holes.is_empty() {
                    let could = words(holes.iter().map(|hole| hole.in_words()));
                    let takes = words(holes.iter().map(|hole| hole.closed_by()));
                    tracing::warn!(could, takes, "programs that read uploads are less confined than they should be");
                }
                Ok(Self { mode, launcher: Some(launcher), holes })
            }
            (Err(error), SandboxMode::Required) => Err(error),
            (Err(error), _) => {
                tracing::warn!(%error, "programs that read uploads run without limits and confinement");
                Ok(Self::none())
            }
        }
    }
}

/// Runs the launcher in a trial, confined as well as it can be.
async fn try_out(launcher: &Path, directory: &Path) -> Result<Vec<Hole>, SandboxError> {
    let unprepared = |source| SandboxError::Prepare { directory: directory.to_owned(), source };
    let file = tempfile::Builder::new().prefix("trial-").tempfile_in(directory).map_err(unprepared)?;
    let file_path = std::path::absolute(file.path()).map_err(unprepared)?;
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (other, source) = (listen().map_err(unprepared)?, listen().map_err(unprepared)?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port()).map_err(unprepared);
    let trial = Trial { file: file_path.clone(), port: port(&other)?, source_port: port(&source)? };
    let findings = findings(launcher, &trial).await;
    // What the trial may have been able to make beside the file.
    match std::fs::remove_file(beside(&file_path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unprepared(error)),
        _ => {}
    }
    match findings.map_err(SandboxError::Launcher)? {
        Findings { reaches_source: true, holes } => Ok(holes),
        _ => Err(SandboxError::Launcher("a confined program cannot connect to the port that it is granted".to_owned())),
    }
}

async fn findings(launcher: &Path, trial: &Trial) -> Result<Findings, String> {
    let limits = ProcessLimits { memory_bytes_max: 8 << 30, file_bytes_max: 1 << 20, cpu_time_max: TRIAL_TIME_MAX };
    let policy = Policy { mode: SandboxMode::Auto, limits, writes: false, connect_port: Some(trial.source_port) };
    let trial = serde_json::to_string(trial).map_err(|error| error.to_string())?;
    let mut command = Command::new(launcher);
    command.arg(TRIAL).arg(policy.to_argument()).arg(trial);
    command.env_clear().current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TRIAL_TIME_MAX, command.output()).await;
    let output = output.map_err(|_| format!("no answer within {} s", TRIAL_TIME_MAX.as_secs()))?;
    let output = output.map_err(|error| format!("{}: {error}", launcher.display()))?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("its answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_with_what_closes_them_once() {
        let text = SandboxError::Holes(vec![Hole::ReadsFiles, Hole::WritesFiles, Hole::Connects]).to_string();
        assert!(text.contains("read files of the service; write files of the service; connect"), "{text}");
        assert_eq!(text.matches("Linux 5.13").count(), 1, "{text}");
        assert!(text.contains("Linux 6.7") && text.contains("--sandbox auto"), "{text}");
    }

    #[tokio::test]
    async fn a_launcher_that_is_none_is_an_error_only_where_one_is_required() {
        let directory = tempfile::tempdir().unwrap();
        let detect = |mode| Sandbox::detect(mode, "/bin/false".into(), directory.path().to_owned());
        assert!(matches!(detect(SandboxMode::Required).await, Err(SandboxError::Launcher(_))));
        assert!(!detect(SandboxMode::Auto).await.unwrap().enforces_limits());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
