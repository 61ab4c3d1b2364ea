//! Blobs that nobody refers to: moved aside first, and unlinked a week later.
//!
//! A file in `orphans/` is named `PARTITION.SECOND-UPTIME.NAME`, after the second in which it was moved, by the clock and by
//! the time that the node had seen passing, and its name before. Until it is unlinked it can be brought back.

use std::{path::Path, sync::atomic::Ordering};

use jiff::{SignedDuration, Timestamp};
use triton_api::{BlobKey, Epoch, Page, PartitionId, storage::Orphan};

use super::{
    PAGE_ENTRIES_MAX, Store, StoreError,
    dir::{self, BLOBS, ORPHANS},
    format, name,
    remove::age_ms,
};

/// How long an orphan can be brought back.
const ORPHAN_TTL: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the name of a file in `orphans/` says.
struct Aside<'a> {
    partition: PartitionId,
    moved_at: Timestamp,
    /// The node's uptime then.
    uptime_seconds: i64,
    name: &'a str,
}

fn parse(file_name: &str) -> Option<Aside<'_>> {
    let (partition, rest) = file_name.split_once('.')?;
    let (second, name) = rest.split_once('.')?;
    // Without an uptime, as written by an earlier version, the node has seen as much passing as it ever has.
    let (second, uptime) = second.split_once('-').unwrap_or((second, "0"));
    let moved_at = Timestamp::from_second(second.parse().ok()?).ok()?;
    let (partition, uptime_seconds) = (PartitionId::new(partition.parse().ok()?), uptime.parse().ok()?);
    Some(Aside { partition, moved_at, uptime_seconds, name })
}

impl Store {
    /// Moves a blob aside, unless it is younger than `age_ms_min`; answers whether it did.
    pub(crate) fn set_aside(&self, key: &BlobKey, age_ms_min: u64, epoch: Epoch) -> Result<bool, StoreError> {
        let _admitted = self.layout.admit(Some(epoch))?;
        self.refuse_distrusted()?;
        let partition = triton_placement::partition_of(key);
        let (path, now) = (dir::key_path(BLOBS, partition, key), Timestamp::now());
        let moved_at = format!("{}-{}", now.as_second(), self.uptime.seconds());
        let aside = format!("{:04}.{moved_at}.{}", partition.get(), name::file_name(key));
        // The read may take a bad disk minutes: not under the lock.
        let read = self.disk.facts_at(&path)?.map(|facts| facts.identity);
        let Some(found) = self.description_at(&path)?.filter(|found| found.key == *key) else { return Ok(false) };
        let mut ledger = self.ledger.lock(partition);
        if self.disk.facts_at(&path)?.map(|facts| facts.identity) != read {
            return Ok(false);
        }
        if age_ms(found.created_at, now) < age_ms_min {
            return Ok(false);
        }
        self.disk.replace(&path, &Path::new(ORPHANS).join(aside))?;
        ledger.blob_gone(Some((key, found.hash)), found.len_bytes);
        drop(ledger);
        self.orphans.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir(Path::new(ORPHANS))?;
        self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        self.refuse_distrusted()?;
        Ok(true)
    }

    /// Brings a blob back that was moved aside; answers whether it is there again, which a deleted one never is.
    pub(crate) fn bring_back(&self, key: &BlobKey) -> Result<bool, StoreError> {
        self.refuse_distrusted()?;
        let partition = triton_placement::partition_of(key);
        let wanted = name::file_name(key);
        let names = self.disk.list(Path::new(ORPHANS))?;
        let is_it = |aside: &Aside<'_>| aside.partition == partition && aside.name == wanted;
        let Some(name) = names.iter().find(|name| parse(name).is_some_and(|aside| is_it(&aside))) else {
            return Ok(false);
        };
        let aside = Path::new(ORPHANS).join(name);
        self.dir.partitions.make(&self.disk, BLOBS, partition)?;
        {
            let mut ledger = self.ledger.lock(partition);
            let Some(found) = self.description_at(&aside)?.filter(|found| found.key == *key) else { return Ok(false) };
            if self.is_deleted(key)? || !self.disk.publish(&aside, &dir::key_path(BLOBS, partition, key))? {
                return Ok(false);
            }
            ledger.blob_published(key, found.hash, found.len_bytes);
        }
        self.orphans.fetch_sub(1, Ordering::Relaxed);
        self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        self.ledger.lock(partition).synced();
        Ok(true)
    }

    /// What was moved aside, by file name behind `after`, a page at a time.
    pub(crate) fn list_orphans(&self, after: Option<&str>) -> Result<Page<Orphan>, StoreError> {
        let mut names = self.disk.list(Path::new(ORPHANS))?;
        names.retain(|name| after.is_none_or(|after| name.as_str() > after));
        names.sort_unstable();
        let next_cursor = (names.len() > PAGE_ENTRIES_MAX).then(|| names.get(PAGE_ENTRIES_MAX - 1).cloned()).flatten();
        names.truncate(PAGE_ENTRIES_MAX);
        let now = Timestamp::now();
        let mut items = Vec::new();
        for file_name in &names {
            let Some(aside) = parse(file_name) else { continue };
            let path = Path::new(ORPHANS).join(file_name);
            let Some(facts) = self.disk.facts_at(&path)? else { continue };
            let key = match name::key_of(aside.name) {
                Some(key) => Some(key),
                None => self.description_at(&path)?.map(|found| found.key),
            };
            let len_bytes = format::payload_bytes_of(facts.len_bytes).unwrap_or(0);
            items.extend(key.map(|key| Orphan { key, len_bytes, aside_ms: age_ms(aside.moved_at, now) }));
        }
        Ok(Page { items, next_cursor })
    }

    /// Unlinks what was moved aside a week ago, unless a clock that was put forward is all that says so; answers how many.
    pub(crate) fn sweep_orphans(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.refuse_distrusted()?;
        let mut dropped = 0;
        for file_name in self.disk.list(Path::new(ORPHANS))? {
            let is_over = |aside: Aside<'_>| {
                now.duration_since(aside.moved_at) > ORPHAN_TTL && self.uptime.bears_out(aside.uptime_seconds)
            };
            if parse(&file_name).is_some_and(is_over) && self.disk.unlink(&Path::new(ORPHANS).join(&file_name))? {
                self.orphans.fetch_sub(1, Ordering::Relaxed);
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}
