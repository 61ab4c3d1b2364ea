//! Whether the cost of a range follows the bytes that it touches.

use triton_testkit::StorageNode;

use crate::{
    corpus::Corpus,
    harness::{Bench, Side, compare},
    report::Outcome,
    wrk::Wrk,
};

const RANGE_BYTES: u64 = 64 * 1024;
const RANGES: &str = "64 KiB ranges";

pub(super) fn ranges(bench: &Bench) -> anyhow::Result<Outcome> {
    let corpus = Corpus { count: 200, bytes_each: 1024 * 1024 };
    let node = bench.runtime.block_on(StorageNode::start(None));
    bench.runtime.block_on(corpus.put(&node.client()))?;
    let side = |name, answer_bytes, of_bytes| -> anyhow::Result<Side<'_>> {
        let prefix = node.url.join(&format!("/v1/blobs/{}", corpus.prefix()));
        let wrk = Wrk { of_bytes, ..Wrk::whole(prefix, corpus.count, 16, answer_bytes) };
        Ok(Side { name, pids: vec![node.process.pid()], load: wrk.load(bench)? })
    };
    let sides =
        vec![side("whole blobs", corpus.bytes_each, None)?, side(RANGES, RANGE_BYTES, Some(corpus.bytes_each))?];
    let comparison = compare(bench, "64 KiB ranges of 1 MiB blobs and whole ones, 16 connections", sides)?;
    Ok(Outcome::of("range-64k", comparison, RANGES))
}
