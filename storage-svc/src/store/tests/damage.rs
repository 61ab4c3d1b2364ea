//! Damaged files, failing disks, full disks.

use std::{
    fs,
    io::{IoSliceMut, Write as _},
    os::unix::fs::FileExt as _,
};

use rustix::io::{ReadWriteFlags, preadv2};
use triton_api::storage::DiskState;

use super::*;
use crate::store::{Checked, format::file_bytes_of};

/// As the kernel tells a file system that has no disk.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn damaged_copy_is_never_served_and_can_be_written_again() {
    let (dir, store) = temporary();
    let sample = sample();
    // In the payload, the sums, the description and the tail; in a file that is read whole, and in one that is not.
    for content in [sample.slice(..70_000), sample.repeat(2).into()] {
        let (len, file) = (content.len() as u64, file_bytes_of(content.len() as u64));
        for at in [0, len - 1, len + 1, len + 100, file - 7] {
            let name = format!("at/{}/{at}", content.len());
            put(&store, &name, &content).unwrap();
            flip(&blob_file(dir.path(), &name), at);
            assert!(matches!(get(&store, &name), Err(StoreError::Corrupt { .. })), "{name}");
            assert!(matches!(get(&store, &name), Err(StoreError::NotFound(_))), "{name}");
            assert!(put(&store, &name, &content).unwrap().fresh);
            assert_eq!(get(&store, &name).unwrap(), content);
        }
    }
    let info = store.info().unwrap();
    assert_eq!((info.blobs, info.quarantined), (10, 10));
    assert_eq!(names_in(&dir.path().join("quarantine")).len(), 10);
    drop(store);
    assert_eq!(open(dir.path()).info().unwrap().used_bytes, info.used_bytes);
}

#[test]
fn range_answers_for_the_blocks_that_it_touches_and_no_others() {
    let (dir, store) = temporary();
    let content: Bytes = sample().repeat(2).into();
    put(&store, "a", &content).unwrap();
    flip(&blob_file(dir.path(), "a"), 2 * BLOCK_BYTES + 5);
    let blob = store.open_blob(&key("a")).unwrap();
    assert_eq!(blob.read(&(100..2 * BLOCK_BYTES)).unwrap(), content[100..131_072]);
    assert_eq!(blob.read(&(3 * BLOCK_BYTES..3 * BLOCK_BYTES + 1)).unwrap(), content[196_608..196_609]);
    // The byte that is asked for is good, but its block is not.
    assert!(matches!(blob.read(&(2 * BLOCK_BYTES + 99..2 * BLOCK_BYTES + 100)), Err(StoreError::Corrupt { .. })));
}

/// A disk that rots under what is asked for often would be found out when nobody has another copy any more.
#[test]
fn check_reads_the_disk_and_not_the_memory() {
    let (dir, store) = temporary();
    put(&store, "a", &vec![7; 4 * 1024 * 1024]).unwrap();
    let file = fs::File::open(blob_file(dir.path(), "a")).unwrap();
    let is_in_memory = || {
        let mut byte = [0];
        preadv2(&file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT) == Ok(1)
    };
    get(&store, "a").unwrap();
    assert!(is_in_memory());
    let file_name = blob_file(dir.path(), "a").file_name().unwrap().to_str().unwrap().to_owned();
    let Checked::Open(blob) = store.check(partition("a"), &file_name).unwrap() else { panic!("it is there") };
    let is_memory_all_there_is = rustix::fs::statfs(dir.path()).unwrap().f_type == TMPFS_MAGIC;
    assert!(is_memory_all_there_is || !is_in_memory());
    assert_eq!(blob.read(&(0..10)).unwrap(), vec![7; 10]);
}

#[test]
fn shortened_file_and_file_under_a_wrong_name_are_put_aside() {
    let (dir, store) = temporary();
    for (name, cut) in [("cut/one", 1), ("cut/trailer", 1024), ("cut/all", 197_767)] {
        put(&store, name, &sample()).unwrap();
        let file = fs::OpenOptions::new().write(true).open(blob_file(dir.path(), name)).unwrap();
        file.set_len(file.metadata().unwrap().len() - cut).unwrap();
        assert!(matches!(get(&store, name), Err(StoreError::Corrupt { .. })), "{name}");
    }
    put(&store, "right", &sample()).unwrap();
    fs::create_dir_all(blob_file(dir.path(), "wrong").parent().unwrap()).unwrap();
    fs::copy(blob_file(dir.path(), "right"), blob_file(dir.path(), "wrong")).unwrap();
    assert!(matches!(get(&store, "wrong"), Err(StoreError::Corrupt { .. })));
    assert_eq!(get(&store, "right").unwrap(), sample());
}

#[test]
fn file_that_no_blob_can_have_is_put_aside_at_the_start() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    drop(store);
    fs::create_dir_all(blob_file(dir.path(), "b").parent().unwrap()).unwrap();
    fs::File::create(blob_file(dir.path(), "b")).unwrap().write_all(b"short").unwrap();
    let info = open(dir.path()).info().unwrap();
    assert_eq!((info.blobs, info.used_bytes, info.quarantined), (1, sample().len() as u64, 1));
}

#[test]
fn quarantine_spares_a_good_copy_that_took_the_place_of_the_bad_one() {
    let (dir, store) = temporary();
    put(&store, "a", &sample()).unwrap();
    flip(&blob_file(dir.path(), "a"), 0);
    let (one, other) = (store.open_blob(&key("a")).unwrap(), store.open_blob(&key("a")).unwrap());
    assert!(one.read(&(0..1)).is_err());
    put(&store, "a", &sample()).unwrap();
    // This reader still has the bad file open.
    assert!(other.read(&(0..1)).is_err());
    assert_eq!(get(&store, "a").unwrap(), sample());
}

#[test]
fn trouble_of_the_disk_is_not_an_absence() {
    let (dir, store) = temporary();
    // A directory where the file should be: reading it fails with EISDIR, whoever asks, root included.
    fs::create_dir_all(blob_file(dir.path(), "a")).unwrap();
    assert!(matches!(get(&store, "a"), Err(StoreError::Disk(_))));
    assert!(matches!(store.head(&key("a")), Err(StoreError::Disk(_))));
}

#[test]
fn failed_fsync_turns_the_disk_read_only_for_good() {
    let (_dir, store) = temporary();
    put(&store, "before", b"x").unwrap();
    let pending = store.stage(&key("pending"), Claim::default()).unwrap();
    // The kernel refuses to fsync a character device.
    let null = fs::File::open("/dev/null").unwrap();
    assert!(store.disk.sync(Path::new("tmp"), &null).is_err());
    assert_eq!(store.disk_state().unwrap(), DiskState::ReadOnly);
    assert!(matches!(put(&store, "after", b"x"), Err(StoreError::ReadOnly)));
    assert!(matches!(pending.commit(), Err(StoreError::ReadOnly)));
    assert_eq!(get(&store, "before").unwrap().as_ref(), b"x");
    assert!(matches!(store.delete(&key("before"), None, None), Err(StoreError::ReadOnly)));
}

#[test]
fn reserve_is_kept_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Some(u64::MAX)).unwrap();
    assert_eq!(store.disk_state().unwrap(), DiskState::Full);
    assert!(matches!(put(&store, "a", b"x"), Err(StoreError::Full)));
    // Deleting makes room, and must work then.
    store.delete(&key("a"), None, None).unwrap();
    assert!(names_in(&dir.path().join("tmp")).is_empty());
}

#[test]
fn claim_larger_than_the_disk_is_refused_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let free = open(dir.path()).disk.space().unwrap().free_bytes;
    let store = Store::open(dir.path(), Some(free - 100 * 1024 * 1024)).unwrap();
    let claim = |len_bytes| Claim { len_bytes: Some(len_bytes), ..Claim::default() };
    assert!(matches!(store.stage(&key("a"), claim(200 * 1024 * 1024)), Err(StoreError::Full)));
    assert!(matches!(store.stage(&key("a"), claim(300 * 1024 * 1024)), Err(StoreError::TooLarge)));
}
