//! The file that remembers which partitions lack a copy.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use super::degraded::DegradedPartition;

/// Where the list is kept: after a crash the file is as it was before a change or after it.
#[derive(Debug, Clone)]
pub(super) struct DegradedFile {
    path: PathBuf,
}

impl DegradedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What the file has; nothing where there is none.
    pub(super) fn read(&self) -> io::Result<Vec<DegradedPartition>> {
        match fs::read(&self.path) {
            Ok(content) => Ok(serde_json::from_slice(&content)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes the whole list; it is durable when this returns. Blocks.
    pub(super) fn write(&self, partitions: &[DegradedPartition]) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(partitions)?)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        match self.path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}
