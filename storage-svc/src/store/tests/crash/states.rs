//! What may be on a disk after a crash. Pure: a trace goes in, contents of a directory come out.
//!
//! The model promises no more than POSIX does, as ALICE's most pessimistic one (Pillai et al., OSDI 2014): a change of a
//! name is durable when its directory was synced afterwards, a file's bytes when the file was; until then each change of a
//! name may or may not be there, whatever came before or after it, and of the bytes none, some, zeros or all. A rename is
//! two changes, the new name and the old one. A file system that is kinder only reaches some of these states.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::super::scripted::{Event, FileNumber};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(FileNumber),
}

#[derive(Debug, Clone)]
struct Change {
    path: PathBuf,
    entry: Option<Entry>,
    durable: bool,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable_bytes: usize,
}

/// The directories and files of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Image {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
}

/// A disk and what it has been asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    changes: Vec<Change>,
    contents: BTreeMap<FileNumber, Content>,
}

/// What has become of bytes that were not synced.
const FATES: usize = 5;

impl Content {
    fn after(&self, fate: usize) -> Vec<u8> {
        let (durable, lost) = self.bytes.split_at(self.durable_bytes);
        let half = lost.len() / 2;
        let tail = match fate {
            0 => Vec::new(),
            1 => lost[..half].to_vec(),
            2 => vec![0; lost.len()],
            3 => [&lost[..half], &vec![0; lost.len() - half]].concat(),
            _ => lost.to_vec(),
        };
        [durable, &tail].concat()
    }
}

impl Disk {
    /// Takes the next event of a trace.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Created { path, file } => {
                self.contents.insert(*file, Content::default());
                self.change(path, Some(Entry::File(*file)));
            }
            Event::Wrote { file, content } => self.contents.get_mut(file).unwrap().bytes.extend(content),
            Event::Synced { file } => {
                let content = self.contents.get_mut(file).unwrap();
                content.durable_bytes = content.bytes.len();
            }
            Event::DirSynced { dir } => {
                let below = self.changes.iter_mut().filter(|change| change.path.parent() == Some(dir));
                below.for_each(|change| change.durable = true);
            }
            Event::EverythingSynced => {
                self.changes.iter_mut().for_each(|change| change.durable = true);
                self.contents.values_mut().for_each(|content| content.durable_bytes = content.bytes.len());
            }
            Event::Renamed { from, to } => {
                let entry = self.entry(from);
                self.change(to, entry);
                self.change(from, None);
            }
            Event::Unlinked { path } => self.change(path, None),
            Event::DirMade { path } => self.change(path, Some(Entry::Dir)),
            Event::Mark(_) => {}
        }
    }

    fn change(&mut self, path: &Path, entry: Option<Entry>) {
        self.changes.push(Change { path: path.to_owned(), entry, durable: false });
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        self.changes.iter().rev().find(|change| change.path == path).and_then(|change| change.entry)
    }

    /// The images that a crash can leave now, and whether they are all that there are: where there are more than `max`,
    /// that many are drawn by lot.
    pub(super) fn images(&self, seed: u64, max: usize) -> (BTreeSet<Image>, bool) {
        let open: Vec<usize> = (0..self.changes.len()).filter(|at| !self.changes[*at].durable).collect();
        let torn: Vec<FileNumber> =
            self.contents.iter().filter(|(_, c)| c.durable_bytes < c.bytes.len()).map(|(n, _)| *n).collect();
        let choices = |fates: &mut dyn FnMut(usize) -> usize| {
            let lost: BTreeSet<usize> = open.iter().copied().filter(|_| fates(2) == 0).collect();
            let torn: BTreeMap<FileNumber, usize> = torn.iter().map(|file| (*file, fates(FATES))).collect();
            self.image(&lost, &torn)
        };
        let count = (0..open.len()).try_fold(1_usize, |n, _| n.checked_mul(2));
        let count = (0..torn.len()).try_fold(count.unwrap_or(usize::MAX), |n, _| n.checked_mul(FATES));
        if let Some(count) = count.filter(|count| *count <= max) {
            let one = |mut number: usize| {
                choices(&mut |radix| {
                    let digit = number % radix;
                    number /= radix;
                    digit
                })
            };
            return ((0..count).map(one).collect(), true);
        }
        let mut random = StdRng::seed_from_u64(seed);
        let images = (0..max).map(|_| choices(&mut |radix| random.random_range(0..radix)));
        (images.collect(), false)
    }

    fn image(&self, lost: &BTreeSet<usize>, torn: &BTreeMap<FileNumber, usize>) -> Image {
        let mut entries: BTreeMap<&Path, Entry> = BTreeMap::new();
        for (_, change) in self.changes.iter().enumerate().filter(|(at, _)| !lost.contains(at)) {
            match change.entry {
                Some(entry) => drop(entries.insert(&change.path, entry)),
                None => drop(entries.remove(change.path.as_path())),
            }
        }
        let mut image = Image::default();
        // Parents come before their children; what lies in a directory that is lost is lost.
        for (path, entry) in entries {
            let parent = path.parent().unwrap_or(Path::new(""));
            if parent != Path::new("") && !image.dirs.contains(parent) {
                continue;
            }
            match entry {
                Entry::Dir => drop(image.dirs.insert(path.to_owned())),
                Entry::File(file) => {
                    let content = &self.contents[&file];
                    let fate = torn.get(&file).copied().unwrap_or(FATES - 1);
                    image.files.insert(path.to_owned(), content.after(fate));
                }
            }
        }
        image
    }
}

impl Image {
    /// Lays the image out in an empty directory.
    pub(super) fn lay_out(&self, root: &Path) {
        for dir in &self.dirs {
            std::fs::create_dir(root.join(dir)).unwrap();
        }
        for (path, content) in &self.files {
            std::fs::write(root.join(path), content).unwrap();
        }
    }
}
