//! How this process stands to etcd: whether it answers, how far the journal has come, and how far of that is seen here.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::journal::Revision;

/// Without any answer for this long, etcd counts as away: changes are refused at once instead of after a wait.
const AWAY_AFTER: Duration = Duration::from_secs(3);
/// A process that lags for longer than this should not be asked for what was changed elsewhere.
const LAG_MAX: Duration = Duration::from_secs(10);

/// Shared by whoever speaks to etcd.
#[derive(Debug)]
pub(super) struct Standing {
    facts: Mutex<Facts>,
    /// What the watch has delivered and the local database has taken.
    seen: watch::Sender<Revision>,
    /// Whether nothing is known to be missing here.
    is_current: watch::Sender<bool>,
}

#[derive(Debug)]
struct Facts {
    /// The local records are known to be an earlier state of this etcd.
    is_related: bool,
    answered_at: Instant,
    head: Revision,
    /// etcd says that everything up to here has been sent: what is missing of it was never meant for us.
    confirmed: Revision,
    /// Since when something is known to be missing here.
    behind_since: Option<Instant>,
}

impl Standing {
    pub(super) fn new(seen: Revision) -> Self {
        let facts =
            Facts { is_related: false, answered_at: Instant::now(), head: seen, confirmed: seen, behind_since: None };
        Self { facts: Mutex::new(facts), seen: watch::Sender::new(seen), is_current: watch::Sender::new(false) }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Each field is whole in itself, so that a panic leaves nothing half done.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// etcd answered with a quorum behind it, and stood at this revision.
    pub(super) fn answered(&self, head: Revision) {
        let mut facts = self.facts();
        facts.answered_at = Instant::now();
        facts.head = facts.head.max(head);
        self.compare(&mut facts);
    }

    /// The local records are an earlier state of what this etcd has, which stands at this revision.
    pub(super) fn is_related(&self, head: Revision) {
        self.facts().is_related = true;
        self.answered(head);
    }

    /// Everything up to this revision has arrived here.
    pub(super) fn has_seen(&self, revision: Revision) {
        self.seen.send_if_modified(|seen| {
            let grows = revision > *seen;
            *seen = revision.max(*seen);
            grows
        });
        self.compare(&mut self.facts());
    }

    /// Nothing up to this revision is missing here. Kept apart from what was seen: members before 3.4.25 may say so a
    /// moment too early.
    pub(super) fn confirmed(&self, revision: Revision) {
        let mut facts = self.facts();
        facts.confirmed = facts.confirmed.max(revision);
        self.compare(&mut facts);
    }

    /// Everything has been loaded anew as of this revision, which may be older than what was seen before.
    pub(super) fn begin_at(&self, revision: Revision) {
        {
            let mut facts = self.facts();
            (facts.head, facts.confirmed) = (revision, revision);
        }
        self.seen.send_replace(revision);
        self.compare(&mut self.facts());
    }

    fn compare(&self, facts: &mut Facts) {
        let seen = facts.confirmed.max(*self.seen.borrow());
        let missing = facts.head.get().saturating_sub(seen.get());
        facts.behind_since = (missing > 0).then(|| facts.behind_since.unwrap_or_else(Instant::now));
        self.is_current.send_replace(facts.is_related && missing == 0);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
        metrics::gauge!("triton_journal_lag_revisions").set(missing as f64);
        metrics::gauge!("triton_journal_lag_seconds").set(lag(facts).as_secs_f64());
    }

    pub(super) fn is_current(&self) -> watch::Receiver<bool> {
        self.is_current.subscribe()
    }

    pub(super) fn seen(&self) -> watch::Receiver<Revision> {
        self.seen.subscribe()
    }

    /// For how long etcd has not answered, where that is too long.
    pub(super) fn away(&self) -> Option<Duration> {
        let since = self.facts().answered_at.elapsed();
        (since > AWAY_AFTER).then_some(since)
    }

    /// For how long something has been missing here.
    pub(super) fn lag(&self) -> Duration {
        lag(&self.facts())
    }

    /// What keeps changes from being committed, or from being seen here, as a sentence.
    pub(super) fn obstacle(&self) -> Option<String> {
        if let Some(since) = self.away() {
            return Some(format!(
                "etcd does not answer, or has no quorum, since {} s: videos play and lists are shown, changes wait",
                since.as_secs()
            ));
        }
        let lag = self.lag();
        (lag > LAG_MAX).then(|| format!("this process is {} s behind the metadata journal", lag.as_secs()))
    }

    pub(super) fn describe_metrics() {
        metrics::describe_gauge!("triton_journal_lag_revisions", "Revisions of etcd that have not arrived here");
        metrics::describe_gauge!("triton_journal_lag_seconds", "Since when some revision of etcd has not arrived here");
        metrics::describe_histogram!("triton_journal_commit_seconds", "From the change to its arrival here");
        metrics::describe_counter!("triton_journal_reloads_total", "Times that all records were loaded anew");
    }
}

fn lag(facts: &Facts) -> Duration {
    facts.behind_since.map(|since| since.elapsed()).unwrap_or_default()
}
