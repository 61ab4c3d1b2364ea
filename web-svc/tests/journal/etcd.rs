//! The journal of a cluster, on a real etcd.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::time::sleep;
use triton_testkit::{Etcd, EtcdOptions, eventually};
use web_svc::journal::{Change, Expect, Fenced, JournalError, SqliteJournal};

use crate::{
    contract::{Fixture, conformance, key, put, read},
    process::{DEADLINE, Process, open},
};

async fn etcd() -> Fixture {
    let etcd = Etcd::start(1).await;
    let process = Process::join(&etcd.url()).await;
    let (journal, store) = (Arc::clone(&process.journal), process.store.clone());
    Fixture { journal, store, keep: Box::new((etcd, process)) }
}

conformance!(etcd);

/// A store's records as text, to compare whole stores by.
async fn records(process: &Process) -> Vec<String> {
    let all = process.store.list::<Value>("", 100_000).await.unwrap();
    all.into_iter().map(|(key, stored)| format!("{key} {} {}", stored.revision.get(), stored.value)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_commits_reaches_the_others_in_order() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    let mut changes = other.store.subscribe();
    let a = put(&*one.journal, "a", Expect::Absent, json!(1)).await.unwrap();
    let b = put(&*one.journal, "b", Expect::Absent, json!(1)).await.unwrap();
    assert_eq!(changes.recv().await.unwrap().revision, a);
    assert_eq!(changes.recv().await.unwrap().revision, b);
    let stale = put(&*other.journal, "a", Expect::Absent, json!(2)).await;
    assert!(matches!(stale, Err(JournalError::Conflict { .. })), "{stale:?}");
    one.journal.commit(Change::new().delete(key("a"), Expect::At(a))).await.unwrap();
    other.reaches(&one).await;
    assert_eq!(records(&one).await, records(&other).await);
    assert_eq!(read(&other.store, &key("a")).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_from_the_stored_revision() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    put(&*one.journal, "a", Expect::Absent, json!(1)).await.unwrap();
    other.reaches(&one).await;
    let dir = other.leave().await;
    put(&*one.journal, "b", Expect::Absent, json!("while away")).await.unwrap();
    one.journal.commit(Change::new().delete(key("a"), Expect::Anything)).await.unwrap();
    let back = Process::join_in(&etcd.url(), dir).await;
    assert_eq!(records(&back).await, records(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_away_past_a_compaction_loads_everything_anew() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    for name in ["stays", "changes", "goes"] {
        put(&*one.journal, name, Expect::Absent, json!("before")).await.unwrap();
    }
    other.reaches(&one).await;
    let dir = other.leave().await;
    put(&*one.journal, "changes", Expect::Anything, json!("after")).await.unwrap();
    one.journal.commit(Change::new().delete(key("goes"), Expect::Anything)).await.unwrap();
    for n in 0..300 {
        put(&*one.journal, &format!("new-{n:03}"), Expect::Absent, json!("x".repeat(1000))).await.unwrap();
    }
    etcd.compact(etcd.revision().await).await;
    let back = Process::join_in(&etcd.url(), dir).await;
    assert_eq!(records(&back).await, records(&one).await);
    let revision = put(&*back.journal, "goes", Expect::Absent, json!("again")).await.unwrap();
    assert_eq!(read(&back.store, &key("goes")).await.unwrap().revision, revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_another_etcd_is_loaded_anew() {
    let (first, second) = (Etcd::start(1).await, Etcd::start(1).await);
    let process = Process::join(&first.url()).await;
    put(&*process.journal, "old", Expect::Absent, json!(1)).await.unwrap();
    let dir = process.leave().await;
    let other = Process::join(&second.url()).await;
    put(&*other.journal, "new", Expect::Absent, json!(1)).await.unwrap();
    let moved = Process::join_in(&second.url(), dir).await;
    assert_eq!(records(&moved).await, records(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_changes_in_a_row_arrive_whole() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    let dir = other.leave().await;
    let half: String = "y".repeat(480_000);
    for n in 0..12 {
        let change = Change::new().put(key(&format!("l{n:02}")), Expect::Absent, &json!([n, half])).unwrap();
        one.journal
            .commit(change.put(key(&format!("m{n:02}")), Expect::Absent, &json!([n, half])).unwrap())
            .await
            .unwrap();
    }
    let back = Process::join_in(&etcd.url(), dir).await;
    assert_eq!(records(&back).await, records(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_reads_go_on_and_writes_are_refused_soon_and_come_back() {
    let mut etcd = Etcd::start(3).await;
    let process = Process::join(&etcd.url()).await;
    put(&*process.journal, "a", Expect::Absent, json!(1)).await.unwrap();
    for number in 0..2 {
        etcd.member(number).kill();
    }
    let began = Instant::now();
    let refused = put(&*process.journal, "b", Expect::Absent, json!(1)).await;
    assert!(refused.as_ref().is_err_and(JournalError::is_outage), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    eventually(DEADLINE, || async { process.journal.obstacle().is_some() }).await;
    let began = Instant::now();
    let refused = put(&*process.journal, "c", Expect::Absent, json!(1)).await;
    assert!(refused.as_ref().is_err_and(JournalError::is_outage), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "a write that cannot succeed took {:?}", began.elapsed());
    assert_eq!(read(&process.store, &key("a")).await.unwrap().value, json!(1));
    for number in 0..2 {
        etcd.member(number).restart();
    }
    eventually(DEADLINE, || async { process.journal.obstacle().is_none() }).await;
    put(&*process.journal, "d", Expect::Absent, json!(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_starts_without_etcd_on_what_it_knew() {
    let mut etcd = Etcd::start(1).await;
    let process = Process::join(&etcd.url()).await;
    put(&*process.journal, "a", Expect::Absent, json!(1)).await.unwrap();
    let dir = process.leave().await;
    etcd.stop_all();
    let process = Process::join_in(&etcd.url(), dir).await;
    assert_eq!(read(&process.store, &key("a")).await.unwrap().value, json!(1));
    assert!(process.journal.obstacle().is_some());
    etcd.restart_all().await;
    eventually(DEADLINE, || async { process.journal.obstacle().is_none() }).await;
    put(&*process.journal, "b", Expect::Absent, json!(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_member_holds_nobody_up_for_long() {
    let mut etcd = Etcd::start(3).await;
    let process = Process::join(&etcd.url()).await;
    for number in 0..3 {
        etcd.member(number).suspend();
        for n in 0..20 {
            put(&*process.journal, &format!("{number}-{n}"), Expect::Absent, json!(n)).await.unwrap();
        }
        etcd.member(number).resume();
        etcd.wait_ready(DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_committed_once_while_leaders_of_etcd_are_killed() {
    let mut etcd = Etcd::start_with(EtcdOptions { members: 3, fsync: true, ..EtcdOptions::default() }).await;
    let process = Process::join(&etcd.url()).await;
    put(&*process.journal, "n", Expect::Absent, json!(0)).await.unwrap();
    let mut counted = 0;
    for _ in 0..3 {
        let killed = etcd.kill_leader().await;
        for _ in 0..20 {
            let now = read(&process.store, &key("n")).await.unwrap();
            assert_eq!(now.value, json!(counted));
            put(&*process.journal, "n", Expect::At(now.revision), json!(counted + 1)).await.unwrap();
            counted += 1;
        }
        etcd.member(killed).restart();
        etcd.wait_ready(DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_leads_and_the_next_one_follows_when_it_leaves() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    let (mut ones, mut others) = (one.membership.term(), other.membership.term());
    let one_leads = tokio::select! {
        elected = ones.wait_for(Option::is_some) => elected.is_ok(),
        elected = others.wait_for(Option::is_some) => elected.is_err(),
    };
    drop((ones, others));
    let (first, second) = if one_leads { (one, other) } else { (other, one) };
    let term = first.leads().await;
    eventually(DEADLINE, || async { second.membership.leader() == Some(first.id.clone()) }).await;
    assert!(second.membership.term().borrow().is_none());
    assert!(second.membership.is_live(&first.id) && first.membership.is_live(&second.id));
    let fenced = Fenced::new(Arc::clone(&first.journal), term.clone());
    put(&fenced, "a", Expect::Absent, json!("in term")).await.unwrap();
    let (first_id, began) = (first.id.clone(), Instant::now());
    first.leave().await;
    second.leads().await;
    assert!(began.elapsed() < Duration::from_secs(5), "a leader that leaves is followed at once");
    // The former leader's change arrives late, through whomever: its term is over.
    let late = Fenced::new(Arc::clone(&second.journal), term);
    let refused = put(&late, "b", Expect::Absent, json!("late")).await;
    assert!(matches!(refused, Err(JournalError::Deposed)), "{refused:?}");
    assert_eq!(read(&second.store, &key("b")).await, None);
    eventually(DEADLINE, || async { !second.membership.is_live(&first_id) }).await;
}

/// The key may go while the lease stays: who leads on without it is refused every change, and nobody else stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_whose_candidature_is_gone_steps_down_and_stands_again() {
    let etcd = Etcd::start(1).await;
    let first = Process::join(&etcd.url()).await;
    let void = first.leads().await;
    let mut client = etcd_client::Client::connect(etcd.endpoints(), None).await.unwrap();
    let all = etcd_client::DeleteOptions::new().with_prefix();
    assert_eq!(client.delete("tritontube/leader/", Some(all)).await.unwrap().deleted(), 1);
    let mut term = first.membership.term();
    let next = term.wait_for(|term| term.as_ref().is_some_and(|term| *term != void));
    let next = tokio::time::timeout(DEADLINE, next).await.expect("it never stands again").unwrap().clone();
    let fenced = Fenced::new(Arc::clone(&first.journal), next.unwrap());
    put(&fenced, "a", Expect::Absent, json!("in the next term")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_ahead_of_an_etcd_restored_from_a_backup_is_loaded_anew() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    put(&*one.journal, "a", Expect::Absent, json!(1)).await.unwrap();
    other.reaches(&one).await;
    let dir = other.leave().await;
    // What was committed after the backup: only the local records of one process have it.
    let store = open(dir.path()).await;
    let goal = etcd.revision().await + 1_000;
    let lost = SqliteJournal::new(store.clone());
    let mut revision = put(&lost, "a", Expect::Anything, json!("lost")).await.unwrap();
    while revision.get() < goal {
        revision = put(&lost, "lost", Expect::Anything, json!(revision.get())).await.unwrap();
    }
    store.close().await;
    let back = Process::join_in(&etcd.url(), dir).await;
    assert_eq!(records(&back).await, records(&one).await);
    put(&*back.journal, "b", Expect::Absent, json!(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_to_another_process_is_told_when_its_own_store_shows_the_winner() {
    let etcd = Etcd::start(1).await;
    let (one, other) = (Process::join(&etcd.url()).await, Process::join(&etcd.url()).await);
    let first = put(&*one.journal, "a", Expect::Absent, json!("first")).await.unwrap();
    other.reaches(&one).await;
    // As long as this transaction lasts the loser's store takes nothing in.
    let database = format!("sqlite://{}", other.dir.path().join("replica.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&database).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    let winner = put(&*one.journal, "a", Expect::At(first), json!("winner")).await.unwrap();
    let losing = async {
        let refused = put(&*other.journal, "a", Expect::At(first), json!("loser")).await;
        assert!(matches!(refused, Err(JournalError::Conflict { .. })), "{refused:?}");
        assert_eq!(read(&other.store, &key("a")).await.unwrap().revision, winner);
    };
    let waiting = async {
        sleep(Duration::from_millis(300)).await;
        sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    };
    tokio::join!(losing, waiting);
}
