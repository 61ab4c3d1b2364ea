//! The presence of this process: a lease, the key that says that it lives, and its candidature.
//!
//! The election is the recipe of etcd's own `concurrency` package: every candidate has a key with its lease, and the one
//! whose key was created first leads. Who comes first is read from the watch, which shows keys in the order of their
//! creation: whoever sees its own key sees all older ones.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, Error as ClientError, PutOptions, Txn, TxnOp, TxnOpResponse};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use triton_api::cluster::Worker;

use super::{EtcdError, EtcdJournal, follow::chain, keys, members::ATTEMPT_TIMEOUT, roll::Candidate};
use crate::journal::Term;

/// How long a process counts as alive after its last sign, in seconds.
const LEASE_SECONDS: i64 = 10;
/// How often it gives one.
const RENEW_EVERY: Duration = Duration::from_millis(2500);
/// Without a sign that was answered for this long a process takes itself for dead: sooner than etcd does, for etcd counts
/// from when the sign arrived, and this from when it was sent.
const LEASE_TRUSTED: Duration = Duration::from_millis(8500);
/// The pause before another session; it doubles while there is none.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The shortest time between two descriptions of this process.
const DESCRIBE_EVERY: Duration = Duration::from_secs(1);

/// How a process takes part.
pub(super) struct Part {
    /// What it says of itself.
    pub(super) own: watch::Receiver<Worker>,
    /// Whether it may lead.
    pub(super) is_candidate: bool,
    /// Where its leadership shows.
    pub(super) term: watch::Sender<Option<Term>>,
}

impl EtcdJournal {
    /// Keeps this process on the roll until `stop`, then takes it off, so that nobody waits for its lease to run out.
    pub(super) async fn attend(&self, part: Part, stop: &CancellationToken) {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let Err(error) = Box::pin(self.session(&part, stop)).await else { continue };
            let cause = chain(&error);
            if began.elapsed() > LEASE_TRUSTED {
                pause = PAUSE;
                tracing::warn!(cause, "this process lost its place among the others and takes it anew");
            } else {
                tracing::debug!(cause, "this process could not take its place among the others yet");
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One lease from its beginning to its end.
    async fn session(&self, part: &Part, stop: &CancellationToken) -> Result<(), EtcdError> {
        let renewed = watch::Sender::new(Instant::now());
        let granted = self
            .members
            .ask_any("granting a lease", |mut client| async move { client.lease_grant(LEASE_SECONDS, None).await });
        let lease = granted.await?.id();
        // Each branch ends the session; none of them is resumed.
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            error = self.renew(lease, &renewed) => Err(error),
            () = expire(renewed.subscribe()) => Err(EtcdError::LeaseLost),
            error = self.describe(part, lease) => Err(error),
            error = self.candidate(part, lease), if part.is_candidate => Err(error),
        };
        part.term.send_replace(None);
        let ended = self.end(lease).await;
        outcome.and(ended)
    }

    /// Renews the lease; returns when etcd does not know it any more.
    async fn renew(&self, lease: i64, renewed: &watch::Sender<Instant>) -> EtcdError {
        loop {
            sleep(RENEW_EVERY).await;
            let sent = Instant::now();
            let answer = self.members.ask_any("renewing a lease", |mut client| async move {
                match client.lease_keep_alive(lease).await {
                    Ok(_) => Ok(true),
                    Err(ClientError::LeaseKeepAliveError(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            });
            match answer.await {
                Ok(true) => drop(renewed.send_replace(sent)),
                Ok(false) => return EtcdError::LeaseLost,
                Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
            }
        }
    }

    /// Writes what this process says of itself, whenever that changes; returns only an error that no repetition helps.
    async fn describe(&self, part: &Part, lease: i64) -> EtcdError {
        let mut own = part.own.clone();
        loop {
            let now = own.borrow_and_update().clone();
            match self.write_description(&now, lease).await {
                Ok(()) => {
                    sleep(DESCRIBE_EVERY).await;
                    if own.changed().await.is_err() {
                        // Nobody describes this process any more: what is written stays.
                        std::future::pending::<()>().await;
                    }
                }
                Err(error) if error.is_transient() => sleep(PAUSE_MAX).await,
                Err(error) => return error,
            }
        }
    }

    async fn write_description(&self, own: &Worker, lease: i64) -> Result<(), EtcdError> {
        let operation = "describing this process";
        let key = keys::process(&own.id);
        let value = serde_json::to_string(own).map_err(|_| EtcdError::Malformed { operation })?;
        let put = self.members.ask_any(operation, |mut client| {
            let (key, value) = (key.clone(), value.clone());
            async move { client.put(key, value, Some(PutOptions::new().with_lease(lease))).await }
        });
        put.await.map(drop)
    }

    /// Stands for election, leads when it is this process's turn, and returns when its candidature is gone.
    async fn candidate(&self, part: &Part, lease: i64) -> EtcdError {
        let own = loop {
            match self.stand(lease).await {
                Ok(own) => break own,
                Err(error) if error.is_transient() => sleep(PAUSE).await,
                Err(error) => return error,
            }
        };
        let mut front = self.roll.front.subscribe();
        let is_own = |front: &Option<Candidate>| front.as_ref() == Some(&own);
        // The senders live as long as the journal does.
        if front.wait_for(is_own).await.is_ok() {
            tracing::info!("this process leads now");
            part.term.send_replace(Some(Term::elected(own.key.clone().into_bytes(), own.create_revision)));
            front.wait_for(|front| !is_own(front)).await.map(drop).ok();
        }
        EtcdError::LeaseLost
    }

    /// Writes the key of this process's candidature, if an attempt without an answer has not done so already.
    async fn stand(&self, lease: i64) -> Result<Candidate, EtcdError> {
        let operation = "standing for election";
        let (key, process) = (keys::candidate(lease), self.process.to_string());
        let answer = self.members.ask_any(operation, |mut client| {
            let is_new = Compare::create_revision(&*key, CompareOp::Equal, 0);
            let put = TxnOp::put(&*key, &*process, Some(PutOptions::new().with_lease(lease)));
            let request = Txn::new().when([is_new]).and_then([put]).or_else([TxnOp::get(&*key, None)]);
            async move { client.txn(request).await }
        });
        let answer = answer.await?;
        let create_revision = match answer.op_responses().first() {
            Some(TxnOpResponse::Get(found)) => found.kvs().first().map(etcd_client::KeyValue::create_revision),
            _ => answer.header().map(etcd_client::ResponseHeader::revision),
        };
        let create_revision = create_revision.ok_or(EtcdError::Malformed { operation })?;
        Ok(Candidate { create_revision, key, process })
    }

    /// Gives up the lease, and with it the place on the roll and the leadership.
    async fn end(&self, lease: i64) -> Result<(), EtcdError> {
        let revoked = self
            .members
            .ask("giving up the lease", ATTEMPT_TIMEOUT, |mut client| async move { client.lease_revoke(lease).await });
        revoked.await.map(drop)
    }
}

/// Returns when the lease has not been renewed for too long.
async fn expire(mut renewed: watch::Receiver<Instant>) {
    loop {
        let end = *renewed.borrow_and_update() + LEASE_TRUSTED;
        // Both are cancel safe: a sleep and a watch.
        tokio::select! {
            () = sleep_until(end) => return,
            changed = renewed.changed() => if changed.is_err() { return },
        }
    }
}
