//! What a write must not get past: its own claim, deletes, newer layouts.

use triton_api::{
    Epoch, NodeId,
    layout::{Layout, LayoutNode, LayoutRecord},
};

use super::*;
use crate::store::LearnError;

fn node(number: u128) -> LayoutNode {
    let url = format!("http://127.0.0.1:{}", 9000 + number).parse().unwrap();
    LayoutNode::active(NodeId::from_u128(number), url, "z".to_owned(), 100)
}

/// Layouts of epochs 1, 2 and 3.
pub(super) fn layouts() -> [Layout; 3] {
    let first = triton_placement::layout::first(vec![node(1), node(2)], 2).unwrap();
    let second = triton_placement::layout::change(&first, vec![node(1), node(2), node(3)], 2).unwrap();
    let third = triton_placement::layout::change(&second, vec![node(1), node(2)], 2).unwrap();
    [first, second, third]
}

pub(super) fn record(current: &Layout, next: Option<&Layout>) -> LayoutRecord {
    LayoutRecord { next: next.cloned(), ..LayoutRecord::settled(current.clone()) }
}

fn claim_of(epoch: u64) -> Claim {
    Claim { epoch: Some(Epoch::new(epoch)), ..Claim::default() }
}

#[test]
fn content_that_is_not_what_was_claimed_leaves_nothing_behind() {
    let (dir, store) = temporary();
    let wrong_hash = Claim { hash: Some(BlobHash::of(b"y")), ..Claim::default() };
    assert!(matches!(put_claimed(&store, "a", b"x", wrong_hash), Err(StoreError::Mismatch { .. })));
    let wrong_length = Claim { len_bytes: Some(2), ..Claim::default() };
    assert!(matches!(put_claimed(&store, "a", b"x", wrong_length), Err(StoreError::Length { found: 1, .. })));
    drop(store.stage(&key("a"), Claim::default()).unwrap());
    assert!(names_in(&dir.path().join("tmp")).is_empty());
    assert!(matches!(get(&store, "a"), Err(StoreError::NotFound(_))));
}

#[test]
fn write_that_a_newer_layout_overtakes_is_refused() {
    let (dir, store) = temporary();
    let [first, second, _] = layouts();
    store.learn_layout(record(&first, None)).unwrap();
    let staged = store.stage(&key("a"), claim_of(1)).unwrap();
    store.learn_layout(record(&first, Some(&second))).unwrap();
    assert!(matches!(staged.commit(), Err(StoreError::StaleEpoch { .. })));
    assert!(matches!(store.stage(&key("a"), claim_of(1)), Err(StoreError::StaleEpoch { .. })));
    assert!(matches!(store.delete(&key("a"), None, Some(Epoch::new(1))), Err(StoreError::StaleEpoch { .. })));
    assert!(names_in(&dir.path().join("tmp")).is_empty());
    assert!(matches!(get(&store, "a"), Err(StoreError::NotFound(_))));
    put_claimed(&store, "a", b"x", claim_of(2)).unwrap();
    // A writer that knows more than this node is right; a person names no epoch.
    put_claimed(&store, "b", b"x", claim_of(3)).unwrap();
    put_claimed(&store, "c", b"x", Claim::default()).unwrap();
}

#[test]
fn write_that_a_delete_overtakes_is_refused() {
    let (_dir, store) = temporary();
    let staged = store.stage(&key("a"), Claim::default()).unwrap();
    store.delete(&key("a"), None, None).unwrap();
    assert!(matches!(staged.commit(), Err(StoreError::Gone(_))));
    assert!(matches!(get(&store, "a"), Err(StoreError::Deleted(_))));
}

#[test]
fn released_tombstones_are_those_of_before_and_only_while_the_layout_holds() {
    let (_dir, store) = temporary();
    let [first, second, _] = layouts();
    store.learn_layout(record(&first, None)).unwrap();
    let home = partition("a");
    let later = (0..9999).map(|number| format!("later/{number}")).find(|text| partition(text) == home).unwrap();
    store.delete(&key("a"), None, None).unwrap();
    let before = store.tombstone_files(home).unwrap();
    store.delete(&key(&later), None, None).unwrap();
    let holds = |known: Option<&LayoutRecord>| known == Some(&record(&first, None));
    store.learn_layout(record(&first, Some(&second))).unwrap();
    store.release_tombstones(home, &before, holds).unwrap();
    assert!(store.is_deleted(&key("a")).unwrap(), "a newer layout may count on it");
    let learned = |known: Option<&LayoutRecord>| known.is_some_and(|record| record.next.is_some());
    store.release_tombstones(home, &before, learned).unwrap();
    assert!(!store.is_deleted(&key("a")).unwrap());
    assert!(store.is_deleted(&key(&later)).unwrap(), "nobody may have taken it over");
    assert_eq!(store.tombstone_digests().unwrap().len(), 1);
}

#[test]
fn layouts_only_go_forward_and_survive_a_restart() {
    let (dir, store) = temporary();
    let [first, second, third] = layouts();
    let begun = record(&first, Some(&second));
    // Going back from 2 to the nodes of 1 is a migration to 3: no record is ever shown twice.
    let turned = record(&second, Some(&third));
    let history = [record(&first, None), begun, turned, record(&third, None)];
    for (position, now) in history.iter().enumerate() {
        store.learn_layout(now.clone()).unwrap();
        store.learn_layout(now.clone()).unwrap();
        for before in &history[..position] {
            assert!(matches!(store.learn_layout(before.clone()), Err(LearnError::Stale { .. })));
        }
    }
    let mut fork = history[3].clone();
    fork.current.nodes.reverse();
    fork.current.digest = triton_placement::digest(&fork.current);
    assert!(matches!(store.learn_layout(fork), Err(LearnError::Forked(_))));
    drop(store);
    assert_eq!(open(dir.path()).layout().as_deref(), Some(&history[3]));
}

#[test]
fn unsound_layout_is_refused() {
    let (_dir, store) = temporary();
    let [first, second, _] = layouts();
    let mut broken = first.clone();
    broken.table[17] = vec![0, 0];
    assert!(matches!(store.learn_layout(record(&broken, None)), Err(LearnError::Unsound(_))));
    assert!(matches!(store.learn_layout(record(&first, Some(&broken))), Err(LearnError::Unsound(_))));
    assert!(matches!(store.learn_layout(record(&second, Some(&first))), Err(LearnError::Unsound(_))));
    assert_eq!(store.layout(), None);
}

#[test]
fn many_writers_of_one_key_agree_on_one_content() {
    let (_dir, store) = temporary();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let put = |writer: u8| put(&store, "a", &[writer % 2; 1000]).map(|stored| stored.fresh);
        let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || put(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let fresh = outcomes.iter().filter(|outcome| matches!(outcome, Ok(true))).count();
    let repeated = outcomes.iter().filter(|outcome| matches!(outcome, Ok(false))).count();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Exists { .. }))).count();
    assert_eq!((fresh, repeated, refused), (1, 3, 4));
    assert_eq!(store.info().unwrap().blobs, 1);
}
