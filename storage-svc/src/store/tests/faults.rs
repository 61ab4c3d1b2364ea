//! Disks that fail, lie, fall short and fill up, call by call.

use jiff::{SignedDuration, Timestamp};
use rustix::io::Errno;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use triton_api::{
    Epoch,
    storage::{DiskState, Tombstone},
};

use super::{
    scripted::{Call, Scripted, Trouble},
    *,
};

/// A store on a disk that can be told what to do, with a blob `before` and a deleted key `gone` on it.
pub(super) fn scripted() -> (TempDir, Arc<Scripted>, Store) {
    let dir = tempfile::tempdir().unwrap();
    let files = Scripted::new(dir.path());
    let store = open_on(&files, dir.path());
    put(&store, "before", &sample()).unwrap();
    store.delete(&key("gone"), None, None).unwrap();
    (dir, files, store)
}

pub(super) fn open_on(files: &Arc<Scripted>, dir: &Path) -> Store {
    let store = Store::open_on(Arc::<Scripted>::clone(files), dir, Some(0)).unwrap();
    assert!(store.count_for(Duration::MAX).unwrap());
    store
}

fn assert_nothing_is_left_of_it(dir: &TempDir, store: &Store, text: &str) {
    assert!(matches!(get(store, text), Err(StoreError::NotFound(_))), "{text}");
    assert!(names_in(&dir.path().join("tmp")).is_empty(), "{text}");
    assert_eq!(get(store, "before").unwrap(), sample(), "{text}");
    let info = store.info().unwrap();
    assert_eq!((info.blobs, info.used_bytes), (1, sample().len() as u64), "{text}");
}

/// The calls of a write that can find the disk full or failing, but for the syncs of what has its name already.
const WRITE_CALLS: [(Call, &str, usize); 5] = [
    (Call::Create, "tmp/", 0),
    (Call::Write, "tmp/", 0),
    // The footer, after the content.
    (Call::Write, "tmp/", 1),
    (Call::MakeDir, "blobs/", 0),
    (Call::Publish, "blobs/", 0),
];

#[test]
fn full_disk_fails_the_write_and_leaves_nothing_and_room_heals_it() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        for (number, (call, path_part, skip)) in WRITE_CALLS.into_iter().enumerate() {
            let (dir, files, store) = scripted();
            let text = format!("full/{number}");
            files.fault(call, path_part, skip, usize::MAX, Trouble::Error(errno));
            let content = vec![7; 5000];
            assert!(matches!(put(&store, &text, &content), Err(StoreError::Full)), "{call:?} {skip}");
            assert!(files.heal() > 0, "{call:?} was not met");
            assert_nothing_is_left_of_it(&dir, &store, &text);
            assert_eq!(store.disk_state().unwrap(), DiskState::Ok, "a full disk is no broken one");
            assert!(put(&store, &text, &content).unwrap().fresh);
        }
    }
}

/// A delayed allocation can find no room as late as at the sync: the content is not there then, and the sync is never
/// tried again.
#[test]
fn sync_that_finds_no_room_fails_the_write_and_turns_the_disk_read_only() {
    let (dir, files, store) = scripted();
    files.fault(Call::Sync, "tmp/", 0, 1, Trouble::Error(Errno::NOSPC));
    assert!(matches!(put(&store, "a", b"x"), Err(StoreError::Full)));
    assert_nothing_is_left_of_it(&dir, &store, "a");
    assert!(matches!(put(&store, "a", b"x"), Err(StoreError::ReadOnly)));
}

#[test]
fn failing_write_leaves_no_ghost_and_the_node_goes_on() {
    for (number, (call, path_part, skip)) in WRITE_CALLS.into_iter().enumerate() {
        let (dir, files, store) = scripted();
        let text = format!("failing/{number}");
        files.fault(call, path_part, skip, 1, Trouble::Error(Errno::IO));
        assert!(matches!(put(&store, &text, &vec![7; 5000]), Err(StoreError::Disk(_))), "{call:?} {skip}");
        assert_nothing_is_left_of_it(&dir, &store, &text);
        assert!(put(&store, &text, &vec![7; 5000]).unwrap().fresh);
        drop(store);
        assert_eq!(open_on(&files, dir.path()).info().unwrap().blobs, 2);
    }
}

#[test]
fn full_disk_can_still_be_emptied_or_says_that_it_cannot() {
    let (dir, files, store) = scripted();
    // A tombstone needs a little room. Without it the delete has not happened.
    files.fault_always(Call::Write, "tmp/", Trouble::Error(Errno::NOSPC));
    assert!(matches!(store.delete(&key("before"), None, None), Err(StoreError::Full)));
    assert!(names_in(&dir.path().join("tmp")).is_empty());
    // Two others may have had room for it: what they deleted is not served from here.
    assert!(matches!(get(&store, "before"), Err(StoreError::Deleted(_))));
    assert!(matches!(store.head(&key("before")), Err(StoreError::Deleted(_))));
    assert_eq!(store.info().unwrap().blobs, 1, "it can still be deleted");
    files.heal();
    store.delete(&key("before"), None, None).unwrap();
    assert!(matches!(get(&store, "before"), Err(StoreError::Deleted(_))));
}

#[test]
fn reading_trouble_is_unknown_and_never_absent_or_corrupt() {
    for (call, skip) in [(Call::Open, 0), (Call::Stat, 0), (Call::Read, 0), (Call::Read, 1)] {
        let (dir, files, store) = scripted();
        put(&store, "long", &sample().repeat(2)).unwrap();
        files.fault(call, "blobs/", skip, usize::MAX, Trouble::Error(Errno::IO));
        for _ in 0..2 {
            assert!(matches!(get(&store, "long"), Err(StoreError::Disk(_))), "{call:?} {skip}");
        }
        if skip == 0 {
            assert!(matches!(store.head(&key("long")), Err(StoreError::Disk(_))), "{call:?}");
        }
        assert!(files.heal() > 0);
        assert_eq!(get(&store, "long").unwrap(), sample().repeat(2));
        assert_eq!(store.info().unwrap().quarantined, 0, "{call:?}: one look is not enough");
        assert!(names_in(&dir.path().join("quarantine")).is_empty());
    }
}

/// "Absent" is what other nodes and the repair act upon: no trouble may look like it.
#[test]
fn listing_and_tombstones_that_cannot_be_read_are_unknown_too() {
    let (_dir, files, store) = scripted();
    files.fault_always(Call::List, "blobs/", Trouble::Error(Errno::IO));
    assert!(matches!(store.inventory(partition("before"), None, 10), Err(StoreError::Disk(_))));
    files.heal();
    files.fault_always(Call::Stat, "tombstones/", Trouble::Error(Errno::IO));
    assert!(matches!(store.is_deleted(&key("gone")), Err(StoreError::Disk(_))));
    assert!(matches!(put(&store, "gone", b"x"), Err(StoreError::Disk(_))), "it may have been deleted");
    files.heal();
    assert!(matches!(put(&store, "gone", b"x"), Err(StoreError::Gone(_))));
}

#[test]
fn short_reads_and_short_writes_change_nothing() {
    let (_dir, files, store) = scripted();
    files.fault_always(Call::Write, "tmp/", Trouble::Short(4096));
    files.fault_always(Call::Read, "", Trouble::Short(1000));
    for (number, content) in [sample(), sample().repeat(3).into(), Bytes::new()].into_iter().enumerate() {
        let text = format!("short/{number}");
        put(&store, &text, &content).unwrap();
        assert_eq!(get(&store, &text).unwrap(), content);
    }
    assert!(files.heal() > 100);
    assert_eq!(get(&store, "short/1").unwrap(), sample().repeat(3));
    assert_eq!(store.info().unwrap().quarantined, 0);
}

#[test]
fn write_that_takes_nothing_is_an_error_and_no_endless_loop() {
    let (dir, files, store) = scripted();
    files.fault_always(Call::Write, "tmp/", Trouble::Short(0));
    assert!(matches!(put(&store, "a", b"xyz"), Err(StoreError::Disk(_))));
    assert_nothing_is_left_of_it(&dir, &store, "a");
}

#[test]
fn flipped_bit_on_its_way_from_the_disk_is_never_served() {
    // In the payload, in the sums, in the description, in the tail of a file that is read whole.
    let content = sample();
    for at in [0, 70_000, content.len() - 1, content.len() + 2, content.len() + 30, content.len() + 12 + 1000] {
        let (dir, files, store) = scripted();
        files.fault(Call::Read, "blobs/", 0, 1, Trouble::Flip(at));
        assert!(matches!(get(&store, "before"), Err(StoreError::Corrupt { .. })), "at {at}");
        assert_eq!(files.heal(), 1);
        assert!(matches!(get(&store, "before"), Err(StoreError::NotFound(_))), "at {at}: it is put aside");
        assert_eq!(names_in(&dir.path().join("quarantine")).len(), 1);
        assert!(put(&store, "before", &content).unwrap().fresh);
    }
}

/// Which syncs there are, and whether the write that meets the failure has its name by then.
const SYNCS: [(Call, &str); 3] = [(Call::Sync, "tmp/"), (Call::SyncDir, "blobs$"), (Call::SyncDir, "blobs/")];

#[test]
fn failed_sync_is_not_tried_again_and_reads_go_on() {
    for (call, path_part) in SYNCS {
        let (dir, files, store) = scripted();
        let pending = store.stage(&key("pending"), Claim::default()).unwrap();
        // Once only: a store that tried again would be told that all is well.
        files.fault(call, path_part, 0, 1, Trouble::Error(Errno::IO));
        assert!(matches!(put(&store, "a", b"x"), Err(StoreError::Disk(_))), "{path_part}");
        assert_eq!(store.disk_state().unwrap(), DiskState::ReadOnly);
        assert!(matches!(put(&store, "a", b"x"), Err(StoreError::ReadOnly)), "{path_part}");
        assert!(matches!(put(&store, "b", b"x"), Err(StoreError::ReadOnly)), "{path_part}");
        assert!(matches!(pending.commit(), Err(StoreError::ReadOnly)), "{path_part}");
        assert_eq!(get(&store, "before").unwrap(), sample());
        assert!(matches!(store.delete(&key("before"), None, None), Err(StoreError::ReadOnly)));
        assert!(names_in(&dir.path().join("tmp")).is_empty());
        assert_eq!(files.heal(), 1);
        drop(store);
        let store = open_on(&files, dir.path());
        assert_eq!(store.disk_state().unwrap(), DiskState::Ok, "a restart is what it takes");
        put(&store, "a", b"x").unwrap();
    }
}

#[test]
fn name_whose_sync_failed_is_confirmed_to_nobody() {
    let (_dir, files, store) = scripted();
    files.fault(Call::SyncDir, "blobs/", 0, 1, Trouble::Error(Errno::IO));
    assert!(put(&store, "a", b"x").is_err());
    // It can be read, for its bytes are right. Whether it stays is not known.
    assert_eq!(get(&store, "a").unwrap().as_ref(), b"x");
    assert!(store.head(&key("a")).is_err());
    assert!(store.inventory(partition("a"), None, 10).is_err());
}

#[test]
fn failed_sync_of_one_writer_fails_all_that_share_it() {
    let (_dir, files, store) = scripted();
    let home = partition("before");
    let all = (0..).map(|number| format!("n/{number}"));
    let texts: Vec<_> = all.filter(|text| partition(text) == home).take(6).collect();
    let staged: Vec<_> = texts.iter().map(|text| store.stage(&key(text), Claim::default()).unwrap()).collect();
    files.fault(Call::SyncDir, "blobs/", 0, 1, Trouble::Error(Errno::IO));
    let acknowledged = std::thread::scope(|scope| {
        let commits: Vec<_> = staged.into_iter().map(|staged| scope.spawn(|| staged.commit().is_ok())).collect();
        commits.into_iter().map(|commit| commit.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(acknowledged, 0, "the disk takes the second sync of a directory, and nobody may believe it");
}

#[test]
fn node_whose_first_sync_fails_starts_read_only() {
    let (dir, files, store) = scripted();
    drop(store);
    files.fault_always(Call::SyncEverything, "", Trouble::Error(Errno::IO));
    let store = open_on(&files, dir.path());
    assert_eq!(store.disk_state().unwrap(), DiskState::ReadOnly);
    assert_eq!(get(&store, "before").unwrap(), sample());
    assert!(matches!(put(&store, "a", b"x"), Err(StoreError::ReadOnly)));
}

#[test]
fn failed_layout_write_keeps_the_old_layout() {
    use super::fences::{layouts, record};
    let (dir, files, store) = scripted();
    let [first, second, _] = layouts();
    store.learn_layout(record(&first, None)).unwrap();
    for call in [Call::Create, Call::Write, Call::Replace] {
        files.fault(call, "layout.json", 0, 1, Trouble::Error(Errno::NOSPC));
        assert!(store.learn_layout(record(&first, Some(&second))).is_err(), "{call:?}");
        assert_eq!(files.heal(), 1);
        assert_eq!(store.layout().as_deref(), Some(&record(&first, None)));
    }
    store.learn_layout(record(&first, Some(&second))).unwrap();
    drop(store);
    assert_eq!(open_on(&files, dir.path()).layout().as_deref(), Some(&record(&first, Some(&second))));
}

#[test]
fn delete_that_a_read_only_disk_refuses_ends_the_serving_of_its_copy() {
    let (_dir, files, store) = scripted();
    let opened = store.open_blob(&key("before")).unwrap();
    files.fault(Call::Sync, "tmp/", 0, 1, Trouble::Error(Errno::IO));
    assert!(put(&store, "broken", b"x").is_err());
    assert!(files.heal() > 0);
    assert!(matches!(store.delete(&key("before"), None, None), Err(StoreError::ReadOnly)));
    assert!(matches!(get(&store, "before"), Err(StoreError::Deleted(_))));
    assert!(matches!(store.head(&key("before")), Err(StoreError::Deleted(_))));
    assert_ne!(store.removals(opened.file_facts().partition), opened.removals(), "a cache looks again");
    assert!(store.is_named(&key("before"), &opened.file_facts()).is_err());
}

#[test]
fn directory_that_cannot_be_opened_fails_one_write_and_not_the_disk() {
    let (_dir, files, store) = scripted();
    files.fault(Call::Open, "blobs/", 0, 1, Trouble::Error(Errno::MFILE));
    assert!(put(&store, "unlucky", b"x").is_err());
    assert!(files.heal() > 0);
    assert_eq!(store.disk_state().unwrap(), DiskState::Ok);
    assert!(put(&store, "lucky", b"x").unwrap().fresh);
}

#[test]
fn blob_whose_file_cannot_be_read_can_be_deleted() {
    let (_dir, files, store) = scripted();
    files.fault(Call::Read, "blobs/", 0, usize::MAX, Trouble::Error(Errno::IO));
    store.delete(&key("before"), None, None).unwrap();
    assert!(files.heal() > 0);
    assert!(matches!(get(&store, "before"), Err(StoreError::Deleted(_))));
}

#[test]
fn delete_that_was_missed_is_taken_over_where_the_blob_cannot_be_read() {
    let (_dir, files, store) = scripted();
    let deleted = Tombstone { key: key("before"), hash: BlobHash::of(&sample()), age_ms: 1000 };
    for call in [Call::Open, Call::Read] {
        files.fault_always(call, "blobs/", Trouble::Error(Errno::IO));
        assert!(store.is_news(&deleted).unwrap(), "{call:?}");
        assert!(files.heal() > 0);
    }
    files.fault_always(Call::Read, "blobs/", Trouble::Error(Errno::IO));
    store.take_over(&deleted, None).unwrap();
    assert!(!store.is_news(&deleted).unwrap());
    assert!(matches!(get(&store, "before"), Err(StoreError::Deleted(_))));
}

/// An unlink that may not outlast a crash is worse than none: others would count on it.
#[test]
fn read_only_disk_forgets_nothing_and_can_be_emptied() {
    let (dir, files, store) = scripted();
    put(&store, "aside", b"x").unwrap();
    assert!(store.set_aside(&key("aside"), 0, Epoch::new(1)).unwrap());
    files.fault(Call::Sync, "tmp/", 0, 1, Trouble::Error(Errno::IO));
    assert!(put(&store, "broken", b"x").is_err());
    assert!(files.heal() > 0);
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 30);
    assert!(matches!(store.sweep_orphans(later), Err(StoreError::ReadOnly)));
    assert!(matches!(store.sweep_tombstones(later), Err(StoreError::ReadOnly)));
    assert!(matches!(store.drop_tombstones(partition("gone"), |_| true), Err(StoreError::ReadOnly)));
    assert_eq!(names_in(&dir.path().join("orphans")).len(), 1);
    assert!(store.is_deleted(&key("gone")).unwrap());
    assert_eq!(get(&store, "before").unwrap(), sample());
    assert!(store.release(&key("before"), |_| true).unwrap().is_some());
    assert_eq!(store.settle_release(partition("before")).unwrap(), 0);
}
