//! The presence of this process: a lease, the key that says that it lives, and its candidature.

use std::time::Duration;

use etcd_client::{Error as ClientError, PutOptions};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use triton_api::cluster::Worker;

use super::{EtcdError, EtcdJournal, follow::chain, keys, members::ATTEMPT_TIMEOUT};
use crate::journal::Term;

/// How long a process counts as alive after its last sign, in seconds.
const LEASE_SECONDS: i64 = 10;
/// How often it gives one.
const RENEW_EVERY: Duration = Duration::from_millis(2500);
/// Without a renewal for this long a process takes itself for dead: sooner than etcd does.
const LEASE_TRUSTED: Duration = Duration::from_millis(8500);
/// The pause before another session; it doubles while there is none.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A candidature that waits for longer is begun again: its member may have been cut off from the others.
const CAMPAIGN_TIMEOUT: Duration = Duration::from_secs(30);
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
    pub(super) async fn attend(&self, mut part: Part, stop: &CancellationToken) {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let outcome = self.session(&mut part, stop).await;
            part.term.send_replace(None);
            let Err(error) = outcome else { continue };
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

    async fn session(&self, part: &mut Part, stop: &CancellationToken) -> Result<(), EtcdError> {
        let granted = self
            .members
            .ask_any("granting a lease", |mut client| async move { client.lease_grant(LEASE_SECONDS, None).await });
        let lease = granted.await?.id();
        self.describe(part, lease).await?;
        let mut renewals = interval(RENEW_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed_at = Instant::now();
        let mut described_at = Instant::now();
        let mut campaign = std::pin::pin!(self.campaign(lease));
        let mut campaigns = part.is_candidate;
        loop {
            let describe_at = described_at + DESCRIBE_EVERY;
            // Cancel safe: a token, an interval, a pinned future that is polled on, and a watch.
            tokio::select! {
                () = stop.cancelled() => {
                    part.term.send_replace(None);
                    return self.end(lease).await;
                }
                _ = renewals.tick() => match self.renew(lease).await {
                    Ok(()) => renewed_at = Instant::now(),
                    Err(EtcdError::LeaseLost) => return Err(EtcdError::LeaseLost),
                    Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
                },
                term = &mut campaign, if campaigns => {
                    campaigns = false;
                    tracing::info!("this process leads now");
                    part.term.send_replace(Some(term));
                }
                Ok(()) = changed_after(&mut part.own, describe_at) => {
                    described_at = Instant::now();
                    self.describe(part, lease).await?;
                }
            }
            if renewed_at.elapsed() > LEASE_TRUSTED {
                return Err(EtcdError::LeaseLost);
            }
        }
    }

    /// Writes what this process says of itself.
    async fn describe(&self, part: &mut Part, lease: i64) -> Result<(), EtcdError> {
        let own = part.own.borrow_and_update().clone();
        let (key, value) = (keys::process(&own.id), serde_json::to_string(&own).unwrap_or_default());
        let put = self.members.ask_any("describing this process", |mut client| {
            let (key, value) = (key.clone(), value.clone());
            async move { client.put(key, value, Some(PutOptions::new().with_lease(lease))).await }
        });
        put.await.map(drop)
    }

    async fn renew(&self, lease: i64) -> Result<(), EtcdError> {
        let renewed = self.members.ask_any("renewing a lease", |mut client| async move {
            match client.lease_keep_alive(lease).await {
                Ok(_) => Ok(true),
                Err(ClientError::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        });
        if renewed.await? { Ok(()) } else { Err(EtcdError::LeaseLost) }
    }

    /// Waits until this process leads; for ever where others do.
    async fn campaign(&self, lease: i64) -> Term {
        loop {
            let member = self.members.preferred();
            let mut client = member.client.election_client();
            let campaign = client.campaign(keys::ELECTION, self.process.to_string(), lease);
            match timeout(CAMPAIGN_TIMEOUT, campaign).await {
                Ok(Ok(won)) => {
                    if let Some(leader) = won.leader() {
                        return Term::elected(leader.key().to_vec(), leader.rev());
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a candidature broke off");
                    self.members.leave(&member);
                    sleep(PAUSE).await;
                }
                Err(_) => {}
            }
        }
    }

    /// Gives up the lease, and with it the place on the roll and the leadership, and clears this process's receipts.
    async fn end(&self, lease: i64) -> Result<(), EtcdError> {
        let revoked = self
            .members
            .ask("giving up the lease", ATTEMPT_TIMEOUT, |mut client| async move { client.lease_revoke(lease).await });
        revoked.await?;
        self.clear_receipts(&self.receipts.prefix()).await
    }
}

/// Waits for a change, but not before a moment: what changes often is told at intervals.
async fn changed_after(own: &mut watch::Receiver<Worker>, moment: Instant) -> Result<(), watch::error::RecvError> {
    own.changed().await?;
    tokio::time::sleep_until(moment).await;
    // The change is seen by the look that follows.
    own.mark_changed();
    Ok(())
}
