//! The cluster's settings, in one place.

use std::time::Duration;

/// Settings of the cluster control.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Replicas wanted. Takes effect with the first layout, later with the next change that is applied.
    pub replicas: u8,
    /// How long former holders keep their copies after a commit: longer than a reader stays with an old layout.
    pub reclaim_grace: Duration,
    /// The time between two probes of a node.
    pub probe_interval: Duration,
    /// The time between two comparisons of all nodes.
    pub repair_interval: Duration,
    /// How long the first start waits for the configured nodes.
    pub bootstrap_timeout: Duration,
    /// How long a node may be down before it is replaced; never where absent.
    pub replace_after: Option<Duration>,
    /// The least time between two replacements or returns of one node.
    pub replace_interval_min: Duration,
    /// The time between two looks for blobs that no metadata refers to.
    pub orphan_interval: Duration,
    /// How old such a blob must be to be moved aside.
    pub orphan_age: Duration,
    /// The fastest that content is copied between nodes, over all moves; no limit where absent.
    pub pull_bytes_per_second: Option<u64>,
}

impl ClusterSettings {
    /// With a time after which nodes are replaced; zero turns it off. Between two changes of one node lies as much time
    /// again, and never less than a minute.
    #[must_use]
    pub fn replacing_after(self, replace_after: Duration) -> Self {
        let replace_interval_min = replace_after.max(Duration::from_secs(60));
        Self { replace_after: Some(replace_after).filter(|time| !time.is_zero()), replace_interval_min, ..self }
    }
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            replicas: 3,
            reclaim_grace: Duration::from_secs(5),
            probe_interval: Duration::from_secs(2),
            repair_interval: Duration::from_secs(10),
            bootstrap_timeout: Duration::from_secs(30),
            replace_after: Some(Duration::from_secs(900)),
            replace_interval_min: Duration::from_secs(900),
            orphan_interval: Duration::from_secs(6 * 60 * 60),
            orphan_age: Duration::from_secs(24 * 60 * 60),
            pull_bytes_per_second: None,
        }
    }
}
