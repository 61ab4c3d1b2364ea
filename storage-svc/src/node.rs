//! What every handler of a node shares.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use triton_api::{NodeUrl, ProblemType, client::Caller, client::NodeClient};
use triton_kit::ApiError;

use crate::{
    background::Background, cache::Cache, courtesy::Courtesy, foreground::Foreground, pace::Pace, presence::Presence,
    store::Store,
};

/// Blobs that may be on their way in at once. Each takes up to two batches of memory.
const WRITES_MAX: usize = 64;
/// How long a write waits for its turn.
const WRITE_TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running node; clones are the same node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) store: Store,
    /// What is asked for often; `None` where nothing is to be kept.
    pub(crate) cache: Option<Arc<Cache>>,
    caller: Caller,
    writes: Arc<Semaphore>,
    /// Slows down what this node pulls from others.
    pub(crate) pull_pace: Arc<Pace>,
    /// Lets it yield to viewers.
    pub(crate) courtesy: Arc<Courtesy>,
    /// Where it runs.
    pub(crate) background: Arc<Background>,
    /// Whether its copies count.
    pub(crate) presence: Arc<Presence>,
    /// Whether somebody reads or writes.
    pub(crate) foreground: Arc<Foreground>,
}

impl Node {
    pub(crate) fn new(
        store: Store,
        cache: Option<Arc<Cache>>,
        caller: Caller,
        pull_pace: Pace,
        background: Background,
    ) -> Self {
        Self {
            presence: Arc::new(Presence::new(store.clone())),
            store,
            cache,
            caller,
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            pull_pace: Arc::new(pull_pace),
            courtesy: Arc::default(),
            background: Arc::new(background),
            foreground: Arc::new(Foreground::new()),
        }
    }

    /// Waits for the turn of a write.
    pub(crate) async fn write_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        match tokio::time::timeout(WRITE_TURN_TIMEOUT, Arc::clone(&self.writes).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::new(ProblemType::Unavailable, "Too many blobs are being written to this node.")),
        }
    }

    /// A client of another node, for work in the background.
    pub(crate) fn client(&self, url: &NodeUrl) -> NodeClient {
        NodeClient::new(self.caller.clone(), url.clone()).in_background()
    }
}
