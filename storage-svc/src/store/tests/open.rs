//! Opening data directories, ours and others.

use std::fs;

use super::*;
use crate::store::OpenError;

#[test]
fn identity_is_made_once() {
    let (dir, store) = temporary();
    let id = store.id();
    assert!(matches!(Store::open(dir.path(), None), Err(OpenError::Locked(_))));
    drop(store);
    assert_eq!(open(dir.path()).id(), id);
}

#[test]
fn foreign_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(Store::open(dir.path(), None), Err(OpenError::Foreign(_))));
    assert!(!dir.path().join("blobs").exists());
}

#[test]
fn making_that_was_cut_off_is_finished() {
    let (dir, store) = temporary();
    drop(store);
    fs::remove_file(dir.path().join("node.json")).unwrap();
    fs::remove_dir(dir.path().join("blobs")).unwrap();
    fs::write(dir.path().join("tmp/0000000000000001"), "half of a blob").unwrap();
    let store = open(dir.path());
    assert!(names_in(&dir.path().join("tmp")).is_empty());
    put(&store, "a", b"x").unwrap();
    assert_eq!(names_in(&dir.path().join("blobs")).len(), 1, "directories of partitions are made when they are needed");
    store.prepare().unwrap();
    assert_eq!(
        (names_in(&dir.path().join("blobs")).len(), names_in(&dir.path().join("tombstones")).len()),
        (1024, 1024)
    );
    assert_eq!(get(&store, "a").unwrap().as_ref(), b"x");
}

#[test]
fn unknown_format_and_damaged_files_are_named() {
    let (dir, store) = temporary();
    drop(store);
    let node = dir.path().join("node.json");
    let written = fs::read_to_string(&node).unwrap();
    fs::write(&node, written.replace("\"format_version\": 1", "\"format_version\": 2")).unwrap();
    assert!(matches!(Store::open(dir.path(), None), Err(OpenError::Version { found: 2, .. })));
    fs::write(&node, &written).unwrap();
    fs::write(dir.path().join("layout.json"), "{").unwrap();
    let error = Store::open(dir.path(), None).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("layout.json"), "{error}");
}

#[test]
fn payload_can_be_taken_out_with_standard_tools() {
    let (dir, store) = temporary();
    put(&store, "v/x/seg", &sample()).unwrap();
    let file = blob_file(dir.path(), "v/x/seg");
    assert!(file.ends_with(format!("blobs/{:04}/v,x,seg", partition("v/x/seg").get())));
    let script = format!(
        "tail -c 1024 {0} | head -n 1; head -c $(tail -c 1024 {0} | head -n 1 | jq .len) {0} | cksum; cksum < /dev/stdin",
        file.display()
    );
    let mut shell = std::process::Command::new("sh");
    let mut child = shell
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &sample()).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<_> = output.lines().collect();
    assert!(lines[0].contains("\"key\":\"v/x/seg\"") && lines[0].contains(&BlobHash::of(&sample()).to_string()));
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn reading_does_not_note_the_time_of_access() {
    let (dir, store) = temporary();
    put(&store, "a", b"content").unwrap();
    let path = dir.path().join(super::dir::key_path(crate::store::dir::BLOBS, partition("a"), &key("a")));
    // Long before the change of the file, which is when file systems note the next access.
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let times = std::fs::FileTimes::new().set_accessed(long_ago);
    let backdate = || std::fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    let accessed = || std::fs::metadata(&path).unwrap().accessed().unwrap();
    backdate();
    std::fs::read(&path).unwrap();
    if accessed() == long_ago {
        eprintln!("not tested: this file system is mounted with `noatime`");
        return;
    }
    backdate();
    assert_eq!(get(&store, "a").unwrap(), &b"content"[..]);
    assert_eq!(accessed(), long_ago);
}
