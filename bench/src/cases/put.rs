//! Durable writes against the least that a durable write can be: write, fsync, rename, fsync of the directory, in a loop.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{
    BlobHash, BlobKey, Epoch,
    client::{Caller, NodeClient},
    layout::LayoutRecord,
};
use triton_testkit::{StorageNode, content};
use web_svc::ring::{Ring, RingLimits};

use crate::{
    harness::{Bench, Load, Sample, Side, compare},
    process,
    report::{Finding, Outcome},
    spread::Spread,
};

const MIB: usize = 1024 * 1024;
const PLAIN: &str = "plain loop";
/// Blobs of this length, so many at once, are what the goal for memory is about.
const LARGE_BYTES: usize = 64 * MIB;
const LARGE_WRITERS: usize = 16;

pub(super) fn one_mib(bench: &Bench) -> anyhow::Result<Outcome> {
    let node = bench.runtime.block_on(StorageNode::start(None));
    let body = content(1, MIB);
    let sides = vec![
        Side { name: PLAIN, pids: Vec::new(), load: plain(bench, "plain-1m", body.clone(), 1)? },
        node_side(bench, "storage-svc", &node, &body, 1),
        node_side(bench, "storage-svc, 8 writers", &node, &body, 8),
    ];
    let comparison = compare(bench, "Durable PUT of 1 MiB to a node, one writer but where it says so", sides)?;
    Ok(Outcome::of("put-1m", comparison, "storage-svc"))
}

pub(super) fn two_hundred_kib(bench: &Bench) -> anyhow::Result<Outcome> {
    let node = bench.runtime.block_on(StorageNode::start(None));
    let body = content(1, 200 * 1024);
    let sides = vec![
        Side { name: PLAIN, pids: Vec::new(), load: plain(bench, "plain-200k", body.clone(), 1)? },
        Side { name: "16 plain loops", pids: Vec::new(), load: plain(bench, "plain-200k-16", body.clone(), 16)? },
        node_side(bench, "storage-svc, 1 writer", &node, &body, 1),
        node_side(bench, "storage-svc, 16 writers", &node, &body, 16),
    ];
    let comparison = compare(bench, "Durable PUT of 200 KiB to a node", sides)?;
    Ok(Outcome::of("put-200k", comparison, "storage-svc, 16 writers"))
}

pub(super) fn three_replicas(bench: &Bench) -> anyhow::Result<Outcome> {
    let nodes: Vec<StorageNode> =
        bench.runtime.block_on(async { [start_node().await, start_node().await, start_node().await].into() });
    let members = nodes.iter().map(|node| node.in_zone("z")).collect();
    let record = LayoutRecord::settled(triton_placement::layout::first(members, 3)?);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (_layout, known) = watch::channel(Arc::new(record.clone()));
    let ring = bench.runtime.block_on(async {
        try_join_all(nodes.iter().map(|node| async { node.client().put_layout(&record).await })).await?;
        anyhow::Ok(Ring::new(Caller::untraced(None)?, known, RingLimits::default(), tasks.clone(), stop.clone()))
    })?;
    let body = content(1, MIB);
    let pids: Vec<u32> = nodes.iter().map(|node| node.process.pid()).collect();
    let side = |name, writers| {
        let (ring, body) = (ring.clone(), body.clone());
        let put = move |key: BlobKey| -> BoxFuture<'static, anyhow::Result<()>> {
            let (ring, body) = (ring.clone(), body.clone());
            Box::pin(async move { Ok(ring.put(&key, body).await.map(drop)?) })
        };
        Side { name, pids: pids.clone(), load: writers_load(bench, name, writers, put) }
    };
    let sides = vec![
        Side { name: PLAIN, pids: Vec::new(), load: plain(bench, "plain-r3", body.clone(), 1)? },
        side("ring, R = 3", 1),
        side("ring, R = 3, 8 writers", 8),
    ];
    let comparison = compare(bench, "Durable PUT of 1 MiB through the ring to three nodes on this disk", sides)?;
    stop.cancel();
    tasks.close();
    bench.runtime.block_on(tasks.wait());
    Ok(Outcome::of("put-r3", comparison, "ring, R = 3"))
}

pub(super) fn memory(bench: &Bench) -> anyhow::Result<Outcome> {
    let node = bench.runtime.block_on(start_node());
    let body = content(1, LARGE_BYTES);
    let hash = BlobHash::of(&body);
    bench.runtime.block_on(try_join_all((0..LARGE_WRITERS).map(|writer| {
        let (client, body) = (node.client(), body.clone());
        async move { put(client, format!("bench/large/{writer}").parse()?, hash, body).await }
    })))?;
    #[expect(clippy::cast_precision_loss, reason = "mebibytes of a process")]
    let peak_mib = process::peak_resident_bytes(node.process.pid())? as f64 / MIB as f64;
    let finding = Finding { goal: "put-memory", value: Spread::of([peak_mib]) };
    Ok(Outcome { findings: vec![finding], ..Outcome::default() })
}

async fn start_node() -> StorageNode {
    StorageNode::start(None).await
}

async fn put(client: NodeClient, key: BlobKey, hash: BlobHash, body: Bytes) -> anyhow::Result<()> {
    let put = client.put(&key, hash, body, Epoch::new(1)).await;
    put.with_context(|| format!("cannot put {key}")).map(drop)
}

fn node_side<'a>(bench: &'a Bench, name: &'static str, node: &StorageNode, body: &Bytes, writers: usize) -> Side<'a> {
    let (client, hash, body) = (node.client(), BlobHash::of(body), body.clone());
    let put =
        move |key| -> BoxFuture<'static, anyhow::Result<()>> { Box::pin(put(client.clone(), key, hash, body.clone())) };
    Side { name, pids: vec![node.process.pid()], load: writers_load(bench, name, writers, put) }
}

/// So many writers, each putting one blob after the other under keys of its own.
fn writers_load<'a>(
    bench: &'a Bench,
    name: &str,
    writers: usize,
    put: impl Fn(BlobKey) -> BoxFuture<'static, anyhow::Result<()>> + 'a,
) -> Load<'a> {
    let (next, prefix) = (AtomicU64::new(0), name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    Box::new(move |duration| {
        let began = Instant::now();
        let writer = || async {
            let mut done = 0_u64;
            while began.elapsed() < duration {
                let number = next.fetch_add(1, Ordering::Relaxed);
                put(format!("bench/{prefix}/{number:07}").parse()?).await?;
                done += 1;
            }
            anyhow::Ok(done)
        };
        let done = bench.runtime.block_on(try_join_all((0..writers).map(|_| writer())))?;
        Ok(Sample { requests: done.iter().sum(), seconds: began.elapsed().as_secs_f64() })
    })
}

/// The plain loop, in so many threads.
fn plain(bench: &Bench, name: &str, body: Bytes, threads: usize) -> anyhow::Result<Load<'static>> {
    let root = bench.scratch().join(name);
    for dir in ["tmp", "data"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let next = AtomicU64::new(0);
    Ok(Box::new(move |duration| {
        let began = Instant::now();
        let done: anyhow::Result<Vec<u64>> = std::thread::scope(|scope| {
            let work = || scope.spawn(|| plain_loop(&root, &body, &next, began, duration));
            let threads: Vec<_> = (0..threads).map(|_| work()).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        });
        let seconds = began.elapsed().as_secs_f64();
        // The files stay until the end: to delete them is work, and ext4 steps over each number of a file that was deleted in the
        // last seconds whenever it makes a new one, which the next side would pay for.
        Ok(Sample { requests: done?.iter().sum(), seconds })
    }))
}

fn plain_loop(root: &Path, body: &[u8], next: &AtomicU64, began: Instant, duration: Duration) -> anyhow::Result<u64> {
    let mut done = 0;
    while began.elapsed() < duration {
        let name = format!("{:07}", next.fetch_add(1, Ordering::Relaxed));
        let (temporary, data): (PathBuf, PathBuf) = (root.join("tmp").join(&name), root.join("data"));
        let mut file = File::create_new(&temporary)?;
        file.write_all(body)?;
        file.sync_data()?;
        fs::rename(&temporary, data.join(&name))?;
        File::open(&data)?.sync_all()?;
        done += 1;
    }
    Ok(done)
}
