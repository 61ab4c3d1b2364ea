//! Changes of several kinds at once, changes that are only looked at, and what they lose.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use triton_api::{
    BlobHash, BlobKey, Generation, NodeId, VideoId,
    caption::CaptionKind,
    cluster::{NewNode, NodeChange, NodeHealth},
    rebalance::{ApplyRequest, LossQuery, RebalancePhase},
    video::{VideoState, Visibility},
};
use triton_placement::partition_of;
use triton_testkit::eventually;
use web_svc::{
    catalog::{CaptionRecord, Original, PART_BYTES, VideoRecord},
    cluster::{ClusterError, wish::Wish},
    journal::{Change, Expect, Journal as _, RecordKey, SqliteJournal},
};

use crate::farm::{Content, DEADLINE, Node, Web, quick, slow, start_nodes, urls};

fn new(node: &Node) -> NewNode {
    NewNode { url: node.url(), zone: None, weight: None }
}

async fn until_down(web: &Web, id: NodeId) {
    let is_down = || async {
        web.cluster.nodes().await.unwrap().iter().any(|node| node.id == id && node.health == NodeHealth::Down)
    };
    eventually(DEADLINE, is_down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_a_drain_another_weight_and_a_dead_node_are_one_change() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(7).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..5])).await;
    let content = web.fill(80, 3000).await;
    nodes[4].kill();
    until_down(&web, nodes[4].id).await;
    for newcomer in &nodes[5..] {
        web.cluster.add_node(new(newcomer)).await.unwrap();
    }
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.change_node(nodes[1].id, NodeChange { weight: Some(50), zone: None }).await.unwrap();
    web.cluster.remove_node(nodes[4].id, true).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    assert_eq!((plan.changes.len(), plan.partitions_lost), (5, 0), "{plan:?}");
    assert_eq!(plan.replicas_to_move, plan.replicas_to_move_min);
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    content.read_all(&web.ring).await;
    let alive: Vec<Node> = nodes.drain(..).filter(|node| node.id != NodeId::from_u128(0)).collect();
    let layout = web.cluster.layout().borrow().current.clone();
    assert_eq!(layout.node(alive[4].id), None);
    assert_eq!(layout.partitions_of(alive[0].id), 0);
    let shares = [1, 2, 3, 5, 6].map(|n| layout.partitions_of(alive[n].id));
    assert!(shares[1..].iter().all(|share| *share > shares[0] * 19 / 10), "{shares:?}");
    assert_eq!(alive[0].blobs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_plan_or_the_refusal_and_changes_nothing() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..4])).await;
    web.fill(40, 2000).await;
    let (id, heavy) = (nodes[0].id, NodeChange { weight: Some(300), zone: None });
    for wish in [
        Wish::Add(new(&nodes[4])),
        Wish::Drain(id),
        Wish::Change(id, heavy),
        Wish::Remove { id, force: false },
        Wish::Remove { id, force: true },
    ] {
        let plan = web.cluster.plan_wish(wish.clone()).await.unwrap();
        assert!(plan.replicas_to_move > 0 && plan.changes.len() == 1, "{wish:?}: {plan:?}");
        assert_eq!(web.status().await.staged, Vec::<String>::new(), "{wish:?}");
    }
    // The same as when it is staged, and applied.
    let dry = web.cluster.plan_wish(Wish::Drain(id)).await.unwrap();
    web.cluster.drain_node(id).await.unwrap();
    assert_eq!(
        (web.cluster.plan().await.unwrap(), web.cluster.plan_apply(ApplyRequest::default()).await.unwrap()),
        (dry.clone(), dry)
    );
    assert_eq!(web.status().await.phase, RebalancePhase::Stable);
    // Together with what is staged, three replicas would lie on two nodes.
    let refused = web.cluster.plan_wish(Wish::Drain(nodes[1].id)).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Infeasible(_)), "{refused}");
    assert!(refused.to_string().contains("3 replicas are wanted, 3 are kept now, and only 2"), "{refused}");
    assert_eq!(web.status().await.staged.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_tells_wanted_replicas_from_those_that_there_are() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(2).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let refused = web.cluster.drain_node(nodes[0].id).await.unwrap_err().to_string();
    assert!(refused.contains("3 replicas are wanted, 2 are kept now, and only 1 active node"), "{refused}");
}

/// A video of three parts, of which the record says nothing but how many there are, and of one caption.
fn video() -> VideoRecord {
    let caption = CaptionRecord {
        language: "en".parse().unwrap(),
        label: None,
        kind: CaptionKind::Subtitles,
        file: "en-1.vtt".to_owned(),
        blake3: BlobHash::of(b""),
        rest: triton_api::layout::Rest::new(),
    };
    VideoRecord {
        v: 1,
        id: VideoId::generate(),
        title: "t".to_owned(),
        description: String::new(),
        visibility: Visibility::Public,
        state: VideoState::Queued,
        reason: None,
        created_at: Timestamp::now(),
        original: Original { len_bytes: 2 * PART_BYTES + 5, file_name: "a.mp4".to_owned() },
        generation: Generation::new(0),
        published: None,
        captions: vec![caption],
        uploader: None,
        rest: triton_api::layout::Rest::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_replica_a_dead_node_is_given_up_only_by_who_accepts_the_loss() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let mut settings = quick();
    settings.replicas = 1;
    let web = Web::start(&dir, settings, &urls(&nodes)).await;
    let journal = SqliteJournal::new(web.store.clone());
    let mut keys: BTreeSet<BlobKey> = BTreeSet::new();
    for _ in 0..20 {
        let video = video();
        journal.commit(Change::new().put(RecordKey::video(video.id), Expect::Absent, &video).unwrap()).await.unwrap();
        let parts = (0..3).map(|part| VideoRecord::original_part(video.id, part));
        for key in parts.chain(video.caption_blobs()) {
            web.ring.put(&key, Bytes::from(key.to_string())).await.unwrap();
            keys.insert(key);
        }
    }
    let layout = web.cluster.layout().borrow().current.clone();
    let dead = nodes[1].id;
    let (lost, kept): (BTreeSet<BlobKey>, BTreeSet<BlobKey>) =
        keys.into_iter().partition(|key| layout.holders(partition_of(key)).any(|node| node.id == dead));
    assert!(lost.len() > 3 && kept.len() > 3, "{lost:?}");
    nodes[1].kill();
    until_down(&web, dead).await;
    let told = web.cluster.losses(&LossQuery { give_up: Some(dead), limit: Some(1000), cursor: None }).await.unwrap();
    assert_eq!(told.items.iter().map(|blob| blob.key.clone()).collect::<BTreeSet<_>>(), lost);
    assert_eq!(web.cluster.losses(&LossQuery::default()).await.unwrap().items, []);

    web.cluster.remove_node(dead, true).await.unwrap();
    assert_eq!(web.cluster.plan().await.unwrap().partitions_lost as usize, layout.partitions_of(dead));
    for outcome in [
        web.cluster.apply(ApplyRequest::default()).await.map(drop),
        web.cluster.plan_apply(ApplyRequest::default()).await.map(drop),
    ] {
        let refused = outcome.unwrap_err();
        assert!(matches!(refused, ClusterError::Loss { .. }), "{refused}");
        assert!(refused.to_string().contains(&dead.to_string()), "{refused}");
    }
    // By pages, each of which goes on where the other ended.
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let page = web.cluster.losses(&LossQuery { cursor, limit: Some(2), give_up: None }).await.unwrap();
        assert!(page.items.len() <= 2);
        paged.extend(page.items.into_iter().map(|blob| blob.key));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((paged.len(), paged.into_iter().collect::<BTreeSet<_>>()), (lost.len(), lost));

    web.cluster.apply(ApplyRequest { accept_loss: true, epoch: None }).await.unwrap();
    web.until_stable().await;
    let blobs = kept.into_iter().map(|key| (key.clone(), BlobHash::of(key.to_string().as_bytes()))).collect();
    let content = Content { blobs };
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(web.cluster.nodes().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_the_last_migration_stay_over_a_restart() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..3])).await;
    assert_eq!(web.status().await.last, None);
    web.fill(40, 3000).await;
    web.cluster.add_node(new(&nodes[3])).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    let last = web.status().await.last.unwrap();
    assert_eq!((last.from, last.to, last.aborting), (plan.epoch, plan.epoch.next(), false));
    assert_eq!((last.bytes_done, last.bytes_total), (plan.bytes_to_move, plan.bytes_to_move));
    assert_eq!((last.partitions_done, last.partitions_total), (768, 768));
    assert!(last.bytes_per_second > 0 && last.ended_at > last.started_at, "{last:?}");
    web.crash().await;
    let web = Web::start(&dir, quick(), &[]).await;
    assert_eq!(web.status().await.last, Some(last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_can_be_held_after_its_commit_and_turned_back_while_it_is_held() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(60_000), &urls(&nodes)).await;
    let content = web.fill(40, 4000).await;
    // Held while it copies, and turned back all the same.
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    web.cluster.hold(true).await.unwrap();
    web.cluster.abort().await.unwrap();
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert!(web.status().await.last.unwrap().aborting);
    web.crash().await;

    // Held between the commit and the release.
    let mut patient = quick();
    patient.reclaim_grace = std::time::Duration::from_secs(1);
    let web = Web::start(&dir, patient, &[]).await;
    let epoch = web.status().await.epoch;
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.epoch > epoch).await;
    web.cluster.hold(true).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(web.status().await.phase, RebalancePhase::Paused);
    assert!(nodes[0].blobs().await > 0, "nothing is released while it is held");
    web.cluster.hold(false).await.unwrap();
    web.until_stable().await;
    assert_eq!(nodes[0].blobs().await, 0);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}
