//! The etcd that other tests build on: a real one.

use std::time::Duration;

use triton_testkit::{Cut, Etcd, EtcdOptions, eventually};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn new_leader_takes_writes_when_the_old_one_is_killed() {
    let mut etcd = Etcd::start(3).await;
    let old = etcd.kill_leader().await;
    etcd.wait_healthy(DEADLINE).await;
    assert_ne!(etcd.leader().await, old);
    etcd.member(old).restart();
    etcd.wait_ready(DEADLINE).await;
}

#[tokio::test]
async fn data_and_ports_outlive_all_members() {
    let mut etcd = Etcd::start(3).await;
    let (url, revision) = (etcd.url(), etcd.revision().await);
    etcd.stop_all();
    assert_eq!(etcd.leader_now().await, None);
    etcd.restart_all().await;
    assert_eq!(etcd.url(), url);
    assert!(etcd.revision().await > revision);
    etcd.compact(revision).await;
}

#[tokio::test]
async fn isolated_leader_is_replaced_and_comes_back() {
    isolate_leader(Cut::Reject).await;
    isolate_leader(Cut::Swallow).await;
}

async fn isolate_leader(cut: Cut) {
    let options = EtcdOptions { members: 3, proxied: true, ..EtcdOptions::default() };
    let mut etcd = Etcd::start_with(options).await;
    let old = etcd.leader().await;
    etcd.isolate(old, cut);
    eventually(DEADLINE, async || etcd.leader_now().await.is_some_and(|now| now != old)).await;
    etcd.wait_healthy(DEADLINE).await;
    // It may still take what was on its way when the others had elected another leader already.
    eventually(DEADLINE, async || !etcd.member_takes_writes(old).await).await;
    etcd.reconnect();
    etcd.wait_ready(DEADLINE).await;
}

#[tokio::test]
async fn suspended_member_leaves_a_quorum() {
    let mut etcd = Etcd::start(3).await;
    let leader = etcd.leader().await;
    etcd.member(leader).suspend();
    etcd.wait_healthy(DEADLINE).await;
    assert_ne!(etcd.leader().await, leader);
    etcd.member(leader).resume();
    etcd.wait_ready(DEADLINE).await;
}
