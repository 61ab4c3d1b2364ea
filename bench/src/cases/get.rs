//! A node against nginx's sendfile, over the same contents.

use anyhow::Context as _;
use triton_testkit::StorageNode;

use crate::{
    corpus::Corpus,
    harness::{Bench, Side, compare},
    nginx::Nginx,
    report::Outcome,
    wrk::Wrk,
};

/// The side that the goals are about.
const NODE: &str = "storage-svc";
const BLOBS: u32 = 1000;

pub(super) fn one_mib(bench: &Bench) -> anyhow::Result<Outcome> {
    against_sendfile(bench, 1024 * 1024, 16, ["get-1m-hot", "get-1m-set"])
}

pub(super) fn two_hundred_kib(bench: &Bench) -> anyhow::Result<Outcome> {
    against_sendfile(bench, 200 * 1024, 64, ["get-200k-hot", "get-200k-set"])
}

fn against_sendfile(
    bench: &Bench,
    bytes_each: u64,
    connections: u32,
    [hot, set]: [&'static str; 2],
) -> anyhow::Result<Outcome> {
    let corpus = Corpus { count: BLOBS, bytes_each };
    let nginx = Nginx::sendfile(bench, &corpus.write_files(bench)?)?;
    let node = bench.runtime.block_on(StorageNode::start(None));
    bench.runtime.block_on(corpus.put(&node.client())).context("cannot fill the node")?;
    let mut outcome = Outcome::default();
    for (goal, count, what) in [(hot, 1, "one hot blob"), (set, BLOBS, "1,000 blobs")] {
        let load = |origin: &str| {
            Wrk::whole(format!("{origin}{}", corpus.prefix()), count, connections, bytes_each).load(bench)
        };
        let sides = vec![
            Side { name: "nginx sendfile", pids: vec![nginx.pid()], load: load(&format!("{}/", nginx.origin()))? },
            Side { name: NODE, pids: vec![node.process.pid()], load: load(&node.url.join("/v1/blobs/"))? },
        ];
        let title = format!("GET of {} KiB, {connections} connections, {what}", bytes_each / 1024);
        outcome.extend(Outcome::of(goal, compare(bench, &title, sides)?, NODE));
    }
    Ok(outcome)
}
