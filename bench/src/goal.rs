//! What is to be reached, as data: one row for each figure that a case finds.

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure that is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) bound: Bound,
    /// What the figure is counted in; `x` is a ratio.
    pub(crate) unit: &'static str,
}

const fn ratio(id: &'static str, what: &'static str, bound: Bound) -> Goal {
    Goal { id, what, bound, unit: "x" }
}

use Bound::{AtLeast, AtMost};

/// All goals, in the order of the report.
pub(crate) const GOALS: &[Goal] = &[
    ratio("get-1m-hot", "node GET 1 MiB, 16 connections, one hot blob / nginx sendfile", AtLeast(1.0)),
    ratio("get-1m-set", "node GET 1 MiB, 16 connections, 1,000 blobs / nginx sendfile", AtLeast(1.0)),
    ratio("get-200k-hot", "node GET 200 KiB, 64 connections, one hot blob / nginx sendfile", AtLeast(0.9)),
    ratio("get-200k-set", "node GET 200 KiB, 64 connections, 1,000 blobs / nginx sendfile", AtLeast(0.9)),
    ratio("range-64k", "requests/s of 64 KiB ranges of 1 MiB blobs / of whole GETs", AtLeast(5.0)),
    ratio("population-read", "cost of one read, 1,000,000 blobs on the node / 1,000 blobs", AtMost(1.2)),
    Goal {
        id: "population-restart",
        what: "restart of a node with 1,000,000 blobs until it answers",
        bound: AtMost(2.0),
        unit: "s",
    },
    ratio("web-hot-sendfile-1m", "web-svc from its hot cache, 1 MiB, 16 connections / nginx sendfile", AtLeast(1.2)),
    ratio(
        "web-hot-proxy-cache-1m",
        "web-svc from its hot cache, 1 MiB, 16 connections / nginx proxy_cache",
        AtLeast(1.4),
    ),
    ratio(
        "web-hot-sendfile-200k",
        "web-svc from its hot cache, 200 KiB, 64 connections / nginx sendfile",
        AtLeast(1.2),
    ),
    ratio(
        "web-hot-proxy-cache-200k",
        "web-svc from its hot cache, 200 KiB, 64 connections / nginx proxy_cache",
        AtLeast(1.4),
    ),
    ratio("relay-1m", "web-svc cold relay, 1 MiB, 16 connections / nginx proxy_pass", AtLeast(1.3)),
    ratio("relay-200k", "web-svc cold relay, 200 KiB, 64 connections / nginx proxy_pass", AtLeast(1.0)),
    ratio("put-1m", "durable PUT 1 MiB, one node / write + fsync + rename + directory fsync", AtLeast(0.75)),
    ratio("put-200k", "durable PUT 200 KiB, 16 writers, one node / the same plain loop", AtLeast(2.0)),
    ratio("put-r3", "durable PUT 1 MiB, R = 3, three nodes on this disk / the same plain loop", AtLeast(0.25)),
    Goal {
        id: "placement-build",
        what: "first layout of 50 nodes in 5 zones, 1024 partitions",
        bound: AtMost(1.0),
        unit: "s",
    },
    Goal { id: "placement-change", what: "one change of that layout", bound: AtMost(1.0), unit: "s" },
    Goal {
        id: "rebalance-rate",
        what: "copying from one node to another while 8 viewers read",
        bound: AtLeast(100.0),
        unit: "MB/s",
    },
    ratio("rebalance-p99", "p99 of 8 viewers' reads in that rebalance / before it", AtMost(2.0)),
    ratio(
        "first-play",
        "a minute of 1080p: upload to the first segment / one plain ffmpeg run of the ladder",
        AtMost(0.15),
    ),
    ratio("ready", "a minute of 1080p: upload to ready / one plain ffmpeg run of the ladder", AtMost(1.1)),
    ratio(
        "ready-copied",
        "the same where the top rendition is the source's own: upload to ready / one plain ffmpeg run of the ladder",
        AtMost(0.65),
    ),
    ratio(
        "ladder-cpu",
        "processor time of all ffmpeg runs for a minute of 1080p / one decode + each encode alone",
        AtMost(1.1),
    ),
    ratio("scale-two", "a video until it is ready: one worker / two workers, each on one core", AtLeast(1.8)),
    Goal {
        id: "put-memory",
        what: "resident memory of a node under 16 PUTs of 64 MiB",
        bound: AtMost(120.0),
        unit: "MiB",
    },
];

impl Goal {
    /// Whether a figure is good enough.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        match self.bound {
            AtLeast(bound) => value >= bound,
            AtMost(bound) => value <= bound,
        }
    }

    /// How far a figure is: 1 is just met, more is better.
    pub(crate) fn reached(&self, value: f64) -> f64 {
        match self.bound {
            AtLeast(bound) => value / bound,
            AtMost(bound) => bound / value,
        }
    }

    /// The bound for people.
    pub(crate) fn bound_text(&self) -> String {
        match self.bound {
            AtLeast(bound) => format!("≥ {bound} {}", self.unit),
            AtMost(bound) => format!("≤ {bound} {}", self.unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_bounds_point_the_right_way() {
        let mut ids: Vec<_> = GOALS.iter().map(|goal| goal.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), GOALS.len());
        let (least, most) = (ratio("a", "a", AtLeast(2.0)), ratio("b", "b", AtMost(2.0)));
        assert!(least.is_met(2.0) && !least.is_met(1.9) && least.reached(4.0) > 1.0);
        assert!(most.is_met(2.0) && !most.is_met(2.1) && most.reached(4.0) < 1.0);
    }
}
