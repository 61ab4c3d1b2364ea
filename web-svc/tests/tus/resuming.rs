//! Broken connections, killed services, several web services.

use std::time::Duration;

use triton_placement::partition_of;
use triton_testkit::{StorageNode, WebService, eventually};

use crate::{
    SETTLE_DEADLINE, assert_download, assert_parts_only,
    client::{Tus, id_of},
    clip, service,
};

const PART: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_keeps_every_byte_that_arrived() {
    let (web, content) = (service().await, clip(2 * PART + 500_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let mut slow = tus.begin_patch(&path, 0, content.len()).await;
    slow.send(&content[..PART + 123_456]).await;
    drop(slow);
    let kept = (PART + 123_456) as u64;
    eventually(SETTLE_DEADLINE, || async { tus.head(&path).await.offset() == kept }).await;
    assert_eq!(tus.patch(&path, kept, &content[PART + 123_456..]).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;
    assert_parts_only(&web, content.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_after_kill_9_from_the_last_durable_part() {
    let (mut web, content) = (service().await, clip(4 * PART + 1_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    assert_eq!(tus.patch(&path, 0, &content[..700_000]).await.status, 204);
    let mut slow = tus.begin_patch(&path, 700_000, content.len() - 700_000).await;
    slow.send(&content[700_000..3 * PART + 1_000]).await;
    // What is durable is known while the request still runs.
    eventually(SETTLE_DEADLINE, || async { tus.head(&path).await.offset() >= 2 * PART as u64 }).await;
    web.process.kill();
    web.restart().await;
    let offset = tus.head(&path).await.offset();
    assert!(offset >= 2 * PART as u64 && offset % PART as u64 == 0, "{offset}");
    let from = usize::try_from(offset).unwrap();
    assert_eq!(tus.patch(&path, offset, &content[from..]).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;
    assert_parts_only(&web, content.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_service_keeps_what_arrived_and_says_so() {
    let (mut web, content) = (service().await, clip(500_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let mut slow = tus.begin_patch(&path, 0, content.len()).await;
    slow.send(&content[..123_456]).await;
    // The claim is there: the bytes are being received.
    eventually(SETTLE_DEADLINE, || async { token_of(&web, &path).await == 1 }).await;
    assert!(web.process.terminate(SETTLE_DEADLINE).success());
    assert_eq!(slow.status(&[]).await, 503);
    web.restart().await;
    let offset = tus.head(&path).await.offset();
    assert!(offset <= 123_456, "{offset}");
    let from = usize::try_from(offset).unwrap();
    assert_eq!(tus.patch(&path, offset, &content[from..]).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_another_web_service_and_a_zombie_at_the_first_loses() {
    let first = service().await;
    // The same journal, the same ring, a process and a directory of its own.
    let metadata = format!("sqlite:{}", first.data_dir().join("catalog.db").display());
    let args = ["--transcode-slots", "0", "--metadata", &metadata];
    let second = WebService::start_on(std::slice::from_ref(&first.node_url), &args).await;
    let content = clip(3 * PART + 77);
    let (here, there) = (Tus::new(&first), Tus::new(&second));
    let path = here.create(content.len(), &[]).await;
    assert_eq!(there.patch(&path, 0, &content[..300_000]).await.status, 204);

    let mut zombie = here.begin_patch(&path, 300_000, content.len() - 300_000).await;
    zombie.send(&content[300_000..PART + 300_000]).await;
    eventually(SETTLE_DEADLINE, || async { there.head(&path).await.offset() == PART as u64 }).await;
    // Its client is thought to be gone, and goes on elsewhere.
    let answer = there.patch(&path, PART as u64, &content[PART..2 * PART]).await;
    assert_eq!((answer.status, answer.offset()), (204, 2 * PART as u64));
    assert_eq!(zombie.status(&content[PART + 300_000..]).await, 409);
    assert_eq!(here.head(&path).await.offset(), 2 * PART as u64);
    assert_eq!(here.patch(&path, 2 * PART as u64, &content[2 * PART..]).await.status, 204);
    assert_download(&second, id_of(&path), &content).await;
    assert_parts_only(&first, content.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_for_a_stored_part_are_a_conflict_and_not_a_failure() {
    let (web, content) = (service().await, clip(3 * PART));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let key = format!("v/{}/0/original-000000", id_of(&path)).parse().unwrap();
    let other = bytes::Bytes::from(vec![1; PART]);
    let epoch = web.client().rebalance().await.unwrap().epoch;
    web.node().put(&key, triton_api::BlobHash::of(&other), other, epoch).await.unwrap();
    let answer = tus.patch(&path, 0, &content).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.problem.unwrap()["detail"].as_str().unwrap().contains("Other bytes"));
    // The parts behind it may well have been written, but do not count.
    assert_eq!(tus.head(&path).await.offset(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_no_node_took_is_sent_again_and_those_behind_it_too() {
    let mut nodes = [StorageNode::start(None).await, StorageNode::start(None).await];
    let urls = [nodes[0].url.clone(), nodes[1].url.clone()];
    let web = WebService::start_on(&urls, &["--transcode-slots", "0", "--replicas", "1"]).await;
    let (tus, content) = (Tus::new(&web), clip(4 * PART + 1_000));
    let layout = nodes[0].client().layout().await.unwrap().unwrap().current;
    // An upload whose second part belongs on the node that dies, and whose other parts do not.
    let wanted = [1, 0, 1, 1, 1].map(|node| nodes[node].id);
    let path = loop {
        let path = tus.create(content.len(), &[]).await;
        let key = |part| format!("v/{}/0/original-{part:06}", id_of(&path)).parse().unwrap();
        let holder = |part| layout.holders(partition_of(&key(part))).next().unwrap().id;
        if [0, 1, 2, 3, 4].map(holder) == wanted {
            break path;
        }
    };
    nodes[0].process.kill();
    let answer = tus.patch(&path, 0, &content).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let offset = tus.head(&path).await.offset();
    assert!(offset <= PART as u64, "{offset}: the second part was never written");
    nodes[0].restart().await;
    // The service may take a moment to see that the node is back.
    eventually(SETTLE_DEADLINE, || async {
        let from = tus.head(&path).await.offset();
        tus.patch(&path, from, &content[usize::try_from(from).unwrap()..]).await.status == 204
    })
    .await;
    assert_download(&web, id_of(&path), &content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_shows_that_it_lives_until_it_is_silent_for_too_long() {
    let (web, content) = (service().await, clip(500_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let mut slow = tus.begin_patch(&path, 0, content.len()).await;
    slow.send(&content[..123_456]).await;
    eventually(SETTLE_DEADLINE, || async { token_of(&web, &path).await == 1 }).await;
    let claimed = record_of(&web, &path).await.touched_at;
    // The janitor would take over what does not change for a minute.
    eventually(Duration::from_secs(24), || async { record_of(&web, &path).await.touched_at > claimed }).await;
    assert_eq!(slow.status(&[]).await, 408);
    assert_eq!(tus.patch(&path, 123_456, &content[123_456..]).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_a_resumable_upload() {
    let (web, content) = (service().await, clip(300 << 20));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let mut slow = tus.begin_patch(&path, 0, content.len()).await;
    slow.send(&content).await;
    assert_eq!(slow.status(&[]).await, 204);
    let status = std::fs::read_to_string(format!("/proc/{}/status", web.process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 150 * 1024, "{peak_kib} KiB were resident");
}

/// How often an upload was claimed.
async fn token_of(web: &WebService, path: &str) -> u64 {
    record_of(web, path).await.token
}

async fn record_of(web: &WebService, path: &str) -> web_svc::catalog::UploadRecord {
    let store = web_svc::store::Store::open(&web.data_dir().join("catalog.db"), web_svc::store::Durability::Full)
        .await
        .unwrap();
    let key = web_svc::journal::RecordKey::upload(id_of(path).parse().unwrap());
    let record = store.get::<web_svc::catalog::UploadRecord>(&key).await.unwrap().unwrap();
    store.close().await;
    record.value
}
