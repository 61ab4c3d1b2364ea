//! How much memory this process may use.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Assumed where the system does not tell, in bytes.
const FALLBACK_BYTES: u64 = 1024 * 1024 * 1024;

/// The memory of the machine in bytes, or the lowest limit of a control group that this process is in, at any height
/// (cgroups(7), systemd.resource-control(5)): a container's, a service's, or that of the slice around it.
pub fn limit_bytes() -> u64 {
    limit_bytes_under(Path::new("/")).unwrap_or(FALLBACK_BYTES)
}

/// The same for the files below `root`. What cannot be read says nothing.
fn limit_bytes_under(root: &Path) -> Option<u64> {
    let machine = read(&root.join("proc/meminfo")).and_then(|text| machine_bytes(&text));
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| group_limits(&root.join("sys/fs/cgroup"), line));
    limits.chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits on the way from a group to the root of its hierarchy. `line` is `ID:CONTROLLERS:PATH` of `/proc/self/cgroup`;
/// version 2 has no controllers there, and is mounted one folder down where both versions are used.
fn group_limits(mount: &Path, line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let hierarchies: [PathBuf; 2] = if controllers.is_empty() {
        [mount.to_owned(), mount.join("unified")]
    } else if controllers.split(',').any(|controller| controller == "memory") {
        [mount.join("memory"), mount.join(controllers)]
    } else {
        return Vec::new();
    };
    // Above `high` a process is slowed down until it is of no use. A group without a limit says `max`, or a number that is
    // more than any machine has.
    let files = ["memory.max", "memory.high", "memory.limit_in_bytes"];
    let mut limits = Vec::new();
    for hierarchy in hierarchies {
        let own = hierarchy.join(path.trim_start_matches('/'));
        // In a container the path may be the host's; the root of what is mounted is there in any case.
        for group in own.ancestors().take_while(|group| group.starts_with(&hierarchy)) {
            let found = files.iter().filter_map(|file| read(&group.join(file))?.trim().parse().ok());
            limits.extend(found.filter(|bytes: &u64| *bytes > 0));
        }
    }
    limits
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    /// A made-up system of 16 GiB.
    struct System(tempfile::TempDir);

    impl System {
        fn new(own_groups: &str) -> Self {
            let system = Self(tempfile::tempdir().unwrap());
            let system = system.with("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:          1000 kB\n");
            system.with("proc/self/cgroup", own_groups)
        }

        fn with(self, file: &str, content: &str) -> Self {
            let path = self.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            self
        }

        fn limit(&self) -> Option<u64> {
            limit_bytes_under(self.0.path())
        }
    }

    #[test]
    fn machine_without_groups_counts_whole() {
        assert_eq!(System::new("").limit(), Some(16 * GIB));
        let unlimited = System::new("0::/user.slice\n").with("sys/fs/cgroup/user.slice/memory.max", "max\n");
        assert_eq!(unlimited.limit(), Some(16 * GIB));
        assert_eq!(limit_bytes_under(Path::new("/there/is/no/such/system")), None);
    }

    #[test]
    fn lowest_limit_of_the_own_group_and_those_around_it_counts() {
        let service = || {
            let system = System::new("0::/system.slice/triton.service\n");
            system.with("sys/fs/cgroup/system.slice/triton.service/memory.max", "8589934592\n")
        };
        assert_eq!(service().limit(), Some(8 * GIB));
        let in_slice = service().with("sys/fs/cgroup/system.slice/memory.max", "4294967296\n");
        assert_eq!(in_slice.limit(), Some(4 * GIB));
        let slowed = in_slice.with("sys/fs/cgroup/system.slice/triton.service/memory.high", "2147483648\n");
        assert_eq!(slowed.limit(), Some(2 * GIB));
        let neighbour = service().with("sys/fs/cgroup/system.slice/other.service/memory.max", "1073741824\n");
        assert_eq!(neighbour.limit(), Some(8 * GIB));
    }

    #[test]
    fn container_sees_its_limit_at_the_root_whatever_its_path_is_called() {
        for path in ["/", "/docker/0123456789ab", "/../other"] {
            let system = System::new(&format!("0::{path}\n")).with("sys/fs/cgroup/memory.max", "1073741824\n");
            assert_eq!(system.limit(), Some(GIB), "{path}");
        }
    }

    #[test]
    fn first_version_and_both_at_once_count_as_well() {
        let groups = "7:cpu,cpuacct:/a\n4:memory:/a/b\n0::/init.scope\n";
        let mixed =
            || System::new(groups).with("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(mixed().limit(), Some(16 * GIB));
        let first = mixed().with("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3221225472\n");
        assert_eq!(first.limit(), Some(3 * GIB));
        let both = first.with("sys/fs/cgroup/unified/init.scope/memory.max", "2147483648\n");
        assert_eq!(both.limit(), Some(2 * GIB));
        let joint =
            System::new("4:cpu,memory:/a\n").with("sys/fs/cgroup/cpu,memory/a/memory.limit_in_bytes", "1073741824");
        assert_eq!(joint.limit(), Some(GIB));
    }
}
