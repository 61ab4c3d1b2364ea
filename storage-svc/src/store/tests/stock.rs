//! What a store remembers of its counts from one process to the next.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    faults::{open_on, scripted},
    scripted::{Call, Scripted, Trouble},
    *,
};
use crate::store::ledger::{Tally, UNREADABLE_MAX, UNREADABLE_MIN};

/// Longer than the time in which a directory's change is too fresh to be written down.
const STEADY: Duration = Duration::from_millis(150);

fn reopen(dir: &Path) -> Store {
    Store::open(dir, Some(0)).unwrap()
}

fn tally(store: &Store, text: &str) -> Option<Tally> {
    store.ledger.lock(partition(text)).tally()
}

/// As a later stop would do it.
fn remember(store: &Store) {
    std::thread::sleep(STEADY);
    store.remember(None).unwrap();
}

fn digests(store: &Store) -> Vec<triton_api::storage::PartitionDigest> {
    store.digests()
}

#[test]
fn counts_and_sums_outlive_a_stop_without_another_look_at_the_blobs() {
    let (dir, store) = temporary();
    for number in 0..50 {
        put(&store, &format!("k/{number}"), &sample()).unwrap();
    }
    store.delete(&key("k/7"), None, None).unwrap();
    let (before, sums) = (store.info().unwrap(), digests(&store));
    remember(&store);
    drop(store);
    let store = reopen(dir.path());
    let after = store.info().unwrap();
    assert_eq!((after.blobs, after.used_bytes, after.counting), (before.blobs, before.used_bytes, false));
    let known = store.ledger.lock(partition("k/1")).sum();
    assert!(known.is_some());
    assert_eq!(digests(&store), sums);
}

#[test]
fn after_a_crash_only_what_changed_since_is_counted_again() {
    let (dir, store) = temporary();
    put(&store, "still", &sample()).unwrap();
    put(&store, "grows", &sample()).unwrap();
    put(&store, "loses", &sample()).unwrap();
    remember(&store);
    put(&store, "grows", &sample()).unwrap();
    let more = (0..9999).map(|n| format!("more/{n}")).find(|text| partition(text) == partition("grows")).unwrap();
    put(&store, &more, &sample()).unwrap();
    store.delete(&key("loses"), None, None).unwrap();
    let (info, sums) = (store.info().unwrap(), digests(&store));
    // Nothing is written at the end: that is what a crash is.
    drop(store);
    let store = reopen(dir.path());
    assert!(store.info().unwrap().counting);
    assert_eq!(tally(&store, "still").map(|tally| tally.blobs), Some(1));
    assert_eq!((tally(&store, "grows"), tally(&store, "loses")), (None, None));
    assert!(store.count_for(Duration::MAX).unwrap());
    let after = store.info().unwrap();
    assert_eq!((after.blobs, after.used_bytes, after.counting), (info.blobs, info.used_bytes, false));
    assert_eq!(digests(&store), sums);
}

#[test]
fn a_partition_that_changed_a_moment_ago_is_not_written_down() {
    let (dir, store) = temporary();
    std::thread::sleep(STEADY);
    put(&store, "fresh", &sample()).unwrap();
    store.remember(None).unwrap();
    drop(store);
    assert_eq!(tally(&reopen(dir.path()), "fresh"), None);
}

#[test]
fn a_damaged_ledger_costs_a_count_and_nothing_else() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    remember(&store);
    drop(store);
    fs::write(dir.path().join("ledger.json"), "{\"v\": 1, \"part").unwrap();
    let store = open(dir.path());
    assert_eq!(store.info().unwrap().blobs, 1);
}

#[test]
fn changes_made_while_a_store_is_being_counted_are_counted_once() {
    let (dir, store) = temporary();
    let contents: Vec<String> = (0..40).map(|number| format!("k/{number}")).collect();
    for text in &contents {
        put(&store, text, &sample()).unwrap();
    }
    drop(store);
    let store = reopen(dir.path());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for text in &contents {
                store.delete(&key(text), None, None).unwrap();
                put(&store, &format!("{text}/new"), b"x").unwrap();
            }
        });
        assert!(store.count_for(Duration::MAX).unwrap());
    });
    let info = store.info().unwrap();
    assert_eq!((info.blobs, info.used_bytes), (40, 40));
    let sums = digests(&store);
    drop(store);
    assert_eq!(digests(&open(dir.path())), sums, "sums kept up to date are those that are read");
}

#[test]
fn a_delete_that_was_cut_off_is_finished_before_anything_is_served() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    let kept = fs::read(blob_file(dir.path(), "a")).unwrap();
    store.delete(&key("a"), None, None).unwrap();
    drop(store);
    fs::write(blob_file(dir.path(), "a"), kept).unwrap();
    let store = reopen(dir.path());
    assert!(matches!(get(&store, "a"), Err(StoreError::Deleted(_))));
    assert!(!blob_file(dir.path(), "a").exists());
}

#[test]
fn partition_that_cannot_be_read_is_marked_and_the_others_are_told() {
    let (dir, files, store) = scripted();
    put(&store, "other", b"x").unwrap();
    let good = store.digests();
    assert!(good.len() == 3 && good.iter().all(|digest| !digest.unreadable));
    drop(store);
    let store = open_on(&files, dir.path());
    let home = format!("blobs/{:04}", partition("before").get());
    let mut now = Instant::now();
    for call in [Call::Read, Call::Open] {
        files.fault_always(call, &home, Trouble::Error(Errno::IO));
        let digests = store.digests_at(now);
        now += UNREADABLE_MAX;
        assert!(files.heal() > 0, "{call:?} was not met");
        for (now, before) in digests.iter().zip(&good) {
            let is_home = now.partition == partition("before");
            assert_eq!((now.partition, now.blobs, now.unreadable), (before.partition, before.blobs, is_home));
            assert_eq!(now.digest == before.digest, !is_home, "what cannot be read equals nothing");
        }
    }
    assert_eq!(store.digests_at(now), good);
    files.fault_always(Call::List, &home, Trouble::Error(Errno::IO));
    drop(store);
    // Nor is a partition left out that could not even be counted.
    let store = Store::open_on(Arc::<Scripted>::clone(&files), dir.path(), Some(0)).unwrap();
    let marked: Vec<_> = store.digests().into_iter().filter(|digest| digest.unreadable).collect();
    assert!(files.heal() > 0 && marked.len() == 1 && marked[0].partition == partition("before"));
    assert_eq!(store.digests_at(Instant::now() + UNREADABLE_MAX), good);
}

#[test]
fn partition_that_cannot_be_read_is_not_tried_again_until_it_changes_or_some_minutes_later() {
    let (dir, files, store) = scripted();
    drop(store);
    let store = open_on(&files, dir.path());
    let home = format!("blobs/{:04}", partition("before").get());
    let tell = |now| {
        files.fault_always(Call::Read, &home, Trouble::Error(Errno::IO));
        let marked = store.digests_at(now).iter().filter(|digest| digest.unreadable).count();
        (files.heal(), marked)
    };
    let now = Instant::now();
    assert_eq!(tell(now), (1, 1));
    assert_eq!(tell(now + UNREADABLE_MIN / 2), (0, 1), "the disk was asked again");
    // The read itself takes a moment.
    let moment = Duration::from_secs(1);
    let again = now + UNREADABLE_MIN + moment;
    assert_eq!(tell(again), (1, 1));
    assert_eq!(tell(again + UNREADABLE_MIN), (0, 1), "it is not asked more seldom");
    let mut now = again + UNREADABLE_MIN * 2 + moment;
    for _ in 0..10 {
        assert_eq!(tell(now), (1, 1));
        now += UNREADABLE_MAX + moment;
    }
    let mut others = (0..9999).map(|n| format!("more/{n}"));
    put(&store, &others.find(|text| partition(text) == partition("before")).unwrap(), b"x").unwrap();
    now -= UNREADABLE_MAX + moment;
    assert_eq!(tell(now), (1, 1), "it has changed");
    assert_eq!(tell(now), (0, 1));
    assert!(store.look_again(&key("before")).unwrap().is_none());
    assert!(store.digests_at(now).iter().all(|digest| !digest.unreadable), "the blob was read meanwhile");
}
