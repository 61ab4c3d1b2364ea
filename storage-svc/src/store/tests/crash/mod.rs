//! Crash consistency by ALICE's method: what the store does is recorded at the seam; for every prefix of the record, all
//! (or very many) states that a crash can leave are laid out on a disk, and the store is opened on each.

mod check;
mod states;
mod workloads;

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use triton_api::{BlobKey, layout::LayoutRecord};

use super::scripted::{Event, Scripted};
use crate::store::Store;

/// What is promised of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Fate {
    /// Somebody has begun to write it.
    Begun,
    /// It was acknowledged, or its presence was confirmed.
    Stored,
    /// It may go, or stay whole: a delete or a release has begun.
    Going,
    /// Its delete was acknowledged.
    Deleted,
    /// A copy of it was damaged on purpose: it is whole or absent, and may be put aside.
    Damaged,
}

/// What a workload says of itself, in the order of the trace.
#[derive(Debug, Clone)]
enum Word {
    /// A write has begun; what is promised of the key already holds on.
    Begun(BlobKey),
    Key(BlobKey, Fate),
    /// A layout is about to be learned.
    LayoutBegun(Box<LayoutRecord>),
    /// All layouts begun so far are known.
    LayoutsLearned,
}

/// All that is promised at one point of the trace.
#[derive(Debug, Clone, Default)]
struct Promises {
    keys: BTreeMap<BlobKey, Fate>,
    layouts: Vec<LayoutRecord>,
    layouts_learned: usize,
    /// Whether a copy has been damaged so far, so that one may have been put aside.
    damaged: bool,
}

impl Promises {
    fn hear(&mut self, word: &Word) {
        match word {
            Word::Begun(key) => drop(self.keys.entry(key.clone()).or_insert(Fate::Begun)),
            Word::Key(key, fate) => {
                self.damaged |= *fate == Fate::Damaged;
                self.keys.insert(key.clone(), *fate);
            }
            Word::LayoutBegun(record) => self.layouts.push(LayoutRecord::clone(record)),
            Word::LayoutsLearned => self.layouts_learned = self.layouts.len(),
        }
    }
}

/// Where a workload runs.
struct World {
    root: TempDir,
    files: Arc<Scripted>,
    words: Mutex<Vec<Word>>,
}

/// In memory where the machine has such a file system: a crash test does not wait for disks.
fn temporary() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl World {
    fn new() -> Self {
        let root = temporary();
        let files = Scripted::new(root.path());
        Self { root, files, words: Mutex::default() }
    }

    /// The store as a process sees it; opening it again is a process that was killed and started, not a crash.
    fn open(&self) -> Store {
        Store::open_on(Arc::<Scripted>::clone(&self.files), self.root.path(), Some(0)).unwrap()
    }

    fn say(&self, word: Word) {
        let mut words = self.words.lock().unwrap();
        self.files.mark(words.len());
        words.push(word);
    }
}

/// What was tried, and what was wrong.
#[derive(Debug, Default)]
struct Outcome {
    events: usize,
    states: usize,
    /// Prefixes whose states were drawn by lot.
    sampled: usize,
    /// The first broken promise; nothing is tried after it.
    violation: Option<String>,
}

/// Runs a workload, lets it crash everywhere, and checks every state that this can leave.
///
/// Up to `states_max` states of a prefix all are tried, beyond it as many by lot.
fn crash_everywhere(states_max: usize, workload: impl FnOnce(&World), break_it: impl FnOnce(&Scripted)) -> Outcome {
    let world = World::new();
    break_it(&world.files);
    workload(&world);
    let (events, words) = (world.files.events(), world.words.into_inner().unwrap());
    let (mut disk, mut promises) = (states::Disk::default(), Promises::default());
    let mut outcome = Outcome { events: events.len(), ..Outcome::default() };
    let mut seen = HashSet::new();
    for (at, event) in events.iter().enumerate() {
        if let Event::Mark(number) = event {
            promises.hear(&words[*number]);
        } else {
            disk.apply(event);
        }
        let (images, complete) = disk.images(at as u64, states_max);
        outcome.sampled += usize::from(!complete);
        for image in images {
            let mut hasher = DefaultHasher::new();
            (&image, &promises.keys, promises.layouts.len(), promises.layouts_learned).hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            outcome.states += 1;
            if let Err(violation) = check::check(&image, &promises) {
                outcome.violation = Some(format!("{violation} (after event {at}, {event:?})"));
                return outcome;
            }
        }
    }
    outcome
}

fn nothing_breaks(name: &str, states_max: usize, workload: impl FnOnce(&World)) {
    let outcome = crash_everywhere(states_max, workload, |_| {});
    println!(
        "{name}: {} crash states over {} events, {} prefixes by lot",
        outcome.states, outcome.events, outcome.sampled
    );
    assert!(outcome.states > 1 && outcome.violation.is_none(), "{:?}", outcome.violation);
}
