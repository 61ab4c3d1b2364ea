//! The launcher: confines itself, then becomes the program.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::calls::{self, CallsError};
use super::limits::drop_privileges;
use super::trial::{self, Trial};
use super::{CONFINED, Policy, SandboxMode, TRIAL, files};

/// As of a shell that cannot run a program.
const CANNOT_RUN: u8 = 126;

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("the policy cannot be read: {0}")]
    Policy(#[from] serde_json::Error),
    #[error("no program is named")]
    NoProgram,
    #[error("the limits cannot be set: {0}")]
    Limits(#[source] io::Error),
    #[error("privileges cannot be given up: {0}")]
    Privileges(#[source] io::Error),
    #[error("Landlock: {0}")]
    Files(#[from] landlock::RulesetError),
    #[error("this kernel has no Landlock")]
    NoLandlock,
    #[error("seccomp: {0}")]
    Calls(#[from] CallsError),
    #[error("{program}: {source}")]
    Run { program: String, source: io::Error },
}

/// Does the launcher's work if this process was started as one; `None` if not, and nothing has been done.
///
/// To be called first in `main`, before there is a second thread: what is given up is given up by the calling thread and
/// whatever it becomes.
pub fn launched(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let word = arguments.nth(1)?;
    let outcome = match word.to_str()? {
        CONFINED => become_program(arguments),
        TRIAL => try_out(arguments),
        _ => return None,
    };
    Some(outcome.map_or_else(
        |error| {
            // The service reads the pipe, and where nobody does, the exit code tells.
            writeln!(io::stderr(), "web-svc confined: {error}").ok();
            ExitCode::from(CANNOT_RUN)
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn become_program(mut arguments: impl Iterator<Item = OsString>) -> Result<(), LaunchError> {
    let policy = Policy::of_argument(&arguments.next().unwrap_or_default())?;
    let program = find(&arguments.next().ok_or(LaunchError::NoProgram)?);
    confine(&policy, Some(&program))?;
    let source = Command::new(&program).args(arguments).exec();
    Err(LaunchError::Run { program: program.display().to_string(), source })
}

fn try_out(mut arguments: impl Iterator<Item = OsString>) -> Result<(), LaunchError> {
    let policy = Policy::of_argument(&arguments.next().unwrap_or_default())?;
    let trial: Trial = serde_json::from_slice(arguments.next().unwrap_or_default().as_encoded_bytes())?;
    confine(&policy, None)?;
    serde_json::to_writer(io::stdout(), &trial::run(&trial))?;
    Ok(())
}

/// Gives up what the policy does not grant.
fn confine(policy: &Policy, program: Option<&Path>) -> Result<(), LaunchError> {
    policy.limits.apply().map_err(LaunchError::Limits)?;
    if policy.mode == SandboxMode::Off {
        return Ok(());
    }
    let required = policy.mode == SandboxMode::Required;
    // Without being required, each of them is as good as it gets: what is missing was found out when the service started.
    drop_privileges().map_err(LaunchError::Privileges).or_else(|error| unless(required, error))?;
    match files::restrict(policy, program) {
        Ok(false) if required => return Err(LaunchError::NoLandlock),
        Ok(_) => {}
        Err(error) => unless(required, error.into())?,
    }
    calls::restrict().or_else(|error| unless(required, error.into()))
}

fn unless(required: bool, error: LaunchError) -> Result<(), LaunchError> {
    if required { Err(error) } else { Ok(()) }
}

/// Where a program lies, as a shell would look for it; Landlock grants files by their place.
fn find(program: &OsStr) -> PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.to_owned();
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories).map(|directory| directory.join(path)).find(|path| path.is_file());
    found.unwrap_or_else(|| path.to_owned())
}
