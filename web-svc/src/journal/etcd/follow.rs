//! Following the journal: the watch, applied to the local database in the order of revisions.

use std::time::Duration;

use etcd_client::{Error, Event, EventType, GetOptions, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    EtcdError, EtcdJournal,
    error::During as _,
    keys::{self, Subject},
    members::{ATTEMPT_TIMEOUT, Member},
    transaction::{revision, stored},
};
use crate::journal::{Effect, Expect, Operation, Revision};

/// How often etcd is asked whether it has a quorum and how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause before the watch is opened again.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Something that has been missing for this long is asked about.
const LAG_ASKED: Duration = Duration::from_secs(2);
/// A watch that lags for this long is given up for one at another member.
const LAG_GIVEN_UP: Duration = Duration::from_secs(6);
/// The largest message: etcd parts what is larger than its request limit (1.5 MiB), but not a single event.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events of changes that are applied in one local transaction.
const EVENTS_AT_ONCE: usize = 512;

impl EtcdJournal {
    /// Follows until `stop`; whatever breaks is tried again.
    pub(super) async fn follow(&self, stop: &CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = self.follow_once() => outcome,
                // Cancel safe: what was being applied is applied or not, and the database knows up to where it is.
                () = stop.cancelled() => return,
            };
            if let Err(error) = outcome {
                let cause = chain(&error);
                if began.elapsed() > PAUSE_MAX {
                    tracing::warn!(cause, "the watch on etcd broke off and is opened again");
                } else {
                    tracing::debug!(cause, "the watch on etcd could not be opened yet");
                }
                if let EtcdError::Reload { .. } = error {
                    match self.load_anew().await {
                        Ok(()) => continue,
                        Err(error) => {
                            let cause = chain(&error);
                            tracing::warn!(cause, "the records cannot be loaded anew yet");
                        }
                    }
                }
            }
            pause = if began.elapsed() > PAUSE_MAX { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Follows at the preferred member until something breaks.
    async fn follow_once(&self) -> Result<(), EtcdError> {
        let member = self.members.preferred();
        let outcome = self.follow_at(&member).await;
        if !matches!(outcome, Err(EtcdError::Reload { .. } | EtcdError::Store(_))) {
            self.members.leave(&member);
        }
        outcome
    }

    async fn follow_at(&self, member: &Member) -> Result<(), EtcdError> {
        self.check_lineage(member).await?;
        let mut stream = self.open_watch(member).await?;
        let mut events: Vec<Event> = Vec::new();
        loop {
            // Cancel safe: what is dropped while waiting has taken nothing from the stream.
            let Ok(message) = timeout(LOOK_EVERY, stream.message()).await else {
                self.check_lag(&mut stream).await?;
                continue;
            };
            let Some(message) = message.during("following the journal")? else {
                return Err(EtcdError::WatchEnded { reason: "etcd closed it".to_owned() });
            };
            let is_whole = !message.0.fragment;
            self.take(&message, &mut events)?;
            self.apply(&mut events, is_whole).await?;
        }
    }

    /// Loads who is there, and makes sure that the local records are an earlier state of what this etcd has.
    async fn check_lineage(&self, member: &Member) -> Result<(), EtcdError> {
        let found = self.roll.load(member).await?;
        let (ours, known) = (self.store.revision().await?, self.store.etcd_cluster().await?);
        if known != Some(found.cluster) {
            return Err(EtcdError::Reload { reason: "the local records are of no etcd, or of another one".to_owned() });
        }
        if ours > found.revision {
            let (ours, theirs) = (ours.get(), found.revision.get());
            return Err(EtcdError::Reload {
                reason: format!("etcd stands at {theirs}, before the {ours} of the local records"),
            });
        }
        if !self.has_newest_record(member).await? {
            return Err(EtcdError::Reload { reason: "etcd never had the newest of the local records".to_owned() });
        }
        self.standing.is_related(found.revision);
        Ok(())
    }

    /// Whether etcd had our newest record at the revision that we know of it: one that was restored from a backup has gone
    /// another way since. What etcd has compacted away cannot be asked; then the watch does not go on from there either.
    async fn has_newest_record(&self, member: &Member) -> Result<bool, EtcdError> {
        let Some((key, at)) = self.store.newest_record().await? else { return Ok(true) };
        let options = GetOptions::new().with_keys_only().with_revision(stored(at));
        let mut client = member.client.clone();
        let operation = "comparing the newest record";
        match timeout(ATTEMPT_TIMEOUT, client.get(keys::record(&key), Some(options))).await {
            Ok(Ok(answer)) => Ok(answer.kvs().first().is_some_and(|kv| revision(kv.mod_revision()) == at)),
            // 11 is OutOfRange: the revision is compacted.
            Ok(Err(Error::GRpcStatus(status))) if i32::from(status.code()) == 11 => Ok(true),
            Ok(Err(error)) => Err(error).during(operation),
            Err(_) => Err(EtcdError::Timeout { operation, waited: ATTEMPT_TIMEOUT }),
        }
    }

    async fn open_watch(&self, member: &Member) -> Result<WatchStream, EtcdError> {
        let next = self.store.revision().await?.get() + 1;
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(stored(Revision::new(next)))
            .with_fragment()
            .with_progress_notify();
        let mut client = member.client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opening = client.watch(keys::ROOT, Some(options));
        let operation = "opening the watch";
        match timeout(ATTEMPT_TIMEOUT, opening).await {
            Ok(opened) => opened.during(operation),
            Err(_) => Err(EtcdError::Timeout { operation, waited: ATTEMPT_TIMEOUT }),
        }
    }

    /// Takes the events of a message; an error where the watch has ended with it.
    fn take(&self, message: &WatchResponse, events: &mut Vec<Event>) -> Result<(), EtcdError> {
        if message.compact_revision() > 0 {
            let reason = format!("etcd has dropped everything before revision {}", message.compact_revision());
            return Err(EtcdError::Reload { reason });
        }
        if message.canceled() {
            return Err(EtcdError::WatchEnded { reason: message.cancel_reason().to_owned() });
        }
        if message.events().is_empty()
            && !message.created()
            && let Some(header) = message.header()
        {
            self.standing.confirmed(revision(header.revision()));
        }
        events.extend(message.events().iter().cloned());
        Ok(())
    }

    /// Applies the changes that are there as a whole; the events of the last revision may be parted over messages.
    async fn apply(&self, events: &mut Vec<Event>, is_whole: bool) -> Result<(), EtcdError> {
        let last = events.last().map_or(Revision::ZERO, revision_of);
        let whole = events.iter().take_while(|event| is_whole || revision_of(event) < last).count();
        let mut whole: Vec<Event> = events.drain(..whole).collect();
        while !whole.is_empty() {
            let until = whole.get(EVENTS_AT_ONCE - 1).map_or(last, revision_of);
            let rest = whole.iter().position(|event| revision_of(event) > until).map(|at| whole.split_off(at));
            self.apply_batch(std::mem::replace(&mut whole, rest.unwrap_or_default())).await?;
        }
        Ok(())
    }

    /// Applies whole changes in one local transaction.
    async fn apply_batch(&self, events: Vec<Event>) -> Result<(), EtcdError> {
        let mut transaction = self.store.begin().await?;
        let mut operations = Vec::new();
        let mut seen = transaction.revision();
        for event in events {
            let at = revision_of(&event);
            if at > seen && !operations.is_empty() {
                transaction.apply(seen, std::mem::take(&mut operations)).await?;
            }
            seen = seen.max(at);
            operations.extend(self.operation(&event));
        }
        if !operations.is_empty() {
            transaction.apply(seen, operations).await?;
        } else {
            // A restart should not ask for what etcd has long dropped.
            transaction.move_to(seen).await?;
        }
        transaction.commit().await?;
        self.standing.has_seen(seen);
        Ok(())
    }

    /// What the event does to a record; nothing where it is of something else, or of nothing that this program writes.
    fn operation(&self, event: &Event) -> Option<Operation> {
        let kv = event.kv()?;
        let Ok(key) = kv.key_str() else { return foreign(kv) };
        let Subject::Record(key) = keys::subject(key) else {
            self.roll.note(event);
            return None;
        };
        let effect = match event.event_type() {
            EventType::Put => match kv.value_str() {
                Ok(json) => Effect::Put(json.to_owned()),
                Err(_) => return foreign(kv),
            },
            EventType::Delete => Effect::Delete,
        };
        Some(Operation { key, expect: Expect::Anything, effect })
    }

    /// Something may be missing while nothing arrives: asks, and gives the watch up where that does not help.
    async fn check_lag(&self, stream: &mut WatchStream) -> Result<(), EtcdError> {
        let lag = self.standing.lag();
        if lag > LAG_GIVEN_UP {
            return Err(EtcdError::WatchEnded { reason: format!("nothing arrived for {} s", lag.as_secs()) });
        }
        if lag > LAG_ASKED {
            stream.request_progress().await.during("asking for the progress of the watch")?;
        }
        Ok(())
    }

    /// Asks at intervals whether etcd has a quorum, and how far it is.
    pub(super) async fn look(&self, stop: &CancellationToken) {
        loop {
            if let Err(error) = self.head().await {
                let cause = chain(&error);
                tracing::debug!(cause, "etcd does not answer");
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The revision at which etcd stands, confirmed by a quorum.
    pub(super) async fn head(&self) -> Result<Revision, EtcdError> {
        // A linearizable read of a key that does not exist: its answer needs a quorum, and has the store's revision.
        let answer = self
            .members
            .ask_any("looking at its revision", |mut client| async move { client.get(keys::ROOT, None).await });
        let answer = answer.await?;
        let head = answer.header().map_or(Revision::ZERO, |header| revision(header.revision()));
        self.standing.answered(head);
        Ok(head)
    }
}

/// Somebody else writes under our names. It must not keep us from following what is ours.
pub(super) fn foreign<T>(kv: &KeyValue) -> Option<T> {
    let key = String::from_utf8_lossy(kv.key());
    tracing::warn!(%key, "etcd holds something under this key that is no record of ours");
    None
}

fn revision_of(event: &Event) -> Revision {
    event.kv().map_or(Revision::ZERO, |kv| revision(kv.mod_revision()))
}

/// An error with its sources, joined by colons.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
