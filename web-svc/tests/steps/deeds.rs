//! People at work on the ring: they write, read and delete, and remember what was promised to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{BlobHash, BlobKey, layout::LayoutRecord};
use triton_testkit::content;
use web_svc::ring::{Ring, RingLimits};

use crate::scene::caller;

const BLOB_BYTES: usize = 8 * 1024;
/// The pause of a person between two deeds.
const PAUSE: Duration = Duration::from_millis(40);

/// What was promised.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Blobs that were acknowledged and not deleted.
    pub(crate) kept: BTreeMap<BlobKey, BlobHash>,
    /// Blobs whose deletion was acknowledged.
    pub(crate) deleted: BTreeSet<BlobKey>,
    /// What must not have happened, in words.
    pub(crate) failures: Vec<String>,
    pub(crate) reads: u64,
    writes: u64,
}

pub(crate) struct Deeds {
    memory: Arc<Mutex<Memory>>,
    ring: Ring,
    people: JoinSet<()>,
    stop: CancellationToken,
    /// While somebody compares all nodes, nobody changes anything.
    resting: Arc<AtomicBool>,
}

impl Deeds {
    /// Writes `blobs` blobs, then lets people work.
    pub(crate) async fn start(layout: watch::Receiver<Arc<LayoutRecord>>, blobs: u64) -> Self {
        let (stop, memory) = (CancellationToken::new(), Arc::new(Mutex::new(Memory::default())));
        let ring = Ring::new(caller(), layout, RingLimits::default(), TaskTracker::new(), stop.clone());
        let mut deeds = Self { memory, ring, people: JoinSet::new(), stop, resting: Arc::default() };
        for number in 0..blobs {
            assert!(write(&deeds.ring, &deeds.memory, format!("v/before/1/{number}"), number).await);
        }
        deeds.work();
        deeds
    }

    fn work(&mut self) {
        let person = || (self.ring.clone(), Arc::clone(&self.memory), self.stop.clone());
        let resting = Arc::clone(&self.resting);
        let (ring, memory, stop) = person();
        self.people.spawn(async move {
            for number in 1000.. {
                if stop.is_cancelled() {
                    return;
                }
                if !resting.load(Ordering::Relaxed) {
                    write(&ring, &memory, format!("v/meanwhile/1/{number}"), number).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        let resting = Arc::clone(&self.resting);
        let (ring, memory, stop) = person();
        self.people.spawn(async move {
            let mut choice = StdRng::seed_from_u64(1);
            while !stop.is_cancelled() {
                if !resting.load(Ordering::Relaxed) {
                    delete(&ring, &memory, &mut choice).await;
                }
                tokio::time::sleep(PAUSE * 4).await;
            }
        });
        for seed in 2..4 {
            let (ring, memory, stop) = person();
            self.people.spawn(async move {
                let mut choice = StdRng::seed_from_u64(seed);
                while !stop.is_cancelled() {
                    read(&ring, &memory, &mut choice).await;
                    tokio::time::sleep(PAUSE / 4).await;
                }
            });
        }
    }

    /// Lets only readers work, or everybody again.
    pub(crate) fn rest(&self, rest: bool) {
        self.resting.store(rest, Ordering::Relaxed);
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// Ends the work; nothing may have failed.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.people.join_next().await {
            ended.unwrap();
        }
        let memory = self.memory();
        assert_eq!(memory.failures, Vec::<String>::new());
        assert!(memory.reads > 100 && memory.writes > 300 && memory.deleted.len() > 20, "{memory:?}");
    }
}

/// Writes a blob; a write that is not acknowledged promises nothing.
async fn write(ring: &Ring, memory: &Mutex<Memory>, key: String, seed: u64) -> bool {
    let (key, bytes): (BlobKey, _) = (key.parse().unwrap(), content(seed + 1, BLOB_BYTES));
    let hash = BlobHash::of(&bytes);
    let is_written = ring.put(&key, bytes).await.is_ok();
    if is_written {
        let mut memory = memory.lock().unwrap();
        memory.kept.insert(key, hash);
        memory.writes += 1;
    }
    is_written
}

fn choose(memory: &Memory, choice: &mut StdRng) -> (BlobKey, BlobHash) {
    let number = choice.random_range(0..memory.kept.len());
    let (key, hash) = memory.kept.iter().nth(number).unwrap();
    (key.clone(), *hash)
}

/// Deletes a blob, and tries again until that is acknowledged.
async fn delete(ring: &Ring, memory: &Mutex<Memory>, choice: &mut StdRng) {
    let key = {
        let mut memory = memory.lock().unwrap();
        let (key, _) = choose(&memory, choice);
        // From here on a reader may find it or not.
        memory.kept.remove(&key);
        key
    };
    while ring.delete(&key).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    memory.lock().unwrap().deleted.insert(key);
}

async fn read(ring: &Ring, memory: &Mutex<Memory>, choice: &mut StdRng) {
    let (key, hash) = choose(&memory.lock().unwrap(), choice);
    let outcome = ring.read_all(&key, 1 << 20).await;
    let mut memory = memory.lock().unwrap();
    memory.reads += 1;
    if !memory.kept.contains_key(&key) {
        return;
    }
    match outcome {
        Ok(bytes) if BlobHash::of(&bytes) == hash => {}
        Ok(_) => memory.failures.push(format!("{key} is another content")),
        Err(error) => memory.failures.push(format!("{key} cannot be read: {error}")),
    }
}
