//! The ring's limits, in one place.

use std::{path::PathBuf, time::Duration};

/// When a node's circuit opens and how it is probed then.
#[derive(Debug, Clone, Copy)]
pub struct BreakerLimits {
    /// This many failures in a row open the circuit.
    pub failures_max: u32,
    /// The pause before the first probe.
    pub backoff_min: Duration,
    /// The longest pause between probes.
    pub backoff_max: Duration,
    /// The longest wait for a probe's answer.
    pub probe_timeout: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures_max: 3,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(1),
        }
    }
}

/// Limits of a [`Ring`](super::Ring). The defaults suit nodes on one network.
#[derive(Debug, Clone)]
pub struct RingLimits {
    /// Bytes of blobs that are being written at once, laggards included; further writers wait.
    pub write_bytes_in_flight_max: usize,
    /// A write counts as at least this many bytes, which bounds the number of writes too.
    pub write_bytes_min: usize,
    /// The longest that a write waits for its quorum.
    pub put_timeout: Duration,
    /// How long copies beyond the quorum go on in the background.
    pub laggard_timeout: Duration,
    /// A holder that is silent for this long gets a stand-in, unless the quorum is there.
    pub stand_in_after: Duration,
    /// The longest that a writer with an old epoch waits for the new layout.
    pub stale_layout_wait: Duration,
    /// The longest that a delete waits for its quorum.
    pub delete_timeout: Duration,
    /// How long a delete waits for the holders beyond its quorum before it leaves them to the background.
    pub delete_grace: Duration,
    /// The longest that a reader waits for the head of an answer, over all replicas.
    pub open_timeout: Duration,
    /// A second request is sent no earlier than this; later where answers usually take longer (p95).
    pub hedge_delay_min: Duration,
    /// Hedges per hundred questions.
    pub hedge_percent: u32,
    /// Hedges that may come at once after a time without any.
    pub hedge_burst: u32,
    /// A replica that has sent no head for this long is passed over, outside of the hedge budget. Grows with p95.
    pub patience_min: Duration,
    /// Where [`Self::patience_min`] stops growing.
    pub patience_max: Duration,
    /// A stream that is silent for this long goes on from another replica; doubles with each resume.
    pub silence_max: Duration,
    /// So does one that gives less than this while it is waited for, over [`Self::silence_max`]; a quarter with each resume.
    pub bytes_per_second_min: u64,
    /// One that gives less than this over a third of [`Self::silence_max`] is left, twice at most, where the hedge budget allows it
    /// and another holder answers within [`Self::patience_min`].
    pub bytes_per_second_brisk: u64,
    /// Resumes of one stream.
    pub resumes_max: u32,
    /// Active nodes that are no holders and are asked for a blob that no holder could give; draining ones are asked, too.
    pub strangers_max: usize,
    /// Lost races that are measured in the background at once.
    pub lost_races_max: usize,
    /// The circuit breakers.
    pub breaker: BreakerLimits,
    /// The zone of this process: nodes there are preferred.
    pub zone: Option<String>,
    /// The file that remembers which partitions lack a copy; without one a crash forgets them. Bounded by the number of
    /// partitions times the number of nodes.
    pub degraded_file: Option<PathBuf>,
    /// The longest that a write or a delete waits until [`Self::degraded_file`] is durable.
    pub degraded_keep_timeout: Duration,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self {
            write_bytes_in_flight_max: 64 * 1024 * 1024,
            write_bytes_min: 64 * 1024,
            put_timeout: Duration::from_secs(30),
            laggard_timeout: Duration::from_secs(5),
            stand_in_after: Duration::from_secs(1),
            stale_layout_wait: Duration::from_secs(5),
            delete_timeout: Duration::from_secs(10),
            delete_grace: Duration::from_millis(500),
            open_timeout: Duration::from_secs(10),
            hedge_delay_min: Duration::from_millis(30),
            hedge_percent: 5,
            hedge_burst: 10,
            patience_min: Duration::from_millis(250),
            patience_max: Duration::from_secs(1),
            silence_max: Duration::from_millis(750),
            // What 240p may need, the lowest rendition of most videos: whoever gives less stalls every viewer.
            bytes_per_second_min: 64 * 1024,
            // What 1080p may need.
            bytes_per_second_brisk: 1024 * 1024,
            resumes_max: 8,
            strangers_max: 16,
            lost_races_max: 64,
            breaker: BreakerLimits::default(),
            zone: None,
            degraded_file: None,
            degraded_keep_timeout: Duration::from_secs(1),
        }
    }
}
