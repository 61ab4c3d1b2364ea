//! Inventories, digests and the age of tombstones.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use triton_api::storage::{InventoryEntry, Tombstone};

use super::*;
use crate::store::remove::TOMBSTONE_TTL;

/// Keys of one partition, some of them too long to be a file name.
fn keys_of_one_partition(count: usize) -> Vec<String> {
    let candidates = (0..).map(|number: u32| match number % 3 {
        0 => format!("v/{number}.m4s"),
        1 => format!("v.{number}"),
        _ => format!("{}{number}", "long/".repeat(60)),
    });
    candidates.filter(|text| partition(text).get() == 7).take(count).collect()
}

fn list(store: &Store, limit: usize) -> Vec<InventoryEntry> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.inventory(PartitionId::new(7), after.as_ref(), limit).unwrap();
        assert!(page.items.len() <= limit);
        entries.extend(page.items);
        match page.next_cursor {
            Some(cursor) => after = Some(key(&cursor)),
            None => return entries,
        }
    }
}

#[test]
fn inventory_lists_every_key_once_in_order_whatever_the_page() {
    let (_dir, store) = temporary();
    let mut keys = keys_of_one_partition(9);
    for text in &keys {
        put(&store, text, text.as_bytes()).unwrap();
    }
    store.delete(&key(&keys[0]), None, None).unwrap();
    store.delete(&key(&keys[2]), None, None).unwrap();
    let deleted = [keys[0].clone(), keys[2].clone()];
    keys.sort();
    for limit in [1, 2, 9, 1000] {
        let entries = list(&store, limit);
        assert_eq!(entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>(), keys);
        for entry in entries {
            let text = entry.key.to_string();
            assert_eq!(entry.deleted, deleted.contains(&text));
            assert_eq!(entry.hash, BlobHash::of(text.as_bytes()));
            assert_eq!(entry.len_bytes, if entry.deleted { 0 } else { text.len() as u64 });
        }
    }
    assert!(matches!(store.inventory(PartitionId::new(1024), None, 1), Err(StoreError::NoPartition(_))));
}

#[test]
fn page_that_takes_too_long_ends_early_and_the_next_one_goes_on_behind_it() {
    let (_dir, store) = temporary();
    let mut keys = keys_of_one_partition(9);
    for text in &keys {
        put(&store, text, b"x").unwrap();
    }
    keys.sort();
    for in_time in [0, 2] {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let looked_at = Cell::new(0);
            let has_time = || looked_at.replace(looked_at.get() + 1) < in_time;
            let page = store.inventory_while(PartitionId::new(7), after.as_ref(), 1000, has_time).unwrap();
            found.extend(page.items.into_iter().map(|entry| entry.key.to_string()));
            pages += 1;
            match page.next_cursor {
                Some(cursor) => after = Some(key(&cursor)),
                None => break,
            }
        }
        assert_eq!((found, pages), (keys.clone(), 9 / (in_time + 1)), "{in_time}");
    }
}

#[test]
fn equal_digests_mean_equal_content() {
    let ((_one_dir, one), (_other_dir, other)) = (temporary(), temporary());
    let keys = keys_of_one_partition(5);
    for text in &keys {
        put(&one, text, b"x").unwrap();
    }
    for text in keys.iter().rev() {
        assert_ne!(one.digests(), other.digests());
        put(&other, text, b"x").unwrap();
    }
    assert_eq!(one.digests(), other.digests());
    one.delete(&key(&keys[0]), None, None).unwrap();
    assert_ne!(one.digests()[0].digest, other.digests()[0].digest);
    other.delete(&key(&keys[0]), None, None).unwrap();
    assert_eq!(one.digests(), other.digests());
    assert_eq!(one.digests()[0].tombstones, 1);
}

#[test]
fn tombstones_last_seven_days() {
    let (dir, store) = temporary();
    store.delete(&key("a"), None, None).unwrap();
    let now = Timestamp::now();
    assert_eq!(store.sweep_tombstones(now + TOMBSTONE_TTL - 1.minute()).unwrap(), 0);
    drop(store);
    let store = open(dir.path());
    assert!(matches!(put(&store, "a", b"x"), Err(StoreError::Gone(_))));
    let (much_later, seen) = (now + TOMBSTONE_TTL + 61.minutes(), TOMBSTONE_TTL / 2);
    assert_eq!(store.sweep_tombstones(much_later).unwrap(), 0, "a clock that jumps forgets nothing");
    store.uptime.pass(seen);
    // All nodes forget with the hour, so that none seems to know more than the others.
    assert_eq!(store.sweep_tombstones(much_later).unwrap(), 1);
    assert!(put(&store, "a", b"x").unwrap().fresh);
}

/// A node that is new would remember what the others forget otherwise, and seem to know more than they.
#[test]
fn a_delete_that_is_taken_over_is_as_old_as_where_it_comes_from() {
    let (_dir, store) = temporary();
    let age_ms = u64::try_from(SignedDuration::from_hours(6 * 24).as_millis()).unwrap();
    let deleted = Tombstone { key: key("a"), hash: BlobHash::of(b"x"), age_ms };
    store.take_over(&deleted, None).unwrap();
    assert_eq!(store.sweep_tombstones(Timestamp::now() + 23.hours()).unwrap(), 0);
    assert_eq!(store.sweep_tombstones(Timestamp::now() + 26.hours()).unwrap(), 1);
}

#[test]
fn a_clock_that_jumps_makes_no_delete_older_for_those_who_take_it_over() {
    let ((_dir, store), (_other_dir, other)) = (temporary(), temporary());
    store.delete(&key("a"), None, None).unwrap();
    let path = super::super::dir::key_path(super::super::dir::TOMBSTONES, partition("a"), &key("a"));
    let told = store.deleted(&path, key("a"), Timestamp::now() + SignedDuration::from_hours(24 * 8)).unwrap().unwrap();
    other.take_over(&told, None).unwrap();
    assert_eq!(other.sweep_tombstones(Timestamp::now() + 2.hours()).unwrap(), 0);
}

#[test]
fn a_count_of_time_that_was_lost_begins_anew() {
    let (_dir, store) = temporary();
    store.uptime.pass(SignedDuration::from_hours(24 * 365));
    store.delete(&key("a"), None, None).unwrap();
    store.uptime.pass(SignedDuration::from_hours(-24 * 365));
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 8);
    assert_eq!(store.sweep_tombstones(later).unwrap(), 0);
    store.uptime.pass(SignedDuration::from_hours(85));
    assert_eq!(store.sweep_tombstones(later).unwrap(), 1);
}

#[test]
fn release_removes_the_copy_without_a_tombstone_while_it_is_allowed() {
    let (_dir, store) = temporary();
    put(&store, "a", b"xyz").unwrap();
    assert_eq!(store.release(&key("a"), |_| false).unwrap(), None);
    assert_eq!(store.release(&key("a"), |_| true).unwrap(), Some(3));
    assert_eq!(store.info().unwrap().used_bytes, 0);
    assert!(put(&store, "a", b"xyz").unwrap().fresh);
}
