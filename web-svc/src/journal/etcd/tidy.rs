//! The leader clears up after processes that did not end by themselves: their receipts.

use std::{collections::BTreeSet, time::Duration};

use etcd_client::GetOptions;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{EtcdError, EtcdJournal, keys, transaction::revision};
use crate::journal::{Revision, Term};

/// The time between two rounds. A receipt goes when its process has been away and silent for one of them at least.
const ROUND_EVERY: Duration = Duration::from_secs(600);
/// Receipts that are looked at in one round.
const RECEIPTS_MAX: i64 = 10_000;

impl EtcdJournal {
    /// Clears up at intervals, while this process leads.
    pub(super) async fn tidy(&self, term: &watch::Receiver<Option<Term>>, stop: &CancellationToken) {
        let mut before = Revision::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(ROUND_EVERY) => {}
            }
            let Some(term) = term.borrow().clone() else { continue };
            match self.clear_old_receipts(before, &term).await {
                Ok(head) => before = head,
                Err(error) => tracing::debug!(%error, "receipts of former processes could not be cleared yet"),
            }
        }
    }

    /// Deletes the receipts of processes that are not there and wrote nothing since a revision; returns the present one.
    async fn clear_old_receipts(&self, since: Revision, term: &Term) -> Result<Revision, EtcdError> {
        let options = GetOptions::new().with_prefix().with_keys_only().with_limit(RECEIPTS_MAX);
        let found = self.members.ask_any("listing receipts", |mut client| {
            let options = options.clone();
            async move { client.get(keys::RECEIPTS, Some(options)).await }
        });
        let found = found.await?;
        let Some(present) = self.roll.processes.borrow().clone() else { return Ok(since) };
        let mut writing = BTreeSet::new();
        let mut known = BTreeSet::new();
        for kv in found.kvs() {
            let process = kv.key_str().ok().and_then(|key| key.strip_prefix(keys::RECEIPTS)?.split('/').next());
            let Some(process) = process else { continue };
            known.insert(process.to_owned());
            if revision(kv.mod_revision()) > since || present.contains_key(process) {
                writing.insert(process.to_owned());
            }
        }
        for process in known.difference(&writing) {
            self.clear_receipts(&format!("{}{process}/", keys::RECEIPTS), Some(term)).await?;
        }
        Ok(found.header().map_or(since, |header| revision(header.revision())))
    }
}
