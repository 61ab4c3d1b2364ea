//! The members of the etcd cluster: which of them is asked, and going over to another one.
//!
//! The client library can balance over several members, but then a member that hangs gets its share of all requests. Here
//! one member is asked for as long as it answers, every attempt has a deadline, and after a failure it is the next one's
//! turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use etcd_client::{Client, ConnectOptions, Error as ClientError};
use tokio::time::timeout;

use super::{EtcdAddress, EtcdError, error::During};

/// The longest wait for one member: shorter than an election of etcd with a vote that has to be repeated.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// A connection without traffic is tried this often, so that a stopped member is found out under a silent watch.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest wait for the answer to such a try.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The members of one etcd cluster. Cloning is cheap; all clones prefer the same member.
#[derive(Clone)]
pub(super) struct Members {
    clients: Arc<[Client]>,
    preferred: Arc<AtomicUsize>,
}

/// One member.
#[derive(Clone)]
pub(super) struct Member {
    number: usize,
    pub(super) client: Client,
}

impl Members {
    /// Clients of all members. Nothing is connected yet: a member may well be down.
    pub(super) async fn new(address: &EtcdAddress) -> Result<Self, EtcdError> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        let mut clients = Vec::with_capacity(address.endpoints().len());
        for endpoint in address.endpoints() {
            clients.push(Client::connect([endpoint], Some(options.clone())).await.during("preparing a connection")?);
        }
        // Processes begin at different members, which spreads their watches.
        let first = usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % clients.len();
        Ok(Self { clients: clients.into(), preferred: Arc::new(AtomicUsize::new(first)) })
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// The member whose turn it is.
    pub(super) fn preferred(&self) -> Member {
        let number = self.preferred.load(Ordering::Relaxed) % self.clients.len();
        // The number is below the length.
        let client = self.clients.get(number).or(self.clients.first()).cloned();
        Member { number, client: client.expect("an address has at least one member") }
    }

    /// Goes over to the next member, unless somebody else has already done so.
    pub(super) fn leave(&self, member: &Member) {
        let next = (member.number + 1) % self.clients.len();
        self.preferred.compare_exchange(member.number, next, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Asks the preferred member once, within a deadline; leaves it where it fails.
    pub(super) async fn ask<T, F>(
        &self,
        operation: &'static str,
        deadline: Duration,
        request: impl FnOnce(Client) -> F,
    ) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let member = self.preferred();
        let outcome = match timeout(deadline, request(member.client.clone())).await {
            Ok(answer) => answer.during(operation),
            Err(_) => Err(EtcdError::Timeout { operation, waited: deadline }),
        };
        if outcome.as_ref().is_err_and(EtcdError::is_transient) {
            self.leave(&member);
        }
        outcome
    }

    /// Asks one member after the other until one answers; each once.
    pub(super) async fn ask_any<T, F>(
        &self,
        operation: &'static str,
        request: impl Fn(Client) -> F,
    ) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tries = self.count();
        loop {
            match self.ask(operation, ATTEMPT_TIMEOUT, &request).await {
                Err(error) if error.is_transient() && tries > 1 => tries -= 1,
                outcome => return outcome,
            }
        }
    }
}
