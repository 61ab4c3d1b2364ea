//! Disks that are full or fail, under a real node.
//!
//! Two ways to a bad disk that need no code in the product, for other suites as well:
//! - a small file system of one's own, [`SmallDisk`]: full is really full;
//! - `strace -e inject=CALLS:error=EIO`, with `-P PATH` where only one file or directory is to fail: [`traced`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all};
use triton_api::{BlobHash, BlobKey, Epoch, ProblemType, client::NodeClient, storage::DiskState};
use triton_testkit::{StorageNode, content, eventually};

use super::{
    DEADLINE,
    trace::{stop_prepared, traced},
};

const MIB: usize = 1024 * 1024;

/// A file system of a few MiB in memory, mounted as long as this lives.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, and a word about it, where this process may not mount.
    #[expect(clippy::print_stderr, reason = "who runs the tests should know what was not tested")]
    fn mount(size_mib: usize) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = format!("size={size_mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { at });
        }
        eprintln!("SKIPPED: only root may mount a small file system, and a full disk was not tested");
        None
    }

    fn data(&self) -> PathBuf {
        self.at.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.at.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "cannot unmount");
    }
}

fn key(number: u64) -> BlobKey {
    format!("v/disk/{number}").parse().unwrap()
}

async fn put(client: &NodeClient, number: u64, len: usize) -> Result<(), Option<ProblemType>> {
    let body = content(number, len);
    let put = client.put(&key(number), BlobHash::of(&body), body, Epoch::new(1)).await;
    put.map(drop).map_err(|error| error.problem_type())
}

async fn read(client: &NodeClient, number: u64) -> Result<Vec<u8>, Option<ProblemType>> {
    let read = client.get(&key(number), None).await.map_err(|error| error.problem_type())?;
    read.into_stream().map_ok(|piece| piece.to_vec()).try_concat().await.map_err(|error| error.problem_type())
}

fn leftovers(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("tmp")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_keeps_its_reserve_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let dir = disk.data();
    let node = StorageNode::start_with(Some(&dir), |program| program.args(["--reserve-bytes", "4194304"])).await;
    let client = node.client();
    let mut stored = 0;
    let refusal = loop {
        match put(&client, stored, MIB).await {
            Ok(()) => stored += 1,
            Err(refusal) => break refusal,
        }
        assert!(stored < 24, "the disk never gets full");
    };
    assert_eq!(refusal, Some(ProblemType::InsufficientStorage));
    let info = client.info().await.unwrap();
    assert_eq!((info.blobs, info.disk), (stored, DiskState::Ok), "what was refused is not there");
    assert!(info.free_bytes >= 4 * MIB as u64, "the reserve is touched: {} bytes are free", info.free_bytes);
    assert!((15..20).contains(&stored), "{stored} blobs of 1 MiB on 24 MiB with a reserve of 4 MiB");
    assert_eq!(leftovers(&dir), 0);
    client.delete(&key(0), Epoch::new(1)).await.unwrap();
    put(&client, 100, MIB).await.unwrap();
    for number in (1..stored).chain([100]) {
        assert!(read(&client, number).await.unwrap() == content(number, MIB), "blob {number}");
    }
}

/// Without a reserve the kernel itself says that there is no room, in the middle of writes.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_fill_the_last_byte_leave_nothing_half_written() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let dir = disk.data();
    let mut node = StorageNode::start_with(Some(&dir), |program| program.args(["--reserve-bytes", "0"])).await;
    // No length is declared, so that nobody can be refused before.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let puts = (0..8).map(|number| {
        let pieces: Vec<_> = content(number, 3 * MIB).chunks(100_000).map(<[u8]>::to_vec).collect();
        let stream = futures_util::stream::iter(pieces).map(Ok::<_, std::io::Error>);
        let request = http.put(node.url.join(&format!("/v1/blobs/{}", key(number))));
        async move { request.body(reqwest::Body::wrap_stream(stream)).send().await.unwrap().status().as_u16() }
    });
    let statuses = join_all(puts).await;
    assert!(statuses.iter().all(|status| [201, 507].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&507), "24 MiB found room on 16");
    assert_eq!(leftovers(&dir), 0);
    node.restart().await;
    let client = node.client();
    for (number, status) in (0..).zip(&statuses) {
        match read(&client, number).await {
            Ok(found) => assert!(*status == 201 && found == content(number, 3 * MIB), "blob {number}"),
            Err(problem) => assert_eq!((*status, problem), (507, Some(ProblemType::NotFound)), "blob {number}"),
        }
    }
    assert_eq!(client.info().await.unwrap().quarantined, 0);
}

#[tokio::test]
async fn only_copy_that_cannot_be_read_is_unknown_and_stays_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let healthy = StorageNode::start(Some(&dir)).await;
    put(&healthy.client(), 1, 400_000).await.unwrap();
    put(&healthy.client(), 2, 400_000).await.unwrap();
    drop(healthy);
    let partition = triton_placement::partition_of(&key(1));
    let file = dir.join(format!("blobs/{:04}/v,disk,1", partition.get()));
    let (file, calls) = (file.to_str().unwrap(), "read,pread64,preadv,preadv2,sendfile");
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EIO"));
    let options = ["-o", "/dev/null", "-P", file, "-e", &trace, "-e", &inject];
    let failing = StorageNode::start_with(Some(&dir), |program| traced(program, &options)).await;
    let client = failing.client();
    for _ in 0..2 {
        assert_eq!(read(&client, 1).await, Err(Some(ProblemType::Unavailable)));
    }
    assert!(read(&client, 2).await.unwrap() == content(2, 400_000), "other blobs are read");
    eventually(DEADLINE, || async { failing.process.log().contains("no other holder gives one") }).await;
    assert_eq!(read(&client, 1).await, Err(Some(ProblemType::Unavailable)));
    assert_eq!(client.info().await.unwrap().quarantined, 0, "the disk may come to itself, and there is no other copy");
    put(&client, 3, 1000).await.unwrap();
    drop(failing);
    let healed = StorageNode::start(Some(&dir)).await;
    assert!(read(&healed.client(), 1).await.unwrap() == content(1, 400_000));
}

/// What a client was told of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stored,
    StoreFailed,
    Deleted,
    DeleteFailed,
}

/// Works until the end, whatever fails; answers what was told, and whether anything failed.
async fn work(client: &NodeClient) -> BTreeMap<u64, Told> {
    let mut told = BTreeMap::new();
    for number in 10..16 {
        let stored = put(client, number, 5000).await.is_ok();
        told.insert(number, if stored { Told::Stored } else { Told::StoreFailed });
    }
    for number in [1, 2, 10] {
        let deleted = client.delete(&key(number), Epoch::new(1)).await.is_ok();
        told.insert(number, if deleted { Told::Deleted } else { Told::DeleteFailed });
    }
    told
}

#[tokio::test]
async fn whichever_sync_fails_no_promise_is_broken() {
    let mut failures = 0;
    // strace counts the calls of each kind and thread, so that a small number meets all kinds of syncs.
    for (calls, when) in
        [("fdatasync", 1), ("fdatasync", 2), ("fsync", 1), ("fsync", 2), ("fsync", 3), ("fsync", 4), ("syncfs", 1)]
    {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let healthy = StorageNode::start(Some(&dir)).await;
        put(&healthy.client(), 1, 5000).await.unwrap();
        put(&healthy.client(), 2, 5000).await.unwrap();
        stop_prepared(healthy, &dir).await;
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EIO:when={when}"));
        let options = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
        let failing = StorageNode::start_with(Some(&dir), |program| traced(program, &options)).await;
        let client = failing.client();
        let told = work(&client).await;
        let failed = told.values().any(|told| matches!(told, Told::StoreFailed | Told::DeleteFailed));
        let state = client.info().await.unwrap().disk;
        assert_eq!(state == DiskState::ReadOnly, failed, "{calls} {when}: {told:?}");
        assert_eq!(failed, failing.process.log().contains("an fsync failed"), "{calls} {when}");
        if failed {
            failures += 1;
            assert_eq!(put(&client, 99, 10).await, Err(Some(ProblemType::InsufficientStorage)), "{calls} {when}");
            let metrics = reqwest::get(failing.url.join("/metrics")).await.unwrap().text().await.unwrap();
            assert!(metrics.contains("triton_disk_read_only 1"), "{calls} {when}: the alarm is missing");
        }
        assert_eq!(leftovers(&dir), 0);
        drop(failing);
        let healed = StorageNode::start(Some(&dir)).await;
        for (number, told) in told {
            let found = read(&healed.client(), number).await;
            let whole = found.as_ref().is_ok_and(|found| *found == content(number, 5000));
            let absent = matches!(found, Err(Some(ProblemType::NotFound | ProblemType::Gone)));
            let kept = match told {
                Told::Stored => whole,
                Told::Deleted => absent,
                Told::StoreFailed | Told::DeleteFailed => whole || absent,
            };
            assert!(kept, "{calls} {when}: {number} was told {told:?}, and now {:?}", found.map(|found| found.len()));
        }
        put(&healed.client(), 99, 10).await.unwrap();
    }
    assert!(failures >= 5, "only {failures} runs met a failing sync");
}
