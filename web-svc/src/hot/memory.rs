//! How much memory there is to give.

use std::{fs, path::Path};

/// The cache's share of the memory by default.
const SHARE: u64 = 16;
/// The smallest cache that is one, in bytes: some segments of a few videos.
const BYTES_MIN: u64 = 64 * 1024 * 1024;

/// A sixteenth of the memory of the machine, or of what a container may use of it; at least 64 MiB.
pub fn default_bytes() -> u64 {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.iter().filter_map(|path| limit_in(&read(Path::new(path))));
    let memory = limits.chain(total_in(&read(Path::new("/proc/meminfo")))).min().unwrap_or(0);
    share_of(memory)
}

fn share_of(memory_bytes: u64) -> u64 {
    (memory_bytes / SHARE).max(BYTES_MIN)
}

/// What cannot be read says nothing.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A control group's limit in bytes; `max` is none.
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB, in bytes.
fn total_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_counts_as_small_as_it_is() {
        assert_eq!(limit_in("max\n"), None);
        assert_eq!(limit_in("4294967296\n"), Some(4 << 30));
        assert_eq!(total_in("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), Some(24_683_520 * 1024));
        assert_eq!(share_of(4 << 30), 256 << 20);
        assert_eq!(share_of(512 << 20), 64 << 20);
        assert!(default_bytes() >= BYTES_MIN);
    }
}
