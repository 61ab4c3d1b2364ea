//! What is measured. One file for each topic; `CASES` is the list.

mod get;
mod placement;
mod population;
mod range;
mod rebalance;

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
    Case { name: "placement", what: "making and changing a layout of 50 nodes", run: placement::fifty_nodes },
    Case { name: "rebalance", what: "a second node comes while 8 viewers read", run: rebalance::second_node },
    Case { name: "population", what: "reads and restart with a million blobs", run: population::million },
];
