//! Whether a node with a million blobs serves and starts like one with a thousand.

use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;
use triton_api::BlobKey;
use triton_testkit::{StorageNode, content};

use crate::{
    harness::{Bench, Side, compare},
    report::{Finding, Outcome},
    spread::Spread,
    wrk::Wrk,
};

const FEW: u32 = 1000;
const MANY: u32 = 1_000_000;
/// Every so many blobs of the million one is read: far more than any cache of the processor holds.
const STEP: u32 = 20;
const PREFIX: &str = "bench/tiny/";
const PAYLOAD_BYTES: usize = 64;
const THREADS: u32 = 4;
const RESTARTS: usize = 3;
const CONNECTIONS: u32 = 16;
const NODE_OF_MANY: &str = "1,000,000 blobs";

pub(super) fn million(bench: &Bench) -> anyhow::Result<Outcome> {
    let few = node_with(bench, FEW)?;
    let mut many = node_with(bench, MANY)?;
    let restarts: Vec<f64> = (0..RESTARTS).map(|_| restart_seconds(bench, &mut many)).collect();
    let side = |name, node: &StorageNode, count, step| -> anyhow::Result<Side<'_>> {
        let prefix = node.url.join(&format!("/v1/blobs/{PREFIX}"));
        let answer_bytes = PAYLOAD_BYTES as u64;
        let wrk = Wrk { step, ..Wrk::whole(prefix, count, CONNECTIONS, answer_bytes) };
        Ok(Side { name, pids: vec![node.process.pid()], load: wrk.load(bench)? })
    };
    let sides = vec![side("1,000 blobs", &few, FEW, 1)?, side(NODE_OF_MANY, &many, MANY, STEP)?];
    let comparison = compare(bench, "Reads of 64 bytes at random over all blobs, nothing cached by the node", sides)?;
    // The cost is the inverse of the rate.
    let ratio = comparison.ratio(NODE_OF_MANY);
    let cost = Spread { median: 1.0 / ratio.median, low: 1.0 / ratio.high, high: 1.0 / ratio.low };
    let findings = vec![
        Finding { goal: "population-read", value: cost },
        Finding { goal: "population-restart", value: Spread::of(restarts) },
    ];
    Ok(Outcome { comparisons: vec![comparison], findings, ..Outcome::default() })
}

/// Killed and not stopped: nothing is left behind in good order.
fn restart_seconds(bench: &Bench, node: &mut StorageNode) -> f64 {
    node.process.kill();
    let began = Instant::now();
    bench.runtime.block_on(node.restart());
    began.elapsed().as_secs_f64()
}

/// A node over a directory with so many blobs, that caches nothing itself: both sides read their files.
fn node_with(bench: &Bench, count: u32) -> anyhow::Result<StorageNode> {
    let dir = bench.scratch().join(format!("population-{count}"));
    // The first start makes the directory a node's.
    drop(bench.runtime.block_on(StorageNode::start(Some(&dir))));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let dir = &dir;
                    move || fill(dir, (thread..count).step_by(THREADS as usize))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(filled) => filled,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let uncached = |program: triton_testkit::Program| program.args(["--cache-bytes", "0"]);
    Ok(bench.runtime.block_on(StorageNode::start_with(Some(&dir), uncached)))
}

/// Writes blobs as a node would have written them: through it, a million syncs take too long.
fn fill(dir: &Path, numbers: impl Iterator<Item = u32>) -> anyhow::Result<()> {
    for number in numbers {
        let key: BlobKey = format!("{PREFIX}{number:07}").parse()?;
        let (path, file) = storage_svc::blob_file(&key, &content(u64::from(number) + 1, PAYLOAD_BYTES));
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
