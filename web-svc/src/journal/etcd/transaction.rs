//! A change as one transaction of etcd, and what its answer means. Pure.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::{keys, receipt::Receipt};
use crate::journal::{Effect, Expect, JournalError, Operation, RecordKey, Revision, Term};

/// What became of one attempt to commit a change.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is committed, by this attempt or by the one before.
    Committed(Revision),
    /// A condition does not hold; the record was last changed at the revision, or does not exist.
    Conflict { key: RecordKey, changed: Option<Revision> },
    /// The leader's term has ended.
    Deposed,
    /// The receipt is not as this process left it, and does not have the change's number.
    ReceiptLost { mod_revision: i64 },
    /// The answer has not the form of one.
    Malformed,
}

/// The transaction of a change.
pub(super) fn transaction(operations: &[Operation], term: Option<&Term>, receipt: &Receipt<'_>) -> Txn {
    let mut compares = vec![Compare::mod_revision(receipt.key(), CompareOp::Equal, receipt.mod_revision())];
    let mut effects = vec![TxnOp::put(receipt.key(), receipt.change.to_string(), None)];
    let mut looks = vec![TxnOp::get(receipt.key(), None)];
    if let Some(election) = term.and_then(Term::election_key) {
        compares.push(Compare::create_revision(&*election.key, CompareOp::Equal, election.create_revision));
        looks.push(TxnOp::get(&*election.key, Some(GetOptions::new().with_keys_only())));
    }
    for Operation { key, expect, effect } in operations {
        let name = keys::record(key);
        match expect {
            Expect::Anything => {}
            Expect::Absent => compares.push(Compare::mod_revision(&*name, CompareOp::Equal, 0)),
            Expect::At(revision) => {
                compares.push(Compare::mod_revision(&*name, CompareOp::Equal, stored(*revision)));
            }
        }
        if *expect != Expect::Anything {
            looks.push(TxnOp::get(&*name, Some(GetOptions::new().with_keys_only())));
        }
        match effect {
            Effect::Put(json) => effects.push(TxnOp::put(name, &**json, None)),
            Effect::Delete => effects.push(TxnOp::delete(name, None)),
            Effect::Check => {}
        }
    }
    Txn::new().when(compares).and_then(effects).or_else(looks)
}

/// What the answer to [`transaction`] means.
pub(super) fn verdict(
    response: &TxnResponse,
    operations: &[Operation],
    term: Option<&Term>,
    receipt: &Receipt<'_>,
) -> Verdict {
    if response.succeeded() {
        return match response.header() {
            Some(header) => Verdict::Committed(revision(header.revision())),
            None => Verdict::Malformed,
        };
    }
    let mut looks = response.op_responses().into_iter();
    let mut look = || match looks.next() {
        Some(TxnOpResponse::Get(found)) => Some(found),
        _ => None,
    };
    let Some(found) = look() else { return Verdict::Malformed };
    let found = found.kvs().first();
    let mod_revision = found.map_or(0, etcd_client::KeyValue::mod_revision);
    if found.is_some_and(|found| found.value() == receipt.change.to_string().as_bytes()) {
        return Verdict::Committed(revision(mod_revision));
    }
    if mod_revision != receipt.mod_revision() {
        return Verdict::ReceiptLost { mod_revision };
    }
    if let Some(election) = term.and_then(Term::election_key) {
        let Some(found) = look() else { return Verdict::Malformed };
        if found.kvs().first().map(etcd_client::KeyValue::create_revision) != Some(election.create_revision) {
            return Verdict::Deposed;
        }
    }
    for Operation { key, expect, .. } in operations {
        if *expect == Expect::Anything {
            continue;
        }
        let Some(found) = look() else { return Verdict::Malformed };
        let changed = found.kvs().first().map(|found| revision(found.mod_revision()));
        if *expect != changed.map_or(Expect::Absent, Expect::At) {
            return Verdict::Conflict { key: key.clone(), changed };
        }
    }
    Verdict::Malformed
}

/// What became of a change that was to be given up.
#[derive(Debug)]
pub(super) enum Annulled {
    /// It will never be committed; its receipt stands at this revision.
    At(i64),
    /// An attempt of it was committed before.
    TooLate(Revision),
}

/// Moves the receipt on, so that no attempt that was made with it is committed any more.
pub(super) fn annulment(receipt: &Receipt<'_>) -> Txn {
    let compare = Compare::mod_revision(receipt.key(), CompareOp::Equal, receipt.mod_revision());
    let (put, look) = (TxnOp::put(receipt.key(), "", None), TxnOp::get(receipt.key(), None));
    Txn::new().when([compare]).and_then([put]).or_else([look])
}

/// What the answer to [`annulment`] means; nothing where the receipt is not as this process left it.
pub(super) fn annulled(response: &TxnResponse, receipt: &Receipt<'_>) -> Option<Annulled> {
    if response.succeeded() {
        return response.header().map(|header| Annulled::At(header.revision()));
    }
    let Some(TxnOpResponse::Get(found)) = response.op_responses().into_iter().next() else { return None };
    let found = found.kvs().first().filter(|found| found.value() == receipt.change.to_string().as_bytes())?;
    Some(Annulled::TooLate(revision(found.mod_revision())))
}

pub(super) fn revision(stored: i64) -> Revision {
    Revision::new(stored.unsigned_abs())
}

pub(super) fn stored(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

impl From<super::EtcdError> for JournalError {
    fn from(error: super::EtcdError) -> Self {
        Self::Unreachable(error)
    }
}
