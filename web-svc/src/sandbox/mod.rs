//! The cage in which ffmpeg and ffprobe read what strangers upload.
//!
//! A program that is to be confined is not started directly: this very binary is, with the word `confined`, a [`Policy`] and
//! the program's command line. It gives up what the policy does not grant ([`launch`]) and then becomes the program, which
//! cannot get it back. What it may do afterwards:
//!
//! - read and run what lies in the directories of the system, and write files in its working directory, if it has one
//!   (Landlock: `files.rs`);
//! - connect over TCP to the port of its source, wherever that is, and to nothing else (Landlock; other kinds of sockets:
//!   seccomp, `calls.rs`);
//! - start threads, but no process, and leave neither its process group nor its session;
//! - use as much memory, processor time and disk as `limits.rs` grants.
//!
//! Whether that works here is not guessed from version numbers: [`Sandbox::detect`] runs a launcher that tries what must be
//! refused.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

mod calls;
mod detect;
mod files;
mod launch;
mod limits;
mod policy;
mod trial;

pub use detect::SandboxError;
pub use launch::launched;
pub use limits::ProcessLimits;
pub use policy::Policy;
pub use trial::Hole;

/// The word after which a command line is a policy and a program to run under it.
pub const CONFINED: &str = "confined";
/// The word after which it is a policy and a [`trial`].
const TRIAL: &str = "confined-trial";

/// How much confinement is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    /// Resource limits only.
    #[default]
    Off,
    /// As far as this machine can.
    Auto,
    /// All of it, or the service does not start.
    Required,
}

/// How this process confines the programs that it starts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    mode: SandboxMode,
    launcher: Option<PathBuf>,
    holes: Vec<Hole>,
}

impl Sandbox {
    /// No launcher: programs run without limits or confinement. For users of the library whose own binary is no launcher.
    pub fn none() -> Self {
        Self::default()
    }

    /// The launcher of this program itself. The link leads to the binary that runs now, even when the file was replaced since.
    pub fn own_launcher() -> PathBuf {
        "/proc/self/exe".into()
    }

    /// The mode that was asked for.
    pub fn mode(&self) -> SandboxMode {
        self.mode
    }

    /// Whether programs run under [`ProcessLimits`].
    pub fn enforces_limits(&self) -> bool {
        self.launcher.is_some()
    }

    /// What a confined program could do all the same when it was tried; nothing where all is well, or nothing was asked for.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// The program and arguments that run `program` under a policy; the mode is this sandbox's.
    pub fn command(&self, program: &Path, policy: Policy, arguments: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        let Some(launcher) = &self.launcher else { return (program.to_owned(), arguments) };
        let policy = Policy { mode: self.mode, ..policy };
        let mut all = vec![CONFINED.into(), policy.to_argument(), program.into()];
        all.extend(arguments);
        (launcher.clone(), all)
    }
}

/// For the log: how far it goes.
impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.launcher, self.mode) {
            (None, _) => "not at all",
            (_, SandboxMode::Off) => "by resource limits only",
            _ if self.holes.is_empty() => "by Landlock, seccomp and resource limits",
            _ => "in part",
        })
    }
}
