//! Receipts: how a change that is sent twice is committed once.
//!
//! When an attempt gets no answer, nobody knows whether it was committed. Each attempt therefore writes the change's own
//! number into a receipt in the same transaction, on the condition that the receipt is as this process left it. A second
//! attempt finds either the old receipt, and commits, or the change's number, and knows the answer to the first one. A
//! second attempt that is refused moves the receipt on, for the first one may still be on its way.
//! (Sessions of clients, Ongaro's dissertation on Raft, section 6.3.)

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::keys;

/// Changes of this process that may be on their way at once; further ones wait.
pub(super) const CHANGES_IN_FLIGHT_MAX: usize = 64;

/// The receipts of one process.
#[derive(Debug)]
pub(super) struct Receipts {
    process: Uuid,
    idle: Mutex<Idle>,
    permits: Semaphore,
}

#[derive(Debug, Default)]
struct Idle {
    slots: Vec<Slot>,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u32,
    /// The receipt's revision; 0 where it does not exist.
    mod_revision: i64,
}

/// A receipt in use by one change. Given back with [`Self::settle`]; one whose state is not known any more is not used again.
#[derive(Debug)]
pub(super) struct Receipt<'a> {
    receipts: &'a Receipts,
    slot: Slot,
    /// The change's number.
    pub(super) change: Uuid,
    _permit: SemaphorePermit<'a>,
}

impl Receipts {
    pub(super) fn new(process: Uuid) -> Self {
        Self { process, idle: Mutex::default(), permits: Semaphore::new(CHANGES_IN_FLIGHT_MAX) }
    }

    /// Waits for a receipt that is not in use.
    pub(super) async fn take(&self) -> Receipt<'_> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let slot = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.slots.pop().unwrap_or_else(|| {
                idle.next += 1;
                Slot { number: idle.next, mod_revision: 0 }
            })
        };
        Receipt { receipts: self, slot, change: Uuid::new_v4(), _permit: permit }
    }

    /// What the keys of all receipts of this process begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{}{}/", keys::RECEIPTS, self.process)
    }
}

impl Receipt<'_> {
    pub(super) fn key(&self) -> String {
        keys::receipt(self.receipts.process, self.slot.number)
    }

    pub(super) fn mod_revision(&self) -> i64 {
        self.slot.mod_revision
    }

    /// The same receipt, which was found to stand at this revision.
    pub(super) fn standing_at(mut self, mod_revision: i64) -> Self {
        self.slot.mod_revision = mod_revision;
        self
    }

    /// The receipt is known to stand at this revision: another change may use it.
    pub(super) fn settle(self, mod_revision: i64) {
        let slot = Slot { mod_revision, ..self.slot };
        self.receipts.idle.lock().unwrap_or_else(PoisonError::into_inner).slots.push(slot);
    }
}
