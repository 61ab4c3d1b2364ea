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
    /// The fastest that content is copied between nodes, over all moves; no limit where absent.
    pub pull_bytes_per_second: Option<u64>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            replicas: 3,
            reclaim_grace: Duration::from_secs(5),
            probe_interval: Duration::from_secs(2),
            repair_interval: Duration::from_secs(10),
            bootstrap_timeout: Duration::from_secs(30),
            pull_bytes_per_second: None,
        }
    }
}
