//! What the clients of a run know of every key, and what they count.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::Rng;
use triton_api::{BlobHash, BlobKey};

use super::{
    counts::{Broken, Counts},
    weather::Weather,
};

/// Texts kept of broken promises; all are counted.
const TEXTS_MAX: usize = 40;

/// What a client was told of a key last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// The write failed or was not answered: whole or absent.
    Unsure,
    /// The write was acknowledged.
    Acknowledged,
    /// A delete was begun, and not acknowledged so far.
    Leaving,
    /// A delete was acknowledged.
    Deleted {
        /// Every holder had it, as far as can be told from outside: nobody may serve the blob any more. Otherwise a node that
        /// missed it may, until repair tells it.
        firm: bool,
    },
}

/// A key and its content.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: BlobKey,
    pub(super) content: Bytes,
    pub(super) hash: BlobHash,
    pub(super) stand: Stand,
}

/// The books of a run.
#[derive(Debug)]
pub(super) struct Books {
    began: Instant,
    pub(super) weather: Weather,
    inner: Mutex<Inner>,
}

/// What is behind the lock.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) entries: Vec<Entry>,
    pub(super) content_bytes: usize,
    pub(super) counts: Counts,
    pub(super) strikes: BTreeMap<&'static str, u64>,
    /// Aborts by the step of a migration.
    pub(super) steps: BTreeMap<String, u64>,
    pub(super) broken: BTreeMap<Broken, u64>,
    pub(super) texts: Vec<String>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), weather: Weather::default(), inner: Mutex::default() }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Inner> {
        // Every entry is complete in itself: a panic leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes down a broken promise.
    pub(super) fn breach(&self, broken: Broken, text: &str) {
        let (at, during) = (self.at().as_secs_f32(), self.weather.now());
        let mut inner = self.open();
        *inner.broken.entry(broken).or_default() += 1;
        if inner.texts.len() < TEXTS_MAX {
            inner.texts.push(format!("{}: {at:.2} s, during {during}: {text}", broken.words()));
        }
    }

    /// A new key, which nobody has heard of.
    pub(super) fn begin(&self, key: BlobKey, content: Bytes) -> usize {
        let hash = BlobHash::of(&content);
        let mut inner = self.open();
        inner.content_bytes += content.len();
        inner.entries.push(Entry { key, content, hash, stand: Stand::Unsure });
        inner.entries.len() - 1
    }

    pub(super) fn entry(&self, number: usize) -> Entry {
        self.open().entries[number].clone()
    }

    pub(super) fn stand(&self, number: usize) -> Stand {
        self.open().entries[number].stand
    }

    pub(super) fn set(&self, number: usize, stand: Stand) {
        self.open().entries[number].stand = stand;
    }

    /// Some key that satisfies a condition, if one is found soon.
    pub(super) fn pick(&self, rng: &mut impl Rng, wanted: impl Fn(Stand) -> bool) -> Option<usize> {
        let inner = self.open();
        if inner.entries.is_empty() {
            return None;
        }
        (0..16).map(|_| rng.random_range(0..inner.entries.len())).find(|number| wanted(inner.entries[*number].stand))
    }
}
