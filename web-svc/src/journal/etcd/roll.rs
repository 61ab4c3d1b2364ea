//! The roll: which processes live, and who leads, as etcd's keys with leases tell.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use etcd_client::{Event, EventType, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use tokio::{sync::watch, time::timeout};
use triton_api::cluster::Worker;

use super::{
    EtcdError,
    error::During as _,
    keys::{self, Subject},
    members::{ATTEMPT_TIMEOUT, Member},
    transaction::revision,
};
use crate::journal::Revision;

/// The processes that live; `None` before the first look.
pub(super) type Processes = Option<Arc<BTreeMap<String, Worker>>>;

/// Whoever waits to lead, or does. The one whose key is oldest leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) create_revision: i64,
    pub(super) key: String,
    /// The process.
    pub(super) process: String,
}

/// Kept up to date by whoever follows the journal.
#[derive(Debug)]
pub(super) struct Roll {
    entries: Mutex<Entries>,
    pub(super) processes: watch::Sender<Processes>,
    /// The oldest candidate, and its process.
    pub(super) front: watch::Sender<Option<Candidate>>,
    pub(super) leader: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Events up to here are known.
    as_of: Revision,
    processes: BTreeMap<String, Worker>,
    candidates: BTreeMap<String, Candidate>,
}

/// Where the roll was read.
pub(super) struct Found {
    pub(super) cluster: u64,
    pub(super) revision: Revision,
}

impl Roll {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            processes: watch::Sender::new(None),
            front: watch::Sender::new(None),
            leader: watch::Sender::new(None),
        }
    }

    /// Reads the whole roll.
    pub(super) async fn load(&self, member: &Member) -> Result<Found, EtcdError> {
        let prefix = || Some(GetOptions::new().with_prefix());
        let looks = [TxnOp::get(keys::PROCESSES, prefix()), TxnOp::get(format!("{}/", keys::ELECTION), prefix())];
        let operation = "reading who is there";
        let mut client = member.client.clone();
        let answer = match timeout(ATTEMPT_TIMEOUT, client.txn(Txn::new().and_then(looks))).await {
            Ok(answer) => answer.during(operation)?,
            Err(_) => return Err(EtcdError::Timeout { operation, waited: ATTEMPT_TIMEOUT }),
        };
        let header = answer.header().ok_or(EtcdError::Malformed { operation })?;
        let found = Found { cluster: header.cluster_id(), revision: revision(header.revision()) };
        let mut entries = Entries { as_of: found.revision, ..Entries::default() };
        for look in answer.op_responses() {
            if let TxnOpResponse::Get(answer) = look {
                answer.kvs().iter().for_each(|kv| entries.put(kv));
            }
        }
        self.replace(entries);
        Ok(found)
    }

    fn replace(&self, entries: Entries) {
        let mut present = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        *present = entries;
        self.tell(&present);
    }

    /// Takes in an event that is of no record.
    pub(super) fn note(&self, event: &Event) {
        let Some(kv) = event.kv() else { return };
        // Each entry is one insertion or removal: a panic leaves nothing half done.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if revision(kv.mod_revision()) <= entries.as_of {
            return;
        }
        match event.event_type() {
            EventType::Put => entries.put(kv),
            EventType::Delete => entries.remove(kv),
        }
        self.tell(&entries);
    }

    fn tell(&self, entries: &Entries) {
        self.processes.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&entries.processes);
            if changed {
                *known = Some(Arc::new(entries.processes.clone()));
            }
            changed
        });
        let front = entries.candidates.values().min().cloned();
        let leader = front.as_ref().map(|front| front.process.clone());
        self.front.send_if_modified(|known| std::mem::replace(known, front.clone()) != front);
        self.leader.send_if_modified(|known| std::mem::replace(known, leader.clone()) != leader);
    }
}

impl Entries {
    fn put(&mut self, kv: &KeyValue) {
        let (Ok(key), Ok(value)) = (kv.key_str(), kv.value_str()) else { return };
        match keys::subject(key) {
            Subject::Process(id) => match serde_json::from_str(value) {
                Ok(worker) => drop(self.processes.insert(id.to_owned(), worker)),
                Err(error) => tracing::warn!(id, %error, "a process says of itself what is not understood here"),
            },
            Subject::Candidate => {
                let (create_revision, key, process) = (kv.create_revision(), key.to_owned(), value.to_owned());
                self.candidates.insert(key.clone(), Candidate { create_revision, key, process });
            }
            Subject::Record(_) | Subject::Other => {}
        }
    }

    fn remove(&mut self, kv: &KeyValue) {
        let Ok(key) = kv.key_str() else { return };
        match keys::subject(key) {
            Subject::Process(id) => drop(self.processes.remove(id)),
            Subject::Candidate => drop(self.candidates.remove(key)),
            Subject::Record(_) | Subject::Other => {}
        }
    }
}
