//! The seam to the file system: the calls that the store makes, one function per system call (two where one
//! may be refused), and nothing above them.
//!
//! [`Disk`](super::disk::Disk) is the only caller; what an error means is decided there. In the product the one
//! implementation is [`Plain`]. The tests' `Scripted` does the same, records each call in order, and can make one fail,
//! fall short or lie. Paths begin with the data directory's, but for calls on an open file, where they are only a label.

use std::{
    fmt::Debug,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, IoSlice, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::{Advice, CWD, OFlags, RenameFlags, fadvise};

/// A read is none of the file system's business: it would note the time of a file's first one, and while copies are written
/// that waits for its journal.
const NO_ACCESS_TIME: i32 = OFlags::NOATIME.bits().cast_signed();

/// Room on the file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) capacity_bytes: u64,
    pub(crate) free_bytes: u64,
}

/// What the store asks of a file system. Everything blocks.
pub(crate) trait Files: Debug + Send + Sync {
    /// Room as an unprivileged process sees it.
    fn space(&self, root: &Path) -> io::Result<Space>;
    /// Creates a file that must not exist, for writing.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Appends; answers how many bytes were taken, which may be fewer than there are.
    fn write(&self, path: &Path, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Reads from `offset` into the room that `content` has left; answers how many bytes were added, 0 at the end.
    fn read(&self, path: &Path, file: &File, content: &mut Vec<u8>, offset: u64) -> io::Result<usize>;
    /// Gives up what is in memory of a file, so that the next read of it asks the disk.
    fn forget(&self, path: &Path, file: &File) -> io::Result<()>;
    /// What is known of an open file.
    fn stat(&self, path: &Path, file: &File) -> io::Result<Metadata>;
    /// What is known of what has this name; symbolic links are not followed.
    fn stat_at(&self, path: &Path) -> io::Result<Metadata>;
    /// Makes a file's content durable.
    fn sync(&self, path: &Path, file: &File) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path, dir: &File) -> io::Result<()>;
    /// Makes everything durable that the file system of `root` has been asked for so far.
    fn sync_everything(&self, root: &Path) -> io::Result<()>;
    /// Gives a file a name that must not be taken.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a name, in place of whatever has it.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory that must not exist.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order. Names that are not UTF-8 are none of ours and left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
}

/// The file system itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

impl Files for Plain {
    fn space(&self, root: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(root)?;
        Ok(Space {
            capacity_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        match OpenOptions::new().read(true).custom_flags(NO_ACCESS_TIME).open(path) {
            // The file is somebody else's.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(path),
            opened => opened,
        }
    }

    fn write(&self, _path: &Path, mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        file.write_vectored(slices)
    }

    fn read(&self, _path: &Path, file: &File, content: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(file, rustix::buffer::spare_capacity(content), offset)?)
    }

    fn forget(&self, _path: &Path, file: &File) -> io::Result<()> {
        Ok(fadvise(file, 0, None, Advice::DontNeed)?)
    }

    fn stat(&self, _path: &Path, file: &File) -> io::Result<Metadata> {
        file.metadata()
    }

    fn stat_at(&self, path: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(path)
    }

    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, _path: &Path, dir: &File) -> io::Result<()> {
        dir.sync_all()
    }

    fn sync_everything(&self, root: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(root)?)?)
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some network and FUSE file systems lack the flag; a hard link refuses a taken name as well.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            other => Ok(other?),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }
}
