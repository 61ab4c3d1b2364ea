//! Resource limits, which the kernel keeps in every mode, and the privileges of root, which nothing here needs.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

/// Resource limits of a child process, enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Address space in bytes.
    pub memory_bytes_max: u64,
    /// Size in bytes of any file written.
    pub file_bytes_max: u64,
    /// Processor time; whole seconds count.
    pub cpu_time_max: Duration,
}

/// Files and sockets that ffmpeg has open at once: its libraries while they load, one source, a file for each rung.
const OPEN_FILES_MAX: u64 = 256;
/// Of the processor's time, what a program in the cage gets beside the service: a tenth.
const NICENESS: i32 = 10;
/// Where a user may have any number of threads, a confined program stops at so many.
const THREADS_MAX: u64 = 16_384;

impl ProcessLimits {
    /// Puts this process under the limits; a limit that is lower already stays.
    pub(super) fn apply(&self) -> io::Result<()> {
        // Viewers come first. Where it is nicer already, it stays so.
        setpriority_process(None, getpriority_process(None)?.max(NICENESS))?;
        lower(Resource::As, self.memory_bytes_max)?;
        lower(Resource::Fsize, self.file_bytes_max)?;
        lower(Resource::Cpu, self.cpu_time_max.as_secs().max(1))?;
        lower(Resource::Nofile, OPEN_FILES_MAX)?;
        lower(Resource::Core, 0)?;
        lower(Resource::Nproc, threads_max(getrlimit(Resource::Nproc).current))
    }
}

/// How many threads the user may have when a confined program starts another one.
///
/// The kernel counts those of all processes of the user, the service's own and other programs' as well, so that a small number
/// would keep ffmpeg from starting on a busy machine. Half of what the user may have leaves the other half to the service,
/// whatever a program in the cage does. It can start no processes at all: that is seccomp's work.
fn threads_max(of_the_user: Option<u64>) -> u64 {
    of_the_user.map_or(THREADS_MAX, |threads| (threads / 2).min(THREADS_MAX))
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let present = getrlimit(resource);
    let lowest = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    setrlimit(resource, Rlimit { current: lowest(present.current), maximum: lowest(present.maximum) })?;
    Ok(())
}

/// Gives up what root may do beyond other users. `no_new_privs` keeps it from coming back with the next program.
pub(super) fn drop_privileges() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_users_threads_are_left_to_the_service() {
        assert_eq!(threads_max(Some(1000)), 500);
        assert_eq!(threads_max(Some(1 << 20)), THREADS_MAX);
        assert_eq!(threads_max(None), THREADS_MAX);
    }
}
