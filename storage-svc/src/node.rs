//! What every handler of a node shares.

use std::{ops::Deref, sync::Arc, time::Duration};

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

/// A running node; clones are the same node. One pointer, as axum clones it several times for each request.
#[derive(Debug, Clone)]
pub(crate) struct Node(Arc<Parts>);

/// What a node is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    /// What is asked for often; `None` where nothing is to be kept.
    pub(crate) cache: Option<Arc<Cache>>,
    caller: Caller,
    writes: Arc<Semaphore>,
    /// Slows down what this node pulls from others.
    pub(crate) pull_pace: Pace,
    /// Lets it yield to viewers.
    pub(crate) courtesy: Courtesy,
    /// Where it runs.
    pub(crate) background: Background,
    /// Whether its copies count.
    pub(crate) presence: Presence,
    /// Whether somebody reads or writes.
    pub(crate) foreground: Arc<Foreground>,
}

impl Deref for Node {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Node {
    pub(crate) fn new(
        store: Store,
        cache: Option<Arc<Cache>>,
        caller: Caller,
        pull_pace: Pace,
        background: Background,
    ) -> Self {
        Self(Arc::new(Parts {
            presence: Presence::new(store.clone()),
            store,
            cache,
            caller,
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            pull_pace,
            courtesy: Courtesy::default(),
            background,
            foreground: Arc::new(Foreground::new()),
        }))
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
