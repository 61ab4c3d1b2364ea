//! How much memory there is for this process.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What the cache takes of the memory where nothing is said.
const CACHE_SHARE: u64 = 16;
/// Assumed where the system does not tell.
const FALLBACK_BYTES: u64 = 1024 * 1024 * 1024;
const CGROUPS: &str = "/sys/fs/cgroup";

/// The default size of the cache in bytes: a sixteenth of the machine's memory, or of the control group's limit.
pub(crate) fn default_cache_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_bytes(&text));
    machine.into_iter().chain(group).min().unwrap_or(FALLBACK_BYTES) / CACHE_SHARE
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit on the way from the process's group to the root (cgroups(7)); a group without a limit says `max`.
fn group_bytes(own_groups: &str) -> Option<u64> {
    let second = own_groups.lines().find_map(|line| line.strip_prefix("0::"));
    let first = own_groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let limits = |root: PathBuf, path: &str, file: &str| {
        let dir = root.join(path.trim_start_matches('/'));
        // In a container the path may be the host's; the root of what is mounted is there in any case.
        let dirs = dir.ancestors().filter(|dir| dir.starts_with(&root)).map(|dir| dir.join(file));
        dirs.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min()
    };
    let second = second.and_then(|path| limits(CGROUPS.into(), path, "memory.max"));
    let first = first.and_then(|path| limits(Path::new(CGROUPS).join("memory"), path, "memory.limit_in_bytes"));
    second.into_iter().chain(first).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_machine_is_read_from_the_kernel() {
        assert_eq!(machine_bytes("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_689_764 * 1024));
        assert_eq!(machine_bytes("nothing of this kind"), None);
        assert_eq!(group_bytes("0::/there/is/no/such/group\n").filter(|bytes| *bytes == 0), None);
        assert!(default_cache_bytes() > 16 * 1024 * 1024);
    }
}
