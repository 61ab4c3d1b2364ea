//! The names under which everything lies in etcd.
//!
//! ```text
//! tritontube/records/{record}            the records; a record's revision is its key's mod_revision
//! tritontube/receipts/{process}/{slot}   which change of a process was committed last, for repeated attempts
//! tritontube/processes/{process}         a process that lives, for as long as its lease
//! tritontube/leader/{lease}              a candidate; the oldest one leads
//! ```

use uuid::Uuid;

use crate::journal::RecordKey;

/// What all keys begin with.
pub(super) const ROOT: &str = "tritontube/";
/// What the keys of records begin with.
pub(super) const RECORDS: &str = "tritontube/records/";
/// What the keys of receipts begin with.
pub(super) const RECEIPTS: &str = "tritontube/receipts/";
/// What the keys of processes begin with.
pub(super) const PROCESSES: &str = "tritontube/processes/";
/// The name of the election.
pub(super) const ELECTION: &str = "tritontube/leader";

pub(super) fn record(key: &RecordKey) -> String {
    format!("{RECORDS}{key}")
}

pub(super) fn receipt(process: Uuid, slot: u32) -> String {
    format!("{RECEIPTS}{process}/{slot}")
}

pub(super) fn process(id: &str) -> String {
    format!("{PROCESSES}{id}")
}

/// The key of a candidate, which has its lease.
pub(super) fn candidate(lease: i64) -> String {
    format!("{ELECTION}/{lease:x}")
}

/// What one event is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Record(RecordKey),
    Process(&'a str),
    Candidate,
    /// A receipt, which matters only to who wrote it, or something of a newer version.
    Other,
}

/// What the key names.
pub(super) fn subject(key: &str) -> Subject<'_> {
    if let Some(record) = key.strip_prefix(RECORDS) {
        return Subject::Record(RecordKey::from_stored(record.to_owned()));
    }
    if let Some(id) = key.strip_prefix(PROCESSES) {
        return Subject::Process(id);
    }
    match key.strip_prefix(ELECTION) {
        Some(rest) if rest.starts_with('/') => Subject::Candidate,
        _ => Subject::Other,
    }
}
