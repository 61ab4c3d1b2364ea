//! Putting a damaged copy aside: it is served no more, but a person can look at it.

use std::path::Path;

use triton_api::PartitionId;

use super::{
    Store, StoreError,
    dir::{self, BLOBS, QUARANTINE},
    disk::{DiskError, FileIdentity},
    format, name,
};

impl Store {
    /// Moves a damaged file out of its partition, unless another file has taken its name meanwhile.
    pub(super) fn put_aside(
        &self,
        partition: PartitionId,
        path: &Path,
        identity: FileIdentity,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        // The time makes it unique: a key can go bad more than once. A name has at most 200 bytes, a file name 255.
        let now = jiff::Timestamp::now().as_nanosecond();
        let aside = Path::new(QUARANTINE).join(format!("{:04}.{now}.{file_name}", partition.get()));
        // Where only the payload is damaged, the footer still tells what the sum has lost. Else it is read anew. Not under the lock: it may
        // be what the disk takes minutes to give out.
        let known = self.description_at(path).ok().flatten();
        let known = known.filter(|found| name::file_name(&found.key) == *file_name);
        {
            let mut ledger = self.ledger.lock(partition);
            match self.disk.facts_at(path)? {
                Some(facts) if facts.identity == identity => {
                    self.disk.replace(path, &aside)?;
                    let known = known.as_ref().map(|found| (&found.key, found.hash));
                    ledger.blob_gone(known, format::payload_bytes_of(facts.len_bytes).unwrap_or(0));
                }
                _ => return Ok(()),
            }
        }
        self.quarantined.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        metrics::counter!("triton_blobs_quarantined_total").increment(1);
        tracing::error!(file = %path.display(), aside = %aside.display(), reason, "a damaged copy was put aside");
        self.sync_move(partition)?;
        Ok(())
    }

    fn sync_move(&self, partition: PartitionId) -> Result<(), DiskError> {
        self.disk.sync_dir(Path::new(QUARANTINE))?;
        self.disk.sync_dir(&dir::partition_path(BLOBS, partition))
    }
}
