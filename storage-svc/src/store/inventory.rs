//! What a partition holds, by pages and as a digest.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use triton_api::{
    BlobKey, Page, PartitionId,
    layout::PARTITIONS,
    storage::{InventoryEntry, PartitionDigest, Tombstone as Deleted},
};

use super::{
    Store, StoreError,
    dir::{self, BLOBS, TOMBSTONES},
    format::Description,
    ledger::Tally,
    name,
    remove::age_ms,
    sum::SetSum,
};

/// The longest page of an inventory.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1000;
/// A page whose entries have taken so long ends with those that it has.
const PAGE_TIME: Duration = Duration::from_secs(2);
/// So does one that has taken so long with its listing: who pulls waits ten seconds for it.
const PAGE_TIME_MAX: Duration = Duration::from_secs(8);

/// What a name in a partition is about; a key with both is deleted, its blob about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Tombstone,
}

impl Store {
    /// The entries after the key `after`, sorted by key, at most `limit` of them, and fewer where the disk is slow. The names in
    /// it are durable. Entries that go meanwhile may leave a page empty that has a cursor.
    pub(crate) fn inventory(
        &self,
        partition: PartitionId,
        after: Option<&BlobKey>,
        limit: usize,
    ) -> Result<Page<InventoryEntry>, StoreError> {
        // Each page has to have the listing: were its time counted, pages from a slow disk would have one entry each.
        let (began, listed) = (Instant::now(), OnceCell::new());
        self.inventory_while(partition, after, limit, || {
            listed.get_or_init(Instant::now).elapsed() < PAGE_TIME && began.elapsed() < PAGE_TIME_MAX
        })
    }

    /// The same, with one entry at least, for as long as `has_time`.
    pub(super) fn inventory_while(
        &self,
        partition: PartitionId,
        after: Option<&BlobKey>,
        limit: usize,
        has_time: impl Fn() -> bool,
    ) -> Result<Page<InventoryEntry>, StoreError> {
        let mut keys = self.keys(partition)?;
        self.settle(partition)?;
        if let Some(after) = after {
            keys = keys.split_off(after);
            keys.remove(after);
        }
        let (mut items, mut last, mut rest) = (Vec::new(), None, keys.into_iter());
        for (key, kind) in rest.by_ref().take(limit.clamp(1, PAGE_ENTRIES_MAX)) {
            last = Some(key.to_string());
            items.extend(self.entry(partition, key, kind)?);
            if !has_time() {
                break;
            }
        }
        let next_cursor = last.filter(|_| rest.next().is_some());
        Ok(Page { items, next_cursor })
    }

    fn keys(&self, partition: PartitionId) -> Result<BTreeMap<BlobKey, Kind>, StoreError> {
        super::check_partition(partition)?;
        let mut keys = BTreeMap::new();
        for (folder, kind) in [(BLOBS, Kind::Blob), (TOMBSTONES, Kind::Tombstone)] {
            for file_name in self.disk.list(&dir::partition_path(folder, partition))? {
                keys.extend(self.key_of_file(partition, folder, &file_name)?.map(|key| (key, kind)));
            }
        }
        Ok(keys)
    }

    /// The key whose blob or tombstone a file is; `None` where it is none of ours.
    pub(super) fn key_of_file(
        &self,
        partition: PartitionId,
        folder: &str,
        file_name: &str,
    ) -> Result<Option<BlobKey>, StoreError> {
        match name::key_of(file_name) {
            Some(key) => Ok(Some(key)),
            None => self.key_inside(partition, folder, file_name),
        }
    }

    /// The key of a file that is named by its key's hash.
    fn key_inside(&self, partition: PartitionId, folder: &str, file_name: &str) -> Result<Option<BlobKey>, StoreError> {
        let path = dir::partition_path(folder, partition).join(file_name);
        let key = match folder {
            TOMBSTONES => self.read_tombstone(&path)?.map(|tombstone| tombstone.key),
            _ => self.description_at(&path)?.map(|description| description.key),
        };
        // Not a file of ours, or a damaged one: nobody can ask for it by a key.
        Ok(key.filter(|key| name::file_name(key) == file_name))
    }

    /// `None` where the blob has gone meanwhile, or is damaged and put aside now.
    fn entry(&self, partition: PartitionId, key: BlobKey, kind: Kind) -> Result<Option<InventoryEntry>, StoreError> {
        let now = Timestamp::now();
        if kind == Kind::Tombstone {
            let path = dir::key_path(TOMBSTONES, partition, &key);
            let entry =
                |Deleted { key, hash, age_ms }| InventoryEntry { key, hash, len_bytes: 0, deleted: true, age_ms };
            return Ok(self.deleted(&path, key, now)?.map(entry));
        }
        match self.describe(&key) {
            Ok(Description { hash, len_bytes, created_at, .. }) => {
                let age_ms = age_ms(created_at, now);
                Ok(Some(InventoryEntry { key, hash, len_bytes, deleted: false, age_ms }))
            }
            Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Digests of all partitions that hold anything, or may do so: one that the disk fails to tell is marked, and asked for
    /// again when something in it has changed, or after ten seconds at first, and then ever more seldom.
    pub(crate) fn digests(&self) -> Vec<PartitionDigest> {
        self.digests_at(Instant::now())
    }

    pub(super) fn digests_at(&self, now: Instant) -> Vec<PartitionDigest> {
        (0..PARTITIONS).filter_map(|partition| self.digest(PartitionId::new(partition), now)).collect()
    }

    fn digest(&self, partition: PartitionId, now: Instant) -> Option<PartitionDigest> {
        let began = Instant::now();
        let changes = {
            let ledger = self.ledger.lock(partition);
            if ledger.is_unreadable(now) {
                return Some(told(partition, ledger.tally().unwrap_or_default(), None));
            }
            ledger.changes()
        };
        let stock = self.take_stock(partition);
        let tally = *stock.as_ref().unwrap_or(&Tally::default());
        if stock.is_ok() && tally.blobs == 0 && tally.tombstones == 0 {
            return None;
        }
        let sum = stock.and_then(|_| self.sum(partition));
        // What could not be read is remembered from when that was known.
        if self.ledger.lock(partition).turns_unreadable(sum.is_err(), now + began.elapsed(), changes) {
            let error = sum.as_ref().err();
            tracing::error!(%partition, error = error.map(tracing::field::display), "what is in a partition cannot be read");
        }
        Some(told(partition, tally, sum.ok()))
    }
}

fn told(partition: PartitionId, tally: Tally, sum: Option<SetSum>) -> PartitionDigest {
    let Tally { blobs, bytes, tombstones } = tally;
    let (digest, unreadable) = (sum.unwrap_or_default().digest(), sum.is_none());
    PartitionDigest { partition, blobs, bytes, tombstones, digest, unreadable }
}
