//! A change that was sent twice, once over a road that is blocked for a while.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::sleep;
use triton_testkit::{Cut, Etcd, EtcdOptions, Proxy};
use web_svc::journal::{Change, Expect, JournalError};

use crate::{
    contract::{key, put, read},
    process::{DEADLINE, Process},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_refused_does_not_happen_when_its_first_attempt_arrives_late() {
    let mut etcd = Etcd::start_with(EtcdOptions { members: 3, proxied: true, ..EtcdOptions::default() }).await;
    let leader = etcd.leader().await;
    let endpoint = |number: usize| etcd.endpoints()[number % 3].clone();
    let (follower, third) = (endpoint(leader + 1), endpoint(leader + 2));
    let mut road = Proxy::start(follower.parse().unwrap()).await;
    let slow = Process::join(&format!("etcd://{}", road.addr)).await;
    let other = Process::join(&format!("etcd://{}", endpoint(leader))).await;
    put(&*slow.journal, "warm", Expect::Absent, json!(1)).await.unwrap();

    // The follower sends the change on to the leader, where it does not arrive yet.
    etcd.isolate((leader + 1) % 3, Cut::Swallow);
    let journal = Arc::clone(&slow.journal);
    let attempt = tokio::spawn(async move { put(&*journal, "a", Expect::Absent, json!("ours")).await });
    // Nothing tells when it is under way; before that, the test would pass whatever the journal did.
    sleep(Duration::from_millis(200)).await;
    let theirs = put(&*other.journal, "a", Expect::Absent, json!("theirs")).await.unwrap();
    road.redirect(third.parse().unwrap());
    road.kill().await;
    road.revive().await;
    let refused = attempt.await.unwrap();
    assert!(matches!(refused, Err(JournalError::Conflict { .. })), "{refused:?}");

    other.journal.commit(Change::new().delete(key("a"), Expect::At(theirs))).await.unwrap();
    etcd.reconnect();
    etcd.wait_ready(DEADLINE).await;
    put(&*other.journal, "z", Expect::Absent, json!(1)).await.unwrap();
    assert_eq!(read(&other.store, &key("a")).await, None, "it happened after it was refused");
}
