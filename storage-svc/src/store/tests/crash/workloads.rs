//! What the store is doing when the power goes.

use std::collections::BTreeSet;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::io::Errno;
use triton_api::{BlobHash, BlobKey, Epoch, layout::LayoutRecord};

use super::{
    super::{
        fences::{layouts, record},
        key,
        scripted::{Call, Scripted, Trouble},
    },
    Fate, Outcome, Word, World, crash_everywhere, nothing_breaks,
};
use crate::store::{Claim, Store, StoreError, dir};

/// Workloads by lot in one run.
const SEEDS: u64 = 4;

/// Each key has one content; the two are told apart from all others.
pub(super) fn content_of(key: &BlobKey) -> Vec<u8> {
    let seed = u64::from(crc32fast::hash(key.as_str().as_bytes()));
    let len = if key.as_str().starts_with("large") { 70_000 } else { 300 };
    triton_testkit::content(seed, len).to_vec()
}

fn put(world: &World, store: &Store, text: &str) {
    let key = key(text);
    let content = content_of(&key);
    world.say(Word::Begun(key.clone()));
    let claim = Claim { hash: Some(BlobHash::of(&content)), ..Claim::default() };
    let mut staged = store.stage(&key, claim).unwrap();
    let half = content.len() / 2;
    staged.append(&[content[..half].to_vec().into()]).unwrap();
    staged.append(&[content[half..].to_vec().into()]).unwrap();
    staged.commit().unwrap();
    world.say(Word::Key(key, Fate::Stored));
}

fn delete(world: &World, store: &Store, text: &str) {
    world.say(Word::Key(key(text), Fate::Going));
    store.delete(&key(text), None, None).unwrap();
    world.say(Word::Key(key(text), Fate::Deleted));
}

/// Keys of one partition.
fn neighbours(count: usize) -> Vec<String> {
    let partition = triton_placement::partition_of(&key("n/0"));
    let all = (0..).map(|number| format!("n/{number}"));
    all.filter(|text| triton_placement::partition_of(&key(text)) == partition).take(count).collect()
}

fn puts(world: &World) {
    let store = world.open();
    put(world, &store, "a");
    put(world, &store, "large/b");
    // The same content again is acknowledged again.
    put(world, &store, "a");
}

fn deletes(world: &World) {
    let store = world.open();
    put(world, &store, "a");
    delete(world, &store, "a");
    assert!(matches!(store.stage(&key("a"), Claim::default()), Err(StoreError::Gone(_))));
    // Of what was never here, and twice.
    delete(world, &store, "never");
    delete(world, &store, "a");
}

/// Writers of one partition share the syncs of its directory; others make theirs meanwhile.
fn crowd(world: &World) {
    let store = world.open();
    let mut texts = neighbours(3);
    texts.push("a".to_owned());
    std::thread::scope(|scope| {
        for text in &texts {
            scope.spawn(|| put(world, &store, text));
        }
    });
    delete(world, &store, &texts[0]);
}

/// The process is killed with names that no sync has reached, and the next one finds and confirms them.
fn killed(world: &World) {
    let store = world.open();
    put(world, &store, "a");
    // The name is given, its directory is not synced: as if the process had been killed just then.
    world.files.fault_always(Call::SyncDir, "blobs/", Trouble::Error(Errno::IO));
    let content = content_of(&key("b"));
    world.say(Word::Begun(key("b")));
    let mut staged = store.stage(&key("b"), Claim::default()).unwrap();
    staged.append(&[content.into()]).unwrap();
    assert!(staged.commit().is_err());
    drop(store);
    assert!(world.files.heal() > 0);
    let store = world.open();
    // Others may delete their copies on the strength of this answer.
    store.head(&key("b")).unwrap();
    world.say(Word::Key(key("b"), Fate::Stored));
    put(world, &store, "c");
}

/// A pull is a put and a delete in the name of an epoch, and the names settled; then the partition is released.
fn moves(world: &World) {
    let store = world.open();
    let partition = triton_placement::partition_of(&key("a"));
    put(world, &store, "a");
    store.settle(partition).unwrap();
    world.say(Word::Key(key("gone"), Fate::Going));
    store.delete(&key("gone"), Some(BlobHash::of(b"x")), Some(Epoch::new(1))).unwrap();
    world.say(Word::Key(key("gone"), Fate::Deleted));
    world.say(Word::Key(key("a"), Fate::Going));
    store.release(&key("a"), |_| true).unwrap();
    store.settle_release(partition).unwrap();
    put(world, &store, "a");
}

/// A copy goes bad, is put aside, and is written anew.
fn quarantines(world: &World) {
    let store = world.open();
    put(world, &store, "a");
    let path = dir::key_path(dir::BLOBS, triton_placement::partition_of(&key("a")), &key("a"));
    world.say(Word::Key(key("a"), Fate::Damaged));
    world.files.fault(Call::Read, "blobs/", 0, 1, Trouble::Flip(5));
    let damaged = store.open_blob(&key("a")).and_then(|blob| blob.read(&(0..300)));
    assert!(matches!(damaged, Err(StoreError::Corrupt { .. })));
    assert!(!world.root.path().join(path).exists());
    put(world, &store, "a");
}

fn learns(world: &World) {
    let store = world.open();
    let [first, second, _] = layouts();
    let records = [record(&first, None), record(&first, Some(&second)), LayoutRecord::settled(second)];
    for record in records {
        world.say(Word::LayoutBegun(Box::new(record.clone())));
        store.learn_layout(record).unwrap();
        world.say(Word::LayoutsLearned);
    }
}

/// Puts, deletes and kills as the lot has it.
fn mixed(world: &World, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let texts = [&neighbours(2)[..], &["a".to_owned(), "large/b".to_owned()]].concat();
    let mut deleted = BTreeSet::new();
    let mut store = world.open();
    for _ in 0..12 {
        let text = &texts[random.random_range(0..texts.len())];
        match random.random_range(0..6) {
            0 => {
                drop(store);
                store = world.open();
            }
            1 => {
                delete(world, &store, text);
                deleted.insert(text);
            }
            _ if deleted.contains(text) => {
                assert!(matches!(store.stage(&key(text), Claim::default()), Err(StoreError::Gone(_))));
            }
            _ => put(world, &store, text),
        }
    }
}

#[test]
fn no_promise_is_broken_by_what_the_lot_does_wherever_the_power_goes() {
    for seed in 1..=SEEDS {
        nothing_breaks(&format!("mixed {seed}"), 8, |world| mixed(world, seed));
    }
}

#[test]
fn blob_is_whole_once_it_is_acknowledged_wherever_the_power_goes() {
    nothing_breaks("puts", 1024, puts);
}

#[test]
fn delete_stays_once_it_is_acknowledged_wherever_the_power_goes() {
    nothing_breaks("deletes", 1024, deletes);
}

#[test]
fn writers_that_share_syncs_have_the_same_promise_each() {
    nothing_breaks("a crowd of writers", 1024, crowd);
}

#[test]
fn name_that_a_killed_process_left_is_durable_once_it_is_confirmed() {
    nothing_breaks("killed and started", 1024, killed);
}

#[test]
fn pulled_blob_and_released_partition_survive_wherever_the_power_goes() {
    nothing_breaks("pull and release", 1024, moves);
}

#[test]
fn copy_that_is_put_aside_is_never_served_wherever_the_power_goes() {
    nothing_breaks("quarantine", 1024, quarantines);
}

#[test]
fn layout_is_old_or_new_wherever_the_power_goes() {
    nothing_breaks("layouts", 1024, learns);
}

/// The tests above can fail: with any one of the store's syncs left out, a promise is broken.
#[test]
fn every_sync_that_is_left_out_breaks_a_promise() {
    type Case = (&'static str, fn(&World), Call, &'static str);
    let cases: [Case; 8] = [
        ("a blob's content", puts, Call::Sync, "tmp/0000"),
        ("a blob's name", puts, Call::SyncDir, "blobs/"),
        ("the name of a partition's directory", puts, Call::SyncDir, "/blobs$"),
        ("names that are shared", crowd, Call::SyncDir, "blobs/"),
        ("a tombstone's name", deletes, Call::SyncDir, "tombstones/"),
        ("the name of a tombstones' directory", deletes, Call::SyncDir, "/tombstones$"),
        ("what a killed process left", killed, Call::SyncEverything, ""),
        ("the layout's content", learns, Call::Sync, "layout.json"),
    ];
    for (what, workload, call, path_part) in cases {
        let lie = |files: &Scripted| files.fault_always(call, path_part, Trouble::Lie);
        let Outcome { violation, states, .. } = crash_everywhere(1024, workload, lie);
        println!("without the sync of {what}: {violation:?} in state {states}");
        assert!(violation.is_some(), "nothing noticed that {what} was not synced");
    }
}
