//! A file system that records what it is asked, in order, and fails, falls short or lies where a test says so.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, IoSlice},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::io::Errno;

use crate::store::files::{Files, Plain, Space};

/// A kind of call at the seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Open,
    Write,
    Read,
    Stat,
    Sync,
    SyncDir,
    SyncEverything,
    Publish,
    Replace,
    Unlink,
    MakeDir,
    List,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It fails and does nothing.
    Error(Errno),
    /// At most this many bytes are read or written.
    Short(usize),
    /// The lowest bit of the byte at this place of what is read is another.
    Flip(usize),
    /// It says that it has been done.
    Lie,
}

/// Calls of one kind, on paths that contain `path_part` (a `$` is their end), have a trouble: `times` of them, after the first `skip`.
#[derive(Debug)]
struct Fault {
    call: Call,
    path_part: String,
    skip: usize,
    times: usize,
    trouble: Trouble,
    met: AtomicUsize,
}

/// A number for a file that stays its own, where the kernel gives inodes away again.
pub(super) type FileNumber = usize;

/// Something that was done and that a crash may undo. Paths are relative to the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Created {
        path: PathBuf,
        file: FileNumber,
    },
    Wrote {
        file: FileNumber,
        content: Vec<u8>,
    },
    Synced {
        file: FileNumber,
    },
    DirSynced {
        dir: PathBuf,
    },
    EverythingSynced,
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Unlinked {
        path: PathBuf,
    },
    DirMade {
        path: PathBuf,
    },
    /// The test says where it stands.
    Mark(usize),
}

#[derive(Debug, Default)]
struct Trace {
    events: Vec<Event>,
    numbers: HashMap<u64, FileNumber>,
    files: FileNumber,
}

/// The plain file system under `root`, watched. Calls that change something are done one at a time.
#[derive(Debug)]
pub(super) struct Scripted {
    root: PathBuf,
    faults: Mutex<Vec<Fault>>,
    trace: Mutex<Trace>,
}

impl Scripted {
    pub(super) fn new(root: &Path) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), faults: Mutex::default(), trace: Mutex::default() })
    }

    /// Makes the calls fail that come after the first `skip`, `times` of them.
    pub(super) fn fault(&self, call: Call, path_part: &str, skip: usize, times: usize, trouble: Trouble) {
        let (path_part, met) = (path_part.to_owned(), AtomicUsize::new(0));
        self.faults.lock().unwrap().push(Fault { call, path_part, skip, times, trouble, met });
    }

    /// The same for all calls from now on.
    pub(super) fn fault_always(&self, call: Call, path_part: &str, trouble: Trouble) {
        self.fault(call, path_part, 0, usize::MAX, trouble);
    }

    /// Ends all faults but lies; answers how many calls met one.
    pub(super) fn heal(&self) -> usize {
        let mut faults = self.faults.lock().unwrap();
        let (lies, healed): (Vec<_>, Vec<_>) = faults.drain(..).partition(|fault| fault.trouble == Trouble::Lie);
        *faults = lies;
        let met = |fault: &Fault| fault.met.load(Ordering::SeqCst).saturating_sub(fault.skip).min(fault.times);
        healed.iter().map(met).sum()
    }

    pub(super) fn mark(&self, number: usize) {
        self.trace.lock().unwrap().events.push(Event::Mark(number));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.trace.lock().unwrap().events.clone()
    }

    /// The trouble of this call, where it has one; an error is returned as such.
    fn trouble(&self, call: Call, path: &Path) -> io::Result<Option<Trouble>> {
        let path = format!("{}$", path.display());
        let faults = self.faults.lock().unwrap();
        for fault in faults.iter().filter(|fault| fault.call == call && path.contains(&fault.path_part)) {
            let met = fault.met.fetch_add(1, Ordering::SeqCst);
            if met >= fault.skip && met - fault.skip < fault.times {
                return match fault.trouble {
                    Trouble::Error(errno) => Err(errno.into()),
                    other => Ok(Some(other)),
                };
            }
        }
        Ok(None)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    /// Does a call and records it as one step; a lie is neither done nor recorded.
    fn step<T>(
        &self,
        call: Call,
        path: &Path,
        done: impl FnOnce() -> io::Result<T>,
        lie: impl FnOnce() -> Option<T>,
        record: impl FnOnce(&mut Trace, &T),
    ) -> io::Result<T> {
        let mut trace = self.trace.lock().unwrap();
        if self.trouble(call, path)? == Some(Trouble::Lie)
            && let Some(result) = lie()
        {
            return Ok(result);
        }
        let result = done()?;
        record(&mut trace, &result);
        Ok(result)
    }

    fn change(&self, call: Call, path: &Path, done: impl FnOnce() -> io::Result<()>, event: Event) -> io::Result<()> {
        self.step(call, path, done, || Some(()), |trace, ()| trace.events.push(event))
    }
}

impl Trace {
    fn number(&self, file: &File) -> FileNumber {
        self.numbers[&file.metadata().unwrap().ino()]
    }
}

impl Files for Scripted {
    fn space(&self, root: &Path) -> io::Result<Space> {
        Plain.space(root)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let done = || Plain.create(path);
        self.step(
            Call::Create,
            path,
            done,
            || None,
            |trace, file| {
                trace.files += 1;
                let number = trace.files;
                trace.numbers.insert(file.metadata().unwrap().ino(), number);
                trace.events.push(Event::Created { path: self.relative(path), file: number });
            },
        )
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.trouble(Call::Open, path)?;
        Plain.open(path)
    }

    fn write(&self, path: &Path, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let content: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut trace = self.trace.lock().unwrap();
        let content = match self.trouble(Call::Write, path)? {
            Some(Trouble::Short(most)) => &content[..content.len().min(most)],
            _ => &content[..],
        };
        let written = Plain.write(path, file, &[IoSlice::new(content)])?;
        let number = trace.number(file);
        trace.events.push(Event::Wrote { file: number, content: content[..written].to_vec() });
        Ok(written)
    }

    fn read(&self, path: &Path, file: &File, content: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let trouble = self.trouble(Call::Read, path)?;
        let before = content.len();
        if let Some(Trouble::Short(most)) = trouble {
            let mut some = Vec::with_capacity(most);
            Plain.read(path, file, &mut some, offset)?;
            some.truncate(most);
            content.extend(&some);
        } else {
            Plain.read(path, file, content, offset)?;
        }
        if let Some(Trouble::Flip(at)) = trouble
            && let Some(byte) = content[before..].get_mut(at)
        {
            *byte ^= 1;
        }
        Ok(content.len() - before)
    }

    fn forget(&self, path: &Path, file: &File) -> io::Result<()> {
        Plain.forget(path, file)
    }

    fn stat(&self, path: &Path, file: &File) -> io::Result<Metadata> {
        self.trouble(Call::Stat, path)?;
        Plain.stat(path, file)
    }

    fn stat_at(&self, path: &Path) -> io::Result<Metadata> {
        self.trouble(Call::Stat, path)?;
        Plain.stat_at(path)
    }

    fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        let number = self.trace.lock().unwrap().number(file);
        self.change(Call::Sync, path, || Plain.sync(path, file), Event::Synced { file: number })
    }

    fn sync_dir(&self, path: &Path, file: &File) -> io::Result<()> {
        let dir = self.relative(path);
        self.change(Call::SyncDir, path, || Plain.sync_dir(path, file), Event::DirSynced { dir })
    }

    fn sync_everything(&self, root: &Path) -> io::Result<()> {
        // Not done: it would wait for whatever else the machine writes, and only the record matters.
        self.change(Call::SyncEverything, root, || Ok(()), Event::EverythingSynced)
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let event = Event::Renamed { from: self.relative(from), to: self.relative(to) };
        self.change(Call::Publish, to, || Plain.publish(from, to), event)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let event = Event::Renamed { from: self.relative(from), to: self.relative(to) };
        self.change(Call::Replace, to, || Plain.replace(from, to), event)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let event = Event::Unlinked { path: self.relative(path) };
        self.change(Call::Unlink, path, || Plain.unlink(path), event)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let event = Event::DirMade { path: self.relative(path) };
        self.change(Call::MakeDir, path, || Plain.make_dir(path), event)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.trouble(Call::List, path)?;
        Plain.list(path)
    }
}
