//! The bookkeeping of a running migration: kept in memory, written to its record at intervals.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use triton_api::PartitionId;
use triton_kit::MigrationStep;

use super::{
    cursor::{Cursors, Route},
    error::ClusterError,
    migration::{ERRORS_MAX, MigrationRecord},
    partition_set::PartitionSet,
    rate::Rate,
    records::Records,
};
use crate::{
    journal::{Change, Expect, RecordKey},
    store::Stored,
};

/// The time between two writes of the record while there is progress.
pub(super) const WRITE_INTERVAL: Duration = Duration::from_millis(500);
/// Attempts at writing the record while an admin changes it.
const ATTEMPTS_MAX: usize = 8;

/// What one process knows of the migration beyond its record.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    done: PartitionSet,
    cursors: Cursors,
    bytes_done: u64,
    errors: VecDeque<String>,
    rate: Rate,
}

impl Ledger {
    /// Goes on where the record says.
    pub(super) fn of(record: &MigrationRecord) -> Self {
        Self {
            entries: Mutex::new(Entries {
                done: record.done.clone(),
                cursors: record.cursors.clone(),
                bytes_done: record.bytes_done,
                errors: record.errors.iter().cloned().collect(),
                rate: Rate::starting_at(Instant::now()),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every entry is complete in itself, so that a panic in between leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a pull goes on.
    pub(super) fn cursor(&self, route: Route) -> Option<String> {
        self.lock().cursors.after(route).map(str::to_owned)
    }

    /// A pull has come to a cursor, or is through.
    pub(super) fn moved(&self, route: Route, cursor: Option<String>) {
        let mut entries = self.lock();
        match cursor {
            Some(after) => entries.cursors.advance(route, after),
            None => entries.cursors.forget(route),
        }
    }

    pub(super) fn copied(&self, bytes: u64) {
        let mut entries = self.lock();
        entries.bytes_done += bytes;
        entries.rate.add(bytes);
        metrics::counter!("triton_rebalance_bytes_total").increment(bytes);
    }

    pub(super) fn finished(&self, partition: PartitionId) {
        let mut entries = self.lock();
        entries.cursors.finish(partition);
        if !entries.done.contains(partition) {
            entries.done.insert(partition);
            metrics::counter!("triton_rebalance_partitions_total").increment(1);
        }
    }

    pub(super) fn is_done(&self, partition: PartitionId) -> bool {
        self.lock().done.contains(partition)
    }

    /// Partitions done and bytes copied: as long as these grow, something works.
    pub(super) fn progress(&self) -> (u32, u64) {
        let entries = self.lock();
        (entries.done.len(), entries.bytes_done)
    }

    /// What failed last.
    pub(super) fn last_error(&self) -> Option<String> {
        self.lock().errors.back().cloned()
    }

    /// Notes what is going to be tried again; the same text twice in a row is one entry.
    pub(super) fn failed(&self, text: String) {
        // A node that dies fails hundreds of steps: the log has one line for each round.
        tracing::debug!(reason = text, "a step of the migration failed and is tried again");
        let mut entries = self.lock();
        if entries.errors.back() == Some(&text) {
            return;
        }
        if entries.errors.len() == ERRORS_MAX {
            entries.errors.pop_front();
        }
        entries.errors.push_back(text);
    }

    /// The record with what is known here; everything that an admin decides stays as it is in the record.
    fn applied_to(&self, record: &MigrationRecord) -> MigrationRecord {
        let mut entries = self.lock();
        MigrationRecord {
            done: entries.done.clone(),
            cursors: entries.cursors.clone(),
            bytes_done: entries.bytes_done,
            // The last steps of a paused migration are written after the pause, and would leave their rate behind.
            bytes_per_second: if record.paused { 0 } else { entries.rate.at(Instant::now()) },
            errors: entries.errors.iter().cloned().collect(),
            ..record.clone()
        }
    }

    /// Writes what is known here into the record; nothing where the record is not of this migration any more.
    pub(super) async fn write(&self, records: &Records, of: &MigrationRecord) -> Result<(), ClusterError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(Stored { value: present, revision }) = records.migration().await? else { return Ok(()) };
            let update = self.applied_to(&present);
            if !is_same(&present, of) || update == present {
                return Ok(());
            }
            let change = Change::new().put(RecordKey::migration(), Expect::At(revision), &update)?;
            match records.commit(change).await {
                Err(error) if error.is_conflict() => {}
                Ok(()) => {
                    MigrationStep::CursorsWritten.reached();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether two records are of one migration in one phase.
pub(super) fn is_same(one: &MigrationRecord, other: &MigrationRecord) -> bool {
    (one.to, one.phase) == (other.to, other.phase)
}
