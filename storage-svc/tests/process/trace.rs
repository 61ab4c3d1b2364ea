//! What the kernel is asked, in which order, and what happens when it fails.

use std::{fs, path::Path};

use triton_api::{BlobHash, BlobKey, Epoch, ProblemType, client::NodeClient, storage::DiskState};
use triton_testkit::{Program, StorageNode, content, eventually};

use super::DEADLINE;

/// strace as a grandchild (`-D`), so that the node itself is our child and dies with the test.
pub(super) fn traced(program: Program, options: &[&str]) -> Program {
    assert!(
        std::process::Command::new("strace").arg("-V").output().is_ok(),
        "strace is not installed: apt-get install strace"
    );
    program.under("strace", ["-D", "-f", "-y"].into_iter().chain(options.iter().copied()))
}

/// Stops a node in good order, after it has made all that later writes need: the next one syncs nothing but what it is asked.
pub(super) async fn stop_prepared(mut node: StorageNode, dir: &Path) {
    let made = |folder: &str| fs::read_dir(dir.join(folder)).map_or(0, Iterator::count);
    eventually(DEADLINE, || async { made("blobs") + made("tombstones") == 2048 }).await;
    assert!(node.process.terminate(DEADLINE).success());
}

pub(super) async fn put(client: &NodeClient, text: &str) -> Result<(), Option<ProblemType>> {
    let (key, body): (BlobKey, _) = (text.parse().unwrap(), content(1, 100_000));
    let put = client.put(&key, BlobHash::of(&body), body, Epoch::new(1)).await;
    put.map(drop).map_err(|error| error.problem_type())
}

#[tokio::test]
async fn blob_is_synced_then_named_then_its_name_is_synced_then_acknowledged() {
    let output = tempfile::NamedTempFile::new().unwrap();
    let path = output.path().to_str().unwrap().to_owned();
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,write,writev,sendto,sendmsg";
    let mut node =
        StorageNode::start_with(None, |program| traced(program, &["-s", "40", "-o", &path, "-e", calls])).await;
    put(&node.client(), "v/x/seg").await.unwrap();
    node.client().delete(&"v/x/seg".parse().unwrap(), Epoch::new(1)).await.unwrap();
    node.process.terminate(DEADLINE);
    let log = fs::read_to_string(&path).unwrap();
    // Identity and folders are made before the node listens: what counts begins with the first temporary blob.
    let lines: Vec<_> = log.lines().skip_while(|line| !line.contains("/tmp/0000")).collect();
    let mut at = 0;
    for (what, parts) in [
        ("the file is synced", ["fdatasync(", "/tmp/0000"]),
        ("the file gets its name", ["renameat2(", "v,x,seg"]),
        ("the name is synced", ["fsync(", "/blobs/"]),
        ("the write is acknowledged", ["", "HTTP/1.1 201"]),
        ("the tombstone is synced", ["fdatasync(", "/tmp/0000"]),
        ("the tombstone gets its name", ["renameat2(", "/tombstones/"]),
        ("the name is synced", ["fsync(", "/tombstones/"]),
        ("the blob goes", ["unlink(", "v,x,seg"]),
        ("its going is synced", ["fsync(", "/blobs/"]),
        ("the delete is acknowledged", ["", "HTTP/1.1 204"]),
    ] {
        let found = lines[at..].iter().position(|line| parts.iter().all(|part| line.contains(part)));
        at += 1 + found.unwrap_or_else(|| panic!("not in order: {what}\n{}", lines.join("\n")));
    }
}

#[tokio::test]
async fn failed_fsync_fails_the_write_and_turns_the_node_read_only_until_a_restart() {
    for (call, name) in [("fdatasync", "content"), ("fsync", "name")] {
        // Made without trouble first: only the writes of blobs are to fail.
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let healthy = StorageNode::start(Some(&dir)).await;
        put(&healthy.client(), "before").await.unwrap();
        stop_prepared(healthy, &dir).await;

        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error=EIO"));
        let options = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
        let failing = StorageNode::start_with(Some(&dir), |program| traced(program, &options)).await;
        let client = failing.client();
        assert_eq!(put(&client, name).await, Err(Some(ProblemType::Unavailable)));
        assert_eq!(put(&client, "after").await, Err(Some(ProblemType::InsufficientStorage)));
        assert_eq!(client.info().await.unwrap().disk, DiskState::ReadOnly);
        assert!(client.head(&"before".parse().unwrap()).await.unwrap().is_some(), "reads go on");
        assert_eq!(fs::read_dir(dir.join("tmp")).unwrap().count(), 0);
        assert!(failing.process.log().contains("an fsync failed"));
        drop(failing);

        let healed = StorageNode::start(Some(&dir)).await;
        put(&healed.client(), "after").await.unwrap();
        put(&healed.client(), name).await.unwrap();
    }
}
