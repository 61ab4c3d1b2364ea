//! The directories of this process.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use super::StartError;

/// A directory for files while they are made; what a crash left in it goes.
pub(super) fn fresh_work_dir(data_dir: &Path) -> Result<PathBuf, StartError> {
    let dir = data_dir.join("work");
    match std::fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(StartError::Directory { path: dir.display().to_string(), source }),
    }
    make_dir(&dir)?;
    Ok(dir)
}

/// Keeps other processes away from the directory for as long as the result lives.
pub(super) fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.display().to_string();
    let unusable = |source| StartError::Directory { path: path.clone(), source };
    let file = File::create(data_dir.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: path.clone() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

pub(super) fn make_dir(dir: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(dir).map_err(|source| StartError::Directory { path: dir.display().to_string(), source })
}
