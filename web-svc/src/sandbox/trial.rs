//! What a confined process tries, to find out whether it is refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Both ends are in this machine.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Something that a confined program must not be able to do, and is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hole {
    /// Reading a file that belongs to somebody else.
    ReadsFiles,
    /// Writing or making one.
    WritesFiles,
    /// Changing the mode of one.
    ChangesFiles,
    /// Connecting to a port that is not its source's.
    Connects,
    /// Waiting for connections.
    Listens,
    /// Sockets that are not TCP.
    OtherSockets,
    /// Starting another program.
    StartsPrograms,
}

impl Hole {
    /// For the end of "a program that reads uploads could".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ReadsFiles => "read files of the service",
            Self::WritesFiles => "write files of the service",
            Self::ChangesFiles => "change the permissions of files",
            Self::Connects => "connect to any TCP port",
            Self::Listens => "listen on ports",
            Self::OtherSockets => "open sockets other than TCP",
            Self::StartsPrograms => "start programs",
        }
    }

    /// What on this machine would close it.
    pub(super) fn closed_by(self) -> &'static str {
        match self {
            Self::ReadsFiles | Self::WritesFiles => LANDLOCK_FILES,
            Self::Connects => LANDLOCK_PORTS,
            _ => SECCOMP,
        }
    }
}

const LANDLOCK_FILES: &str = "Landlock: Linux 5.13 or newer with `landlock` in /sys/kernel/security/lsm, a container runtime \
    that lets its system calls through, and a data directory outside of /usr";
const LANDLOCK_PORTS: &str = "Landlock for TCP ports: Linux 6.7 or newer";
const SECCOMP: &str = "seccomp: a kernel with CONFIG_SECCOMP_FILTER on x86-64 or 64-bit Arm";

/// What is there to be tried.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    /// A file that is not granted.
    pub(super) file: PathBuf,
    /// A loopback port that is not granted, on which somebody listens.
    pub(super) port: u16,
    /// One that is.
    pub(super) source_port: u16,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Findings {
    pub(super) holes: Vec<Hole>,
    /// Whether what is granted works.
    pub(super) reaches_source: bool,
}

/// Tries everything.
pub(super) fn run(trial: &Trial) -> Findings {
    let tries: [(Hole, io::Result<()>); 9] = [
        (Hole::ReadsFiles, File::open(&trial.file).map(drop)),
        (Hole::WritesFiles, OpenOptions::new().append(true).open(&trial.file).map(drop)),
        (Hole::WritesFiles, File::create(beside(&trial.file)).map(drop)),
        (Hole::ChangesFiles, std::fs::set_permissions(&trial.file, PermissionsExt::from_mode(0o600))),
        (Hole::Connects, connect(trial.port)),
        (Hole::Listens, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
        (Hole::OtherSockets, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
        (Hole::OtherSockets, UnixDatagram::unbound().map(drop)),
        (Hole::StartsPrograms, start_program()),
    ];
    let mut holes: Vec<Hole> = tries.into_iter().filter(|(_, tried)| tried.is_ok()).map(|(hole, _)| hole).collect();
    holes.dedup();
    Findings { holes, reaches_source: connect(trial.source_port).is_ok() }
}

/// A file that a trial may succeed to make; whoever asked for the trial removes it.
pub(super) fn beside(file: &Path) -> PathBuf {
    file.with_extension("beside")
}

fn connect(port: u16) -> io::Result<()> {
    TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), CONNECT_TIME_MAX).map(drop)
}

/// One that every system has, in a place that is granted.
fn start_program() -> io::Result<()> {
    Command::new("/bin/sh").arg("-c").arg(":").output().map(drop)
}
