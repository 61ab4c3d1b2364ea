//! A change that was sent twice, the first time over a road that is blocked for a while.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use triton_testkit::{Cut, Etcd, EtcdOptions, Proxy};
use web_svc::journal::{Change, Expect, JournalError, Revision};

use crate::{
    contract::{key, put, read},
    process::{DEADLINE, Process},
};

/// A process whose change is on its way between two members of etcd, and another process.
struct Blocked {
    etcd: Etcd,
    road: Proxy,
    third: String,
    other: Process,
    attempt: JoinHandle<Result<Revision, JournalError>>,
    _slow: Process,
}

impl Blocked {
    async fn putting(expect: Expect, value: Value) -> Self {
        let mut etcd = Etcd::start_with(EtcdOptions { members: 3, proxied: true, ..EtcdOptions::default() }).await;
        let leader = etcd.leader().await;
        let endpoint = |number: usize| etcd.endpoints()[number % 3].clone();
        let (follower, third) = (endpoint(leader + 1), endpoint(leader + 2));
        let road = Proxy::start(follower.parse().unwrap()).await;
        let slow = Process::join(&format!("etcd://{}", road.addr)).await;
        let other = Process::join(&format!("etcd://{}", endpoint(leader))).await;
        put(&*slow.journal, "warm", Expect::Absent, json!(1)).await.unwrap();
        // The follower sends the change on to the leader, where it does not arrive yet.
        etcd.isolate((leader + 1) % 3, Cut::Swallow);
        let journal = Arc::clone(&slow.journal);
        let attempt = tokio::spawn(async move { put(&*journal, "a", expect, value).await });
        // Nothing tells when it is under way; before that, the tests would pass whatever the journal did.
        sleep(Duration::from_millis(200)).await;
        Self { etcd, road, third, other, attempt, _slow: slow }
    }

    /// Lets the process send its change again, to a member that can do it; returns what it was told.
    async fn sent_again(&mut self) -> Result<Revision, JournalError> {
        self.road.redirect(self.third.parse().unwrap());
        self.road.kill().await;
        self.road.revive().await;
        (&mut self.attempt).await.unwrap()
    }

    /// Lets the first attempt arrive; returns what the record is in the end.
    async fn arrived(&self) -> Option<Value> {
        self.etcd.reconnect();
        self.etcd.wait_ready(DEADLINE).await;
        put(&*self.other.journal, "z", Expect::Absent, json!(1)).await.unwrap();
        read(&self.other.store, &key("a")).await.map(|stored| stored.value)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_refused_does_not_happen_when_its_first_attempt_arrives_late() {
    let mut blocked = Blocked::putting(Expect::Absent, json!("ours")).await;
    let theirs = put(&*blocked.other.journal, "a", Expect::Absent, json!("theirs")).await.unwrap();
    let refused = blocked.sent_again().await;
    assert!(matches!(refused, Err(JournalError::Conflict { .. })), "{refused:?}");
    blocked.other.journal.commit(Change::new().delete(key("a"), Expect::At(theirs))).await.unwrap();
    assert_eq!(blocked.arrived().await, None, "it happened after it was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_done_does_not_happen_again_when_its_first_attempt_arrives_late() {
    let mut blocked = Blocked::putting(Expect::Anything, json!("ours")).await;
    let done = blocked.sent_again().await;
    let newer = put(&*blocked.other.journal, "a", Expect::At(done.unwrap()), json!("newer")).await;
    newer.unwrap();
    assert_eq!(blocked.arrived().await, Some(json!("newer")), "it happened twice");
}
