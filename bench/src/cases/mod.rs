//! What is measured. One file for each topic; `CASES` is the list.

mod get;
mod ladder;
mod placement;
mod population;
mod put;
mod range;
mod rebalance;
mod scale;
mod transcode;
mod web;

use crate::{harness::Bench, report::Outcome};

/// A case: some sides, compared.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Bench) -> anyhow::Result<Outcome>,
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    Case { name: "get-1m", what: "GET of 1 MiB from a node, 16 connections", run: get::one_mib },
    Case { name: "get-200k", what: "GET of 200 KiB from a node, 64 connections", run: get::two_hundred_kib },
    Case { name: "range", what: "64 KiB ranges of 1 MiB blobs", run: range::ranges },
    Case { name: "web-hot-1m", what: "hot segments of 1 MiB, 16 connections", run: web::hot_one_mib },
    Case { name: "web-hot-200k", what: "hot segments of 200 KiB, 64 connections", run: web::hot_two_hundred_kib },
    Case { name: "relay-1m", what: "relayed segments of 1 MiB, 16 connections", run: web::relay_one_mib },
    Case { name: "relay-200k", what: "relayed segments of 200 KiB, 64 connections", run: web::relay_two_hundred_kib },
    Case { name: "placement", what: "making and changing a layout of 50 nodes", run: placement::fifty_nodes },
    Case { name: "rebalance", what: "a second node comes while 8 viewers read", run: rebalance::second_node },
    Case { name: "population", what: "reads and restart with a million blobs", run: population::million },
    Case { name: "put-1m", what: "durable PUT of 1 MiB to a node", run: put::one_mib },
    Case { name: "put-200k", what: "durable PUT of 200 KiB to a node, 16 writers", run: put::two_hundred_kib },
    Case { name: "put-r3", what: "durable PUT of 1 MiB through the ring to three nodes", run: put::three_replicas },
    Case {
        name: "first-play",
        what: "a minute of 1080p until it plays and until it is ready",
        run: transcode::one_minute,
    },
    Case { name: "ladder-cpu", what: "processor time of a minute of 1080p, all renditions", run: ladder::processor },
    Case { name: "scale", what: "a video by one and two workers, and replayed with up to 64", run: scale::workers },
    Case { name: "put-memory", what: "memory of a node under 16 PUTs of 64 MiB", run: put::memory },
];
