//! Committing a change through etcd, once, however often it has to be sent.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    EtcdError, EtcdJournal,
    members::ATTEMPT_TIMEOUT,
    receipt::Receipt,
    transaction::{Annulled, Verdict, annulled, annulment, transaction, verdict},
};
use crate::journal::{Change, JournalError, Operation, Revision, Term};

/// The longest that a change is tried for: an election of etcd fits in, with a member that hangs before it.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(6);
/// The pause before another attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// The longest wait for a committed change to arrive here.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for what made a change fail to arrive here: who decides again should see it.
const RIVAL_TIMEOUT: Duration = Duration::from_secs(1);

impl EtcdJournal {
    pub(super) async fn commit_now(&self, change: Change) -> Result<Revision, JournalError> {
        let term = change.term().cloned();
        let operations = change.into_operations()?;
        if let Some(since) = self.standing.away() {
            return Err(EtcdError::Away { since }.into());
        }
        let began = Instant::now();
        let receipt = timeout(COMMIT_TIMEOUT, self.receipts.take()).await.map_err(|_| EtcdError::Busy)?;
        let (revision, outcome) = self.send(&operations, term.as_ref(), receipt, began + COMMIT_TIMEOUT).await?;
        if let Some(revision) = revision {
            let patience = if outcome.is_ok() { ARRIVAL_TIMEOUT } else { RIVAL_TIMEOUT };
            let arrived = self.arrival(revision, patience).await;
            if outcome.is_ok() && !arrived {
                return Err(JournalError::Lagging { revision });
            }
        }
        metrics::histogram!("triton_journal_commit_seconds").record(began.elapsed().as_secs_f64());
        outcome
    }

    /// Sends the transaction until it has an answer. Returns the outcome, and the revision at which it is visible.
    async fn send(
        &self,
        operations: &[Operation],
        term: Option<&Term>,
        mut receipt: Receipt<'_>,
        deadline: Instant,
    ) -> Result<(Option<Revision>, Result<Revision, JournalError>), JournalError> {
        let mut pause = PAUSE;
        let mut is_repeated = false;
        loop {
            let request = transaction(operations, term, &receipt);
            let wait = ATTEMPT_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let answer =
                self.members.ask("committing a change", wait, |mut client| async move { client.txn(request).await });
            let response = match answer.await {
                Ok(response) => response,
                Err(error) if error.is_transient() && Instant::now() + pause < deadline => {
                    is_repeated = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
                // What the receipt says now is not known: it is not used again.
                Err(error) => return Err(error.into()),
            };
            let head =
                response.header().map_or(Revision::ZERO, |header| super::transaction::revision(header.revision()));
            self.standing.answered(head);
            let as_before = receipt.mod_revision();
            return match verdict(&response, operations, term, &receipt) {
                Verdict::Committed(revision) => {
                    receipt.settle(super::transaction::stored(revision));
                    Ok((Some(revision), Ok(revision)))
                }
                Verdict::Conflict { key, changed } => {
                    if is_repeated {
                        match self.annul(&receipt).await? {
                            Annulled::At(revision) => receipt.settle(revision),
                            Annulled::TooLate(revision) => {
                                receipt.settle(super::transaction::stored(revision));
                                return Ok((Some(revision), Ok(revision)));
                            }
                        }
                    } else {
                        receipt.settle(as_before);
                    }
                    // Of a deletion only the revision of the whole store tells when it happened.
                    Ok((Some(changed.unwrap_or(head)), Err(JournalError::Conflict { key })))
                }
                Verdict::Deposed => {
                    receipt.settle(as_before);
                    Ok((None, Err(JournalError::Deposed)))
                }
                Verdict::ReceiptLost { .. } if is_repeated => Err(EtcdError::Forgotten.into()),
                Verdict::ReceiptLost { mod_revision } => {
                    receipt = receipt.standing_at(mod_revision);
                    is_repeated = true;
                    continue;
                }
                Verdict::Malformed => Err(EtcdError::Malformed { operation: "committing a change" }.into()),
            };
        }
    }

    /// Makes sure that no attempt of the receipt's change is committed from now on. One that got no answer may still be on
    /// its way, and a condition that does not hold now may hold when it arrives.
    async fn annul(&self, receipt: &Receipt<'_>) -> Result<Annulled, JournalError> {
        let request = annulment(receipt);
        let answer = self
            .members
            .ask("giving up a change", ATTEMPT_TIMEOUT, |mut client| async move { client.txn(request).await });
        annulled(&answer.await?, receipt).ok_or_else(|| EtcdError::Forgotten.into())
    }

    /// Waits until everything up to the revision has arrived here; tells whether it has.
    async fn arrival(&self, revision: Revision, patience: Duration) -> bool {
        let mut seen = self.standing.seen();
        let arrived = seen.wait_for(|seen| *seen >= revision);
        matches!(timeout(patience, arrived).await, Ok(Ok(_)))
    }
}
