//! What everybody writes down during a run.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use triton_api::{BlobHash, Epoch, VideoId};

use crate::{
    breach::Breach,
    harm::{Harm, Kind},
    latency::Latencies,
};

/// Descriptions kept of each kind of breach; the rest is only counted.
const TEXTS_MAX: usize = 20;
/// Successful writes remembered of each web service.
const WRITES_MAX: usize = 512;

/// The books of a run, shared by all actors.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) began_at: Timestamp,
    began: Instant,
    books: Mutex<Books>,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) reads: Reads,
    pub(crate) listings: u64,
    pub(crate) contents: HashMap<String, Content>,
    pub(crate) uploads: Vec<Upload>,
    /// Attempts by what came of them.
    pub(crate) upload_attempts: BTreeMap<&'static str, u64>,
    /// Videos that are not finished, as a list said last.
    pub(crate) unfinished: usize,
    pub(crate) edits: Edits,
    pub(crate) writes: Writes,
    pub(crate) admin: BTreeMap<String, u64>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) outages: Vec<Outage>,
    /// The digests of committed layouts by epoch.
    pub(crate) epochs: BTreeMap<Epoch, HashSet<String>>,
    pub(crate) layouts_seen: u64,
    /// Who led when, as the web services said.
    pub(crate) leaders: Vec<(Duration, String)>,
    pub(crate) findings: BTreeMap<&'static str, u64>,
    breaches: BTreeMap<Breach, (u64, Vec<String>)>,
    webs: Vec<Web>,
    pub(crate) now: Option<String>,
    etcd_away: bool,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Reads {
    pub(crate) answered: u64,
    pub(crate) ranges: u64,
    pub(crate) bytes: u64,
    pub(crate) on_other: u64,
    pub(crate) latencies: Latencies,
    /// Which read took longest and what was going on, the own web service being well.
    pub(crate) slowest: String,
}

/// What a path answered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) len_bytes: u64,
    pub(crate) whole: BlobHash,
    pub(crate) halves: [BlobHash; 2],
}

/// An acknowledged upload.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: VideoId,
    pub(crate) title: String,
    pub(crate) original: BlobHash,
    pub(crate) how: &'static str,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Edits {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) conflicts: u64,
    pub(crate) refused: u64,
    pub(crate) without_etag: u64,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Writes {
    pub(crate) acknowledged: u64,
    /// Answered 503 with Retry-After as problem+json.
    pub(crate) refused: u64,
    /// Of these, those that began and ended while all of etcd was away.
    pub(crate) refused_without_etcd: u64,
    /// Answered 409: other writes came first again and again.
    pub(crate) conflicts: u64,
    /// Not answered, or otherwise, by a web service that was harmed itself.
    pub(crate) excused: u64,
    /// Not answered by a web service that was well.
    pub(crate) unanswered: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Disturbance {
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) held: Duration,
    /// From the healing until the part answered again.
    pub(crate) recovered_after: Option<Duration>,
}

/// How long writes were not possible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    /// Of etcd's leader: which member it was.
    pub(crate) harm: Harm,
    pub(crate) writes_after: Duration,
}

#[derive(Debug, Default)]
struct Web {
    harmed: bool,
    times: u64,
    /// When the latest successful writes began.
    writes: VecDeque<Instant>,
}

/// A web service's state when a request began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    web: usize,
    harmed: bool,
    times: u64,
}

impl Ledger {
    pub(crate) fn new(webs: usize) -> Self {
        let books = Books { webs: (0..webs).map(|_| Web::default()).collect(), ..Books::default() };
        Self { began_at: Timestamp::now(), began: Instant::now(), books: Mutex::new(books) }
    }

    /// The time since the run began.
    pub(crate) fn at(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // The books are plain counters: a panic between two of them leaves nothing half done.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a broken promise, with what was going on.
    pub(crate) fn breach(&self, breach: Breach, text: &str) {
        let at = self.at().as_secs_f32();
        let mut books = self.books();
        let during = books.now.clone().unwrap_or_else(|| "nothing".to_owned());
        let (count, texts) = books.breaches.entry(breach).or_default();
        *count += 1;
        if texts.len() < TEXTS_MAX {
            texts.push(format!("{at:.1} s, during {during}: {text}"));
        }
    }

    /// A mark to be shown to [`Self::excuses`] when the request has failed.
    pub(crate) fn mark(&self, web: usize) -> Mark {
        let (harmed, times) = self.books().webs.get(web).map_or((false, 0), |web| (web.harmed, web.times));
        Mark { web, harmed, times }
    }

    /// Whether the web service was harmed at the mark or at some time since.
    pub(crate) fn excuses(&self, mark: Mark) -> bool {
        mark.harmed || self.books().webs.get(mark.web).is_some_and(|web| web.harmed || web.times != mark.times)
    }

    pub(crate) fn harms_web(&self, number: usize, harmed: bool) {
        if let Some(web) = self.books().webs.get_mut(number) {
            web.harmed = harmed;
            web.times += u64::from(harmed);
        }
    }

    /// Says what is going on.
    pub(crate) fn during(&self, what: Option<String>) {
        self.books().now = what;
    }

    pub(crate) fn now(&self) -> Option<String> {
        self.books().now.clone()
    }

    pub(crate) fn etcd_is_away(&self, away: bool) {
        self.books().etcd_away = away;
    }

    pub(crate) fn is_etcd_away(&self) -> bool {
        self.books().etcd_away
    }

    pub(crate) fn wrote(&self, number: usize, began: Instant) {
        let mut books = self.books();
        books.writes.acknowledged += 1;
        let Some(web) = books.webs.get_mut(number) else { return };
        web.writes.push_back(began);
        if web.writes.len() > WRITES_MAX {
            web.writes.pop_front();
        }
    }

    /// Whether a write that began after this moment succeeded on the web service.
    pub(crate) fn wrote_since(&self, number: usize, moment: Instant) -> bool {
        self.books().webs.get(number).is_some_and(|web| web.writes.iter().any(|began| *began >= moment))
    }

    pub(crate) fn attempt(&self, outcome: &'static str) {
        *self.books().upload_attempts.entry(outcome).or_default() += 1;
    }

    pub(crate) fn administered(&self, act: &str) {
        *self.books().admin.entry(act.to_owned()).or_default() += 1;
    }

    /// Writes down something that is worth a number in the report and breaks no promise.
    pub(crate) fn finding(&self, what: &'static str, count: u64) {
        *self.books().findings.entry(what).or_default() += count;
    }
}

impl Books {
    /// How often a promise was broken.
    pub(crate) fn count(&self, breach: Breach) -> u64 {
        self.breaches.get(&breach).map_or(0, |(count, _)| *count)
    }

    /// Descriptions of some of these times.
    pub(crate) fn texts(&self, breach: Breach) -> &[String] {
        self.breaches.get(&breach).map_or(&[], |(_, texts)| texts)
    }

    /// How long writes were away after disturbances of a kind.
    pub(crate) fn outages_of(&self, kind: Kind) -> Vec<Duration> {
        self.outages.iter().filter(|outage| outage.kind == kind).map(|outage| outage.writes_after).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_excused_by_harm_that_touches_it_at_either_end_and_by_no_other() {
        let ledger = Ledger::new(2);
        let before = ledger.mark(0);
        assert!(!ledger.excuses(before));
        ledger.harms_web(0, true);
        let within = ledger.mark(0);
        ledger.harms_web(0, false);
        assert!(ledger.excuses(before) && ledger.excuses(within));
        assert!(!ledger.excuses(ledger.mark(0)) && !ledger.excuses(ledger.mark(1)));
    }
}
