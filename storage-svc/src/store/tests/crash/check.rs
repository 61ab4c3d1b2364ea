//! What must hold of a store that is opened after a crash.

use std::time::Duration;

use triton_api::{BlobHash, BlobKey, layout::PARTITIONS};

use super::{Fate, Promises, states::Image, workloads::content_of};
use crate::store::{
    Claim, PAGE_ENTRIES_MAX, Store, StoreError,
    dir::{BLOBS, TOMBSTONES},
    tests::names_in,
};

/// Opens a store on the image and looks at everything; the answer names the first promise that is broken.
pub(super) fn check(image: &Image, promises: &Promises) -> Result<(), String> {
    let root = super::temporary();
    image.lay_out(root.path());
    let store = Store::open(root.path(), Some(0)).map_err(|error| format!("the store does not open: {error}"))?;
    if !names_in(&root.path().join("tmp")).is_empty() {
        return Err("temporary files are left".to_owned());
    }
    store.count_for(Duration::from_secs(60)).map_err(|error| error.to_string())?;
    check_layout(&store, promises)?;
    let mut present = 0;
    for (key, fate) in &promises.keys {
        present += u64::from(check_key(&store, key, *fate)?);
    }
    let info = store.info().map_err(|error| error.to_string())?;
    if info.blobs != present {
        return Err(format!("the store counts {} blobs where {present} can be read", info.blobs));
    }
    if info.quarantined > 0 && !promises.damaged {
        return Err("an undamaged copy was put aside".to_owned());
    }
    check_inventory(&store, promises)?;
    // What is not there can be written again, and what is there already will do.
    for (key, fate) in &promises.keys {
        match put(&store, key) {
            Err(StoreError::Gone(_)) if matches!(fate, Fate::Going | Fate::Deleted) => {}
            Ok(()) if *fate != Fate::Deleted && read(&store, key).is_ok_and(|content| content == content_of(key)) => {}
            other => return Err(format!("{key} ({fate:?}) cannot be written after the crash: {other:?}")),
        }
    }
    Ok(())
}

/// Whether the key is there.
fn check_key(store: &Store, key: &BlobKey, fate: Fate) -> Result<bool, String> {
    let found = read(store, key);
    let deleted = store.is_deleted(key).map_err(|error| error.to_string())?;
    match (&found, fate) {
        (Ok(content), _) if *content != content_of(key) => Err(format!("wrong bytes are served for {key}")),
        (Ok(_), Fate::Deleted) => Err(format!("{key} was deleted and is served")),
        (Err(StoreError::NotFound(_)), Fate::Stored) => Err(format!("{key} was acknowledged and is lost")),
        (_, Fate::Deleted) if !deleted => Err(format!("the delete of {key} was acknowledged and is forgotten")),
        (_, Fate::Begun | Fate::Stored | Fate::Damaged) if deleted => Err(format!("{key} was never deleted")),
        (Ok(_), _) => Ok(true),
        (Err(StoreError::Corrupt { .. }), Fate::Damaged)
        | (Err(StoreError::NotFound(_) | StoreError::Deleted(_)), _) => Ok(false),
        (Err(error), _) => Err(format!("{key} ({fate:?}): {error}")),
    }
}

fn check_layout(store: &Store, promises: &Promises) -> Result<(), String> {
    let known = store.layout();
    let allowed = &promises.layouts[promises.layouts_learned.saturating_sub(1)..];
    match known {
        Some(known) if allowed.contains(&known) => Ok(()),
        None if promises.layouts_learned == 0 => Ok(()),
        known => Err(format!("the layout is of epoch {:?}", known.map(|record| record.write_epoch()))),
    }
}

/// A listing is what other nodes and the repair go by.
fn check_inventory(store: &Store, promises: &Promises) -> Result<(), String> {
    for partition in (0..PARTITIONS).map(triton_api::PartitionId::new) {
        if ![BLOBS, TOMBSTONES].iter().any(|folder| store.dir.partitions.has(folder, partition)) {
            continue;
        }
        let page = store.inventory(partition, None, PAGE_ENTRIES_MAX).map_err(|error| error.to_string())?;
        for entry in page.items {
            let right =
                entry.deleted || read(store, &entry.key).is_ok_and(|content| BlobHash::of(&content) == entry.hash);
            if !right || !promises.keys.contains_key(&entry.key) {
                return Err(format!("{} is listed and is not so", entry.key));
            }
        }
    }
    Ok(())
}

fn read(store: &Store, key: &BlobKey) -> Result<Vec<u8>, StoreError> {
    let blob = store.open_blob(key)?;
    Ok(blob.read(&(0..blob.description().len_bytes))?.to_vec())
}

fn put(store: &Store, key: &BlobKey) -> Result<(), StoreError> {
    let mut staged = store.stage(key, Claim::default())?;
    staged.append(&[content_of(key).into()])?;
    staged.commit().map(drop)
}
