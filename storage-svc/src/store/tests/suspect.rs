//! Copies that the disk does not give out, once or for good.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    faults::scripted,
    scripted::{Call, Scripted, Trouble},
    *,
};
use crate::store::suspect::{DAILY_MIN, LOOK_AFTER, SUSPECTS_MAX, Unreadable};

/// A bad sector: reads of the blob's own file fail, after the first `skip`.
fn spoil(files: &Arc<Scripted>, text: &str, skip: usize) {
    files.fault(Call::Read, &format!("/{}$", text.replace('/', ",")), skip, usize::MAX, Trouble::Error(Errno::IO));
}

fn fails(store: &Store, text: &str) -> bool {
    matches!(get(store, text), Err(StoreError::Disk(_)))
}

fn due(store: &Store) -> Vec<BlobKey> {
    store.due_suspects(Instant::now() + LOOK_AFTER)
}

fn unreadable(store: &Store, key: &BlobKey) -> Unreadable {
    store.look_again(key).unwrap().expect("it can be read")
}

#[test]
fn copy_that_fails_twice_counts_as_missing_and_another_one_takes_its_name() {
    // In the footer, and in the payload alone.
    for skip in [0, 1] {
        let (dir, files, store) = scripted();
        let without = store.digests();
        let content = sample().repeat(2);
        put(&store, "bad", &content).unwrap();
        let with = store.digests();
        for _ in 0..2 {
            spoil(&files, "bad", skip);
            assert!(fails(&store, "bad"), "{skip}");
            files.heal();
        }
        assert!(store.due_suspects(Instant::now()).is_empty(), "a fault may be over in a moment");
        assert_eq!((store.digests(), due(&store)), (with.clone(), vec![key("bad")]));
        spoil(&files, "bad", skip);
        assert!(store.put_unreadable_aside(&unreadable(&store, &key("bad")), Instant::now()).unwrap());
        assert!(matches!(get(&store, "bad"), Err(StoreError::NotFound(_))));
        assert!(matches!(store.head(&key("bad")), Err(StoreError::NotFound(_))));
        assert_eq!(store.inventory(partition("bad"), None, 10).unwrap().items.len(), 0);
        assert_eq!(store.digests(), without, "the leader sees that it is missing");
        assert_eq!((names_in(&dir.path().join("quarantine")).len(), store.info().unwrap().quarantined), (1, 1));
        files.heal();
        assert!(put(&store, "bad", &content).unwrap().fresh);
        assert_eq!((get(&store, "bad").unwrap(), store.digests()), (content.into(), with));
        assert!(store.head(&key("bad")).is_ok());
        assert!(store.due_suspects(Instant::now() + Duration::from_secs(999)).is_empty());
    }
}

#[test]
fn nobody_counts_on_a_suspect_until_it_was_read_through() {
    let (_dir, files, store) = scripted();
    put(&store, "a", &sample().repeat(2)).unwrap();
    spoil(&files, "a", 1);
    assert!(store.head(&key("a")).is_ok());
    files.heal();
    spoil(&files, "a", 1);
    assert!(fails(&store, "a"));
    files.heal();
    assert!(matches!(store.head(&key("a")), Err(StoreError::Unreadable(_))), "others may release theirs for it");
    assert!(matches!(put(&store, "a", &sample().repeat(2)), Err(StoreError::Unreadable(_))), "a write is not done");
    assert!(get(&store, "a").is_ok(), "every block is verified: who gets it may have it");
    assert_eq!(due(&store), [key("a")]);
    assert!(store.look_again(&key("a")).unwrap().is_none());
    assert!(store.head(&key("a")).is_ok() && !put(&store, "a", &sample().repeat(2)).unwrap().fresh);
    assert_eq!(store.info().unwrap().quarantined, 0);
}

#[test]
fn no_copy_is_counted_on_while_there_are_more_suspects_than_can_be_remembered() {
    let (_dir, _files, store) = scripted();
    put(&store, "sound", &sample()).unwrap();
    let bad: Vec<BlobKey> = (0..=SUSPECTS_MAX).map(|number| key(&format!("bad/{number}"))).collect();
    for key_of_one in &bad {
        assert!(store.head(&key("sound")).is_ok());
        store.suspects.note(key_of_one, Instant::now());
    }
    for cleared in &bad[..SUSPECTS_MAX] {
        assert!(matches!(store.head(&key("sound")), Err(StoreError::Unreadable(_))), "it may be the one too many");
        store.suspects.forget(cleared);
    }
    assert!(store.head(&key("sound")).is_ok(), "who reads the one too many notes it again");
}

#[test]
fn disk_that_gives_out_nothing_keeps_its_copies() {
    let (_dir, files, store) = scripted();
    let texts: Vec<String> = (0..=DAILY_MIN).map(|number| format!("all/{number}")).collect();
    for text in &texts {
        put(&store, text, &sample()).unwrap();
    }
    files.fault_always(Call::Read, "blobs/", Trouble::Error(Errno::IO));
    assert!(texts.iter().all(|text| fails(&store, text)));
    let (mut suspects, now) = (due(&store), Instant::now());
    assert_eq!(suspects.len(), texts.len());
    let last = suspects.pop().unwrap();
    let aside = |key: &BlobKey, now| store.put_unreadable_aside(&unreadable(&store, key), now).unwrap();
    assert!(store.may_put_aside(now));
    assert!(suspects.iter().all(|key| aside(key, now)));
    assert!(!store.may_put_aside(now));
    assert!(!aside(&last, now) && !aside(&last, now + Duration::from_secs(86_000)), "so many must be the disk's fault");
    assert!(store.head(&last).is_err(), "it is unknown, not absent");
    assert!(aside(&last, now + Duration::from_secs(86_400)));
    assert_eq!(store.info().unwrap().quarantined, DAILY_MIN + 1);
}

#[test]
fn disk_that_takes_no_writes_keeps_what_it_does_not_give_out() {
    let (_dir, files, store) = scripted();
    spoil(&files, "before", 0);
    assert!(fails(&store, "before"));
    let copy = unreadable(&store, &key("before"));
    files.fault(Call::Sync, "tmp/", 0, 1, Trouble::Error(Errno::IO));
    assert!(put(&store, "broken", b"x").is_err());
    assert!(matches!(store.put_unreadable_aside(&copy, Instant::now()), Err(StoreError::ReadOnly)));
    assert!(!store.may_put_aside(Instant::now()));
    files.heal();
    assert_eq!(get(&store, "before").unwrap(), sample());
}

#[test]
fn suspect_that_was_deleted_or_replaced_meanwhile_is_none_any_more() {
    let (_dir, files, store) = scripted();
    spoil(&files, "before", 0);
    assert!(fails(&store, "before"));
    let copy = unreadable(&store, &key("before"));
    store.release(&key("before"), |_| true).unwrap();
    files.heal();
    put(&store, "before", &sample()).unwrap();
    assert!(store.put_unreadable_aside(&copy, Instant::now()).unwrap());
    assert_eq!(get(&store, "before").unwrap(), sample(), "only the file that failed is moved");
    store.delete(&key("before"), None, None).unwrap();
    assert!(store.look_again(&key("before")).unwrap().is_none());
}
