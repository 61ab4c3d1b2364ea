//! The lines of the file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::KEY_BYTES_MAX;
use crate::layout::LayoutRecord;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataHeader {
    /// [`super::FORMAT`].
    pub format: String,
    /// The version of the form.
    pub v: u32,
    /// The journal's revision at which all records were read.
    pub revision: u64,
    /// When.
    pub exported_at: Timestamp,
    /// The exporting installation's layout: its nodes have the content.
    pub layout: LayoutRecord,
}

/// A line between the first and the last one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetadataRecord {
    /// The record's name.
    pub key: String,
    /// The record, letter by letter as it is stored.
    pub value: Box<RawValue>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataTrailer {
    /// The number of records.
    pub records: u64,
    /// The BLAKE3 hash of all bytes before this line, as 64 hexadecimal digits.
    pub blake3: String,
}

/// The place of a record in the file.
///
/// What others refer to comes first, and what somebody begins to work on as soon as it is there comes last. In the plain
/// order of keys, jobs would come before their videos, and an installation that is in use drops jobs without a video.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u8, String);

impl Order {
    /// The place of the record with this key.
    pub fn of(key: &str) -> Self {
        let stage = match kind(key) {
            "video" => 1,
            "job" | "trash" | "upload" => 2,
            _ => 0,
        };
        Self(stage, key.to_owned())
    }
}

/// Whether records of this name move to another installation: all do but those about nodes and processes, which each
/// installation has of its own.
pub fn is_portable(key: &str) -> bool {
    let sound = key.len() <= KEY_BYTES_MAX && key.contains('/') && key.bytes().all(|byte| byte.is_ascii_graphic());
    sound && !matches!(kind(key), "" | "cluster" | "worker")
}

fn kind(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_on_comes_after_what_it_is_about() {
        let mut keys =
            ["job/a/1/x", "new/z", "plan/a/1", "track/a/1/000", "trash/a/1", "upload/a", "video/a", "video/b"];
        keys.sort_by_key(|key| Order::of(key));
        let expected =
            ["new/z", "plan/a/1", "track/a/1/000", "video/a", "video/b", "job/a/1/x", "trash/a/1", "upload/a"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn nodes_and_processes_stay() {
        for key in ["video/a", "plan/a/1", "something/new"] {
            assert!(is_portable(key), "{key}");
        }
        for key in ["cluster/layout", "worker/a", "/a", "video", "", "video/a b", "video/ä", &"v/".repeat(400)] {
            assert!(!is_portable(key), "{key}");
        }
    }
}
