//! The journal's contract as executable functions: every implementation runs them.

use std::sync::Arc;

use serde_json::{Value, json};
use triton_api::{Generation, VideoId};
use web_svc::{
    journal::{CHANGE_OPS_MAX, Change, Expect, Journal, JournalError, RecordKey, Revision, Term},
    store::{Store, Stored},
};

/// A journal with the store that it applies to, and whatever has to live as long as they do.
pub(crate) struct Fixture {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Store,
    #[expect(dead_code, reason = "dropped after the test")]
    pub(crate) keep: Box<dyn std::any::Any + Send>,
}

pub(crate) fn key(name: &str) -> RecordKey {
    RecordKey::worker(name)
}

pub(crate) async fn read(store: &Store, key: &RecordKey) -> Option<Stored<Value>> {
    store.get(key).await.unwrap()
}

pub(crate) async fn put(
    journal: &dyn Journal,
    name: &str,
    expect: Expect,
    value: Value,
) -> Result<Revision, JournalError> {
    journal.commit(Change::new().put(key(name), expect, &value)?).await
}

pub(crate) async fn a_writer_reads_what_it_wrote(Fixture { journal, store, .. }: Fixture) {
    let revision = put(&*journal, "a", Expect::Absent, json!({"n": 1})).await.unwrap();
    assert_eq!(read(&store, &key("a")).await, Some(Stored { value: json!({"n": 1}), revision }));
    assert!(store.revision().await.unwrap() >= revision);
    journal.commit(Change::new().delete(key("a"), Expect::At(revision))).await.unwrap();
    assert_eq!(read(&store, &key("a")).await, None);
}

pub(crate) async fn a_change_with_a_false_condition_changes_nothing(Fixture { journal, store, .. }: Fixture) {
    let first = put(&*journal, "a", Expect::Absent, json!(1)).await.unwrap();
    let second = put(&*journal, "a", Expect::At(first), json!(2)).await.unwrap();
    for (name, wrong) in [("a", Expect::Absent), ("a", Expect::At(first)), ("b", Expect::At(second))] {
        let change = Change::new().put(key("c"), Expect::Anything, &json!(9)).unwrap();
        let change = change.put(key(name), wrong, &json!(9)).unwrap();
        let outcome = journal.commit(change).await;
        assert!(matches!(&outcome, Err(JournalError::Conflict { key: k }) if *k == key(name)), "{outcome:?}");
        let change = Change::new().put(key("c"), Expect::Absent, &json!(9)).unwrap().require(key(name), wrong);
        assert!(matches!(journal.commit(change).await, Err(JournalError::Conflict { .. })));
    }
    assert_eq!(read(&store, &key("a")).await.map(|a| a.value), Some(json!(2)));
    assert_eq!(read(&store, &key("c")).await, None);
    assert!(put(&*journal, "c", Expect::Absent, json!(1)).await.unwrap() > second);
}

pub(crate) async fn a_check_holds_without_touching_its_record(Fixture { journal, store, .. }: Fixture) {
    let first = put(&*journal, "leader", Expect::Absent, json!("me")).await.unwrap();
    let fenced = Change::new().require(key("leader"), Expect::At(first));
    journal.commit(fenced.put(key("a"), Expect::Absent, &json!(1)).unwrap()).await.unwrap();
    assert_eq!(read(&store, &key("leader")).await.unwrap().revision, first);
}

pub(crate) async fn of_concurrent_writers_on_one_revision_exactly_one_wins(Fixture { journal, store, .. }: Fixture) {
    let mut revision = put(&*journal, "a", Expect::Absent, json!(0)).await.unwrap();
    for round in 1..=20 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let journal = Arc::clone(&journal);
            writers.spawn(async move {
                put(&*journal, "a", Expect::At(revision), json!({"round": round, "writer": writer})).await
            });
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<Revision> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        revision = winners[0];
        assert_eq!(read(&store, &key("a")).await.unwrap().revision, revision);
    }
}

pub(crate) async fn who_loses_sees_at_once_what_the_winner_wrote(Fixture { journal, store, .. }: Fixture) {
    let first = put(&*journal, "a", Expect::Absent, json!(0)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let (journal, store) = (Arc::clone(&journal), store.clone());
        writers.spawn(async move {
            let outcome = put(&*journal, "a", Expect::At(first), json!(writer)).await;
            (outcome.is_err(), read(&store, &key("a")).await.unwrap().revision)
        });
    }
    for (lost, seen) in writers.join_all().await {
        assert!(seen > first, "a writer that {} sees the former record", if lost { "lost" } else { "won" });
    }
}

pub(crate) async fn concurrent_increments_are_all_counted(Fixture { journal, store, .. }: Fixture) {
    put(&*journal, "n", Expect::Absent, json!(0)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (journal, store) = (Arc::clone(&journal), store.clone());
        writers.spawn(async move {
            for _ in 0..5 {
                loop {
                    let now = read(&store, &key("n")).await.unwrap();
                    let next = json!(now.value.as_u64().unwrap() + 1);
                    match put(&*journal, "n", Expect::At(now.revision), next).await {
                        Ok(_) => break,
                        Err(JournalError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(read(&store, &key("n")).await.unwrap().value, json!(40));
}

pub(crate) async fn a_change_that_names_a_record_twice_is_refused(Fixture { journal, store, .. }: Fixture) {
    let change = Change::new().put(key("a"), Expect::Absent, &json!(1)).unwrap().delete(key("a"), Expect::Anything);
    assert!(matches!(journal.commit(change).await, Err(JournalError::Repeated { key: k }) if k == key("a")));
    assert_eq!(read(&store, &key("a")).await, None);
}

pub(crate) async fn a_delete_of_nothing_and_a_change_of_checks_only_commit(Fixture { journal, store, .. }: Fixture) {
    journal.commit(Change::new().delete(key("a"), Expect::Anything)).await.unwrap();
    journal.commit(Change::new().delete(key("a"), Expect::Absent)).await.unwrap();
    journal.commit(Change::new().require(key("a"), Expect::Absent)).await.unwrap();
    let revision = put(&*journal, "a", Expect::Absent, json!(1)).await.unwrap();
    assert_eq!(read(&store, &key("a")).await.unwrap().revision, revision);
}

pub(crate) async fn a_leader_that_is_alone_is_never_deposed(Fixture { journal, store, .. }: Fixture) {
    let change = Change::new().put(key("a"), Expect::Absent, &json!(1)).unwrap();
    journal.commit(change.in_term(Term::sole())).await.unwrap();
    assert!(read(&store, &key("a")).await.is_some());
    assert_eq!(journal.obstacle(), None);
}

pub(crate) async fn subscribers_see_every_change_in_order(Fixture { journal, store, .. }: Fixture) {
    let mut changes = store.subscribe();
    let a = put(&*journal, "a", Expect::Absent, json!(1)).await.unwrap();
    put(&*journal, "a", Expect::Absent, json!(1)).await.unwrap_err();
    let b = journal.commit(Change::new().delete(key("a"), Expect::At(a))).await.unwrap();
    let first = changes.recv().await.unwrap();
    let second = changes.recv().await.unwrap();
    assert_eq!((first.revision, second.revision), (a, b));
    assert_eq!(&*first.keys, [key("a")]);
    assert!(changes.try_recv().is_err());
}

pub(crate) async fn a_change_over_the_limits_is_refused(Fixture { journal, store, .. }: Fixture) {
    let mut change = Change::new();
    for n in 0..=CHANGE_OPS_MAX {
        change = change.put(key(&format!("{n:04}")), Expect::Absent, &json!(n)).unwrap();
    }
    assert!(matches!(journal.commit(change).await, Err(JournalError::TooManyOperations { .. })));
    let large = Change::new().put(key("large"), Expect::Absent, &"x".repeat(2 << 20)).unwrap();
    assert!(matches!(journal.commit(large).await, Err(JournalError::TooLarge { .. })));
    assert!(store.list::<Value>("worker/", 10).await.unwrap().is_empty());
}

pub(crate) async fn a_prefix_lists_its_records_and_no_others(Fixture { journal, store, .. }: Fixture) {
    let (one, other) = (VideoId::generate(), VideoId::generate());
    let mut change = Change::new();
    for id in [one, other] {
        for generation in [1, 2, 10] {
            change = change.put(RecordKey::plan(id, Generation::new(generation)), Expect::Absent, &json!({})).unwrap();
        }
    }
    journal.commit(change).await.unwrap();
    assert_eq!(store.list::<Value>(&format!("plan/{one}/"), 10).await.unwrap().len(), 3);
    assert_eq!(store.list::<Value>("plan/", 4).await.unwrap().len(), 4);
    assert!(store.list::<Value>("plane/", 10).await.unwrap().is_empty());
}

/// Runs the contract with the fixtures that `$fixture` makes.
macro_rules! conformance {
    ($fixture:path) => {
        conformance!($fixture:
            a_writer_reads_what_it_wrote,
            a_change_with_a_false_condition_changes_nothing,
            a_check_holds_without_touching_its_record,
            of_concurrent_writers_on_one_revision_exactly_one_wins,
            who_loses_sees_at_once_what_the_winner_wrote,
            concurrent_increments_are_all_counted,
            subscribers_see_every_change_in_order,
            a_change_over_the_limits_is_refused,
            a_change_that_names_a_record_twice_is_refused,
            a_delete_of_nothing_and_a_change_of_checks_only_commit,
            a_leader_that_is_alone_is_never_deposed,
            a_prefix_lists_its_records_and_no_others,
        );
    };
    ($fixture:path: $($contract:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $contract() {
            crate::contract::$contract($fixture().await).await;
        })*
    };
}
pub(crate) use conformance;
