//! The journal of a cluster: etcd, followed by every process into its local database.
//!
//! A change is one transaction of etcd whose compares are the records' revisions ([`transaction`]). It is sent until it has
//! an answer, and committed once however often it is sent ([`receipt`]). Every process watches all of it and applies it to
//! its own database, together with the revision reached ([`follow`]); a process that was away for longer than etcd
//! remembers loads everything anew ([`load`]). Queries never come here, so that they go on without etcd.
//!
//! Presence and leadership are keys with a lease ([`session`], [`roll`]).

mod address;
mod commit;
mod error;
mod follow;
mod keys;
mod load;
mod members;
mod receipt;
mod roll;
mod session;
mod standing;
mod tidy;
mod transaction;

use std::{sync::Arc, time::Duration};

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::cluster::Worker;
use uuid::Uuid;

pub use address::{EtcdAddress, EtcdAddressError};
pub use error::EtcdError;

use self::{members::Members, receipt::Receipts, roll::Roll, session::Part, standing::Standing};
use super::{Change, Journal, JournalError, Revision, Term};
use crate::{membership::Membership, store::Store};

/// How long a start waits for etcd and for what is missing here; and how long where the store knows enough to go on with.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const RESTART_TIMEOUT: Duration = Duration::from_secs(6);
/// The pause between two questions to an etcd that does not answer yet.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Commits through etcd.
pub struct EtcdJournal {
    process: Uuid,
    members: Members,
    store: Store,
    standing: Standing,
    receipts: Receipts,
    roll: Roll,
}

/// This process's part in a cluster: the journal, the membership, and the tasks that keep them.
pub struct Etcd {
    journal: Arc<EtcdJournal>,
    membership: Membership,
    /// Ends the presence of this process.
    presence: CancellationToken,
    /// Ends the following of the journal.
    following: CancellationToken,
    tasks: TaskTracker,
}

impl Etcd {
    /// Joins the processes that share an etcd: the store follows it from now on.
    ///
    /// Waits until the store has everything. Where etcd does not answer, a store that has followed it before is good enough
    /// to play, list and search with.
    ///
    /// # Errors
    /// [`EtcdError::Away`] where etcd does not answer and the store has nothing of it.
    pub async fn join(
        address: &EtcdAddress,
        store: Store,
        process: Uuid,
        own: Worker,
        is_candidate: bool,
    ) -> Result<Self, EtcdError> {
        Standing::describe_metrics();
        let members = Members::new(address).await?;
        let standing = Standing::new(store.revision().await?);
        let (receipts, roll) = (Receipts::new(process), Roll::new());
        let journal = Arc::new(EtcdJournal { process, members, store, standing, receipts, roll });
        let (own, term) = (watch::Sender::new(own), watch::Sender::new(None));
        let part = Part { own: own.subscribe(), is_candidate, term: term.clone() };
        let membership =
            Membership::among(own, journal.roll.processes.subscribe(), journal.roll.leader.subscribe(), term);
        let (presence, following) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let etcd = Self { journal, membership, presence, following, tasks };
        etcd.spawn(part);
        let knows_enough = etcd.journal.store.etcd_cluster().await?.is_some();
        let patience = if knows_enough { RESTART_TIMEOUT } else { START_TIMEOUT };
        match etcd.journal.catch_up(patience).await {
            Ok(()) => {}
            Err(error) if knows_enough => {
                let cause = follow::chain(&error);
                tracing::warn!(cause, "starting without etcd: what was known last is shown, changes wait");
            }
            Err(error) => {
                etcd.leave().await;
                return Err(error);
            }
        }
        Ok(etcd)
    }

    fn spawn(&self, part: Part) {
        let (journal, stop) = (Arc::clone(&self.journal), self.following.clone());
        self.tasks.spawn(async move { journal.follow(&stop).await });
        let (journal, stop) = (Arc::clone(&self.journal), self.following.clone());
        self.tasks.spawn(async move { journal.look(&stop).await });
        let (journal, stop, term) = (Arc::clone(&self.journal), self.following.clone(), part.term.subscribe());
        self.tasks.spawn(async move { journal.tidy(&term, &stop).await });
        let (journal, stop) = (Arc::clone(&self.journal), self.presence.clone());
        self.tasks.spawn(async move {
            journal.attend(part, &stop).await;
            if let Err(error) = journal.clear_receipts(&journal.receipts.prefix(), None).await {
                tracing::debug!(%error, "the receipts of this process stay until the leader clears them");
            }
        });
    }

    /// The journal.
    pub fn journal(&self) -> Arc<EtcdJournal> {
        Arc::clone(&self.journal)
    }

    /// Who is there, and who leads.
    pub fn membership(&self) -> Membership {
        self.membership.clone()
    }

    /// Leaves the others: they know at once that this process is gone.
    pub async fn leave(&self) {
        self.presence.cancel();
        self.following.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl EtcdJournal {
    /// Waits until the store has what etcd had when this was called.
    async fn catch_up(&self, patience: Duration) -> Result<(), EtcdError> {
        let caught_up = async {
            let mut asked = 0;
            while let Err(error) = self.head().await {
                if asked == 0 {
                    let cause = follow::chain(&error);
                    tracing::warn!(
                        cause,
                        "etcd does not answer yet: waiting for it for up to {} s",
                        patience.as_secs()
                    );
                }
                asked += 1;
                tokio::time::sleep(ASK_EVERY).await;
            }
            // The sender lives as long as this does.
            self.standing.is_current().wait_for(|is_current| *is_current).await.map(drop).ok();
        };
        timeout(patience, caught_up).await.map_err(|_| EtcdError::Away { since: patience })
    }

    /// Deletes the receipts under a prefix; those of others only while the term lasts.
    async fn clear_receipts(&self, prefix: &str, term: Option<&Term>) -> Result<(), EtcdError> {
        let fence = term
            .and_then(Term::election_key)
            .map(|election| Compare::create_revision(&*election.key, CompareOp::Equal, election.create_revision));
        let delete = TxnOp::delete(prefix, Some(DeleteOptions::new().with_prefix()));
        let request = Txn::new().when(fence.into_iter().collect::<Vec<_>>()).and_then([delete]);
        let cleared = self
            .members
            .ask("clearing receipts", members::ATTEMPT_TIMEOUT, |mut client| async move { client.txn(request).await });
        cleared.await.map(drop)
    }
}

impl Journal for EtcdJournal {
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>> {
        self.commit_now(change).boxed()
    }

    fn obstacle(&self) -> Option<String> {
        self.standing.obstacle()
    }
}
