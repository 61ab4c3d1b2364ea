//! Blobs that are moved aside and brought back.

use jiff::{SignedDuration, Timestamp};
use triton_api::Epoch;

use super::*;

const EPOCH: Epoch = Epoch::new(1);

#[test]
fn blob_moved_aside_is_gone_for_readers_and_comes_back_whole() {
    let (dir, store) = temporary();
    put(&store, "v/x/1/seg", &sample()).unwrap();
    let (before, sums) = (store.info().unwrap(), store.digests());
    assert!(store.set_aside(&key("v/x/1/seg"), 0, EPOCH).unwrap());
    assert!(matches!(get(&store, "v/x/1/seg"), Err(StoreError::NotFound(_))));
    let aside = store.info().unwrap();
    assert_eq!((aside.blobs, aside.orphans, store.digests().len()), (0, 1, 0));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.info().unwrap().orphans, 1);
    let listed = store.list_orphans(None).unwrap().items;
    assert_eq!((listed[0].key.as_str(), listed[0].len_bytes), ("v/x/1/seg", sample().len() as u64));
    assert!(store.bring_back(&key("v/x/1/seg")).unwrap());
    assert_eq!(get(&store, "v/x/1/seg").unwrap(), sample());
    let after = store.info().unwrap();
    assert_eq!((after.blobs, after.used_bytes, after.orphans), (1, before.used_bytes, 0));
    assert_eq!(store.digests(), sums);
    assert!(!store.bring_back(&key("v/x/1/seg")).unwrap());
}

#[test]
fn young_blob_stays_whatever_the_leader_thinks() {
    let (_dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    assert!(!store.set_aside(&key("a"), 60_000, EPOCH).unwrap());
    assert_eq!(get(&store, "a").unwrap(), sample());
}

#[test]
fn deleted_blob_is_not_brought_back() {
    let (_dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    assert!(store.set_aside(&key("a"), 0, EPOCH).unwrap());
    store.delete(&key("a"), None, None).unwrap();
    assert!(!store.bring_back(&key("a")).unwrap());
    assert!(matches!(get(&store, "a"), Err(StoreError::Deleted(_))));
}

#[test]
fn orphan_is_unlinked_after_a_week_and_not_before() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    assert!(store.set_aside(&key("a"), 0, EPOCH).unwrap());
    let in_days = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    store.uptime.pass(SignedDuration::from_hours(24 * 6));
    assert_eq!(store.sweep_orphans(in_days(6)).unwrap(), 0);
    assert_eq!(store.sweep_orphans(in_days(8)).unwrap(), 1);
    assert!(names_in(&dir.path().join("orphans")).is_empty());
}

#[test]
fn orphan_outlives_a_clock_that_jumps() {
    let (dir, store) = temporary();
    store.uptime.pass(SignedDuration::from_hours(1000));
    put(&store, "a", &sample()).unwrap();
    assert!(store.set_aside(&key("a"), 0, EPOCH).unwrap());
    let jumped = Timestamp::now() + SignedDuration::from_hours(24 * 8);
    assert_eq!(store.sweep_orphans(jumped).unwrap(), 0);
    // What the node has seen passing outlasts its stop.
    store.uptime.pass(SignedDuration::from_hours(24 * 3));
    store.remember_uptime().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sweep_orphans(jumped).unwrap(), 0);
    store.uptime.pass(SignedDuration::from_hours(24));
    assert_eq!(store.sweep_orphans(jumped).unwrap(), 1);
}

#[test]
fn orphan_of_an_earlier_version_is_found() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    assert!(store.set_aside(&key("a"), 0, EPOCH).unwrap());
    let folder = dir.path().join("orphans");
    let earlier = format!("{:04}.{}.a", partition("a").get(), Timestamp::now().as_second());
    std::fs::rename(folder.join(&names_in(&folder)[0]), folder.join(earlier)).unwrap();
    assert_eq!(store.sweep_orphans(Timestamp::now() + SignedDuration::from_hours(24 * 8)).unwrap(), 0);
    assert!(store.bring_back(&key("a")).unwrap());
}
