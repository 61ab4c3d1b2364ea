//! Whether this node's copies count: a node that was away must first learn which deletes it missed.
//!
//! A node was away when it starts, when its process stood still (SIGSTOP, a suspended machine), and when nobody has spoken
//! to it for a while although web services ask every few seconds, as on a network that was cut. From the moment on in which
//! that is noticed, before any reader is answered, what it has of each partition is *unknown* until `reconcile` has compared
//! the tombstones with the other nodes. Readers are held back for a moment and then sent to other replicas.
//!
//! A node that the layout gives up is away for as long as that lasts, however well it can be reached: deletes are not sent to it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use triton_api::{ProblemType, layout::NodeState};
use triton_kit::ApiError;

use crate::store::Store;

/// How often the process shows itself that it runs.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// A process that has not run for so long may have missed a delete: a web service gives up a request after seconds.
const STILL_MAX: Duration = Duration::from_secs(2);
/// A node that nobody has spoken to for so long was cut off: every web service asks it about itself every two seconds.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a reader waits for the comparison, which takes a few milliseconds where little was missed.
const READER_WAIT: Duration = Duration::from_millis(250);

/// Whether this node's copies count.
#[derive(Debug)]
pub(crate) struct Presence {
    store: Store,
    /// The absences noticed so far, and the last one of them that was made up for.
    absences: watch::Sender<Absences>,
    beat_ms: AtomicU64,
    heard_ms: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Absences {
    noticed: u64,
    settled: u64,
    /// The layout has given this node up: nothing can be made up for meanwhile.
    is_given_up: bool,
}

impl Absences {
    fn are_settled(self) -> bool {
        self.noticed == self.settled
    }

    fn can_be_settled(self) -> bool {
        self.noticed != self.settled && !self.is_given_up
    }
}

/// The time on a clock that goes on while the machine sleeps, and that nobody sets.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn is_longer(since_ms: u64, now_ms: u64, limit: Duration) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) > limit.as_millis()
}

impl Presence {
    /// A node that starts was away, unless it is alone.
    pub(crate) fn new(store: Store) -> Self {
        let now = now_ms();
        let presence = Self {
            store,
            absences: watch::Sender::new(Absences::default()),
            beat_ms: AtomicU64::new(now),
            heard_ms: AtomicU64::new(now),
        };
        presence.was_away("it has started");
        presence.learned();
        presence
    }

    /// The store knows another layout.
    pub(crate) fn learned(&self) {
        let id = self.store.id();
        self.absences.send_if_modified(|absences| {
            // Read in here, so that who comes later knows no less.
            let record = self.store.layout();
            let own = record.as_ref().and_then(|record| record.node(id));
            let is_given_up = own.is_some_and(|node| node.state == NodeState::Down);
            let turned = absences.is_given_up != is_given_up;
            if turned {
                tracing::warn!(node.id = %id, is_given_up, "the layout counts on this node no more, or again");
                (absences.noticed, absences.is_given_up) = (absences.noticed + 1, is_given_up);
            }
            turned
        });
    }

    /// The other nodes may know of deletes that this one does not.
    fn was_away(&self, why: &'static str) {
        let id = self.store.id();
        let layout = self.store.layout();
        let is_alone = layout.is_none_or(|record| record.nodes().iter().all(|node| node.id == id));
        if is_alone {
            return;
        }
        self.absences.send_modify(|absences| absences.noticed += 1);
        tracing::info!(node.id = %id, why, "this node may have missed deletes: it asks the others before it answers readers");
    }

    /// Looks whether the process stood still, and notes that it runs.
    pub(crate) fn beat(&self) {
        self.notice_standstill();
        self.beat_ms.store(now_ms(), Ordering::Release);
    }

    fn notice_standstill(&self) {
        let (beat, now) = (self.beat_ms.load(Ordering::Acquire), now_ms());
        if is_longer(beat, now, STILL_MAX) {
            // Before anybody may take the process for one that runs: to notice it twice is harmless.
            self.was_away("its process stood still");
            self.beat_ms.fetch_max(now, Ordering::AcqRel);
        }
    }

    /// Somebody speaks to this node.
    pub(crate) fn hear(&self) {
        self.notice_standstill();
        let now = now_ms();
        if is_longer(self.heard_ms.load(Ordering::Acquire), now, SILENCE_MAX) {
            self.was_away("nobody has spoken to it for a while");
        }
        self.heard_ms.fetch_max(now, Ordering::AcqRel);
    }

    /// Waits for an absence that is not made up for; answers its number.
    ///
    /// # Cancel safety
    /// Cancel safe: an absence that was noticed stays so.
    pub(crate) async fn absence(&self) -> u64 {
        let mut absences = self.absences.subscribe();
        let noticed = absences.wait_for(|absences| absences.can_be_settled()).await.map(|absences| absences.noticed);
        match noticed {
            Ok(noticed) => noticed,
            // The sender lives as long as this does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether what is here may be out of date.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.absences.borrow().are_settled()
    }

    /// An absence is made up for; where another one was noticed meanwhile, that one is not.
    pub(crate) fn settle(&self, absence: u64) {
        self.absences.send_modify(|absences| absences.settled = absence);
    }

    /// Refuses readers for as long as what is here may be out of date.
    pub(crate) async fn admit(&self) -> Result<(), ApiError> {
        if !self.is_unsettled() {
            return Ok(());
        }
        let mut absences = self.absences.subscribe();
        match tokio::time::timeout(READER_WAIT, absences.wait_for(|absences| absences.are_settled())).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::new(
                ProblemType::Unavailable,
                "Unknown: this node was away and is reconciling, which is to say that it learns which blobs were deleted \
                 meanwhile. Ask another replica.",
            )
            .with_retry_after_seconds(1)),
        }
    }
}
