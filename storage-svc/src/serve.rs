//! A node from its start to its stop.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use triton_api::{
    NodeId,
    client::{Caller, ClientError},
};
use triton_kit::{
    secret::{SecretError, check_listen},
    serve::{BindError, Drained, bind},
    telemetry,
};

use crate::{
    background::Background,
    blocking,
    cache::Cache,
    config::Config,
    memory,
    node::Node,
    pace::Pace,
    routes,
    store::{OpenError, Store},
    upkeep,
};

/// How long a start waits for the count of the blobs; what is left is counted afterwards.
const COUNT_BUDGET: Duration = Duration::from_millis(500);

/// Why a node does not start. Each is a sentence for a person.
#[derive(Debug, Error)]
pub enum StartError {
    /// Others could reach it, and there is no secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The listener has no address.
    #[error("cannot tell the address that was bound: {0}")]
    Address(#[source] io::Error),
    /// There are no threads for work in the background.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// The data directory cannot be used.
    #[error("cannot open the data directory: {0}")]
    Open(#[from] OpenError),
    /// There is no HTTP client to reach other nodes with.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] ClientError),
}

/// A node that runs in this process. Dropping it cuts its requests short; better cancel its token and wait.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    id: NodeId,
    task: AbortOnDropHandle<Drained>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its identity, as kept in its data directory.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Waits until it has stopped, which the token given to [`serve`] brings about.
    ///
    /// # Panics
    /// Where the node has panicked.
    pub async fn stopped(self) -> Drained {
        blocking::finish(self.task).await
    }
}

/// Starts a node and answers when it accepts requests; it stops when `stop` is cancelled, and lets its requests finish.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<Running, StartError> {
    check_listen(config.listen_flag, config.listen, config.secret.as_ref())?;
    let listener = bind(config.listen_flag, config.listen).await?;
    let address = listener.local_addr().map_err(StartError::Address)?;
    let (dir, reserve_bytes) = (config.dir, config.reserve_bytes);
    let store = blocking::run(move || open(&dir, reserve_bytes)).await?;
    let caller = Caller::new(config.secret.clone(), telemetry::outgoing)?;
    let id = store.id();
    let cache_bytes = config.cache_bytes.unwrap_or_else(memory::default_cache_bytes);
    let cache = Cache::new(store.clone(), cache_bytes).map(Arc::new);
    let background = Background::start().map_err(StartError::Threads)?;
    let node = Node::new(store.clone(), cache, caller, Pace::new(config.pull_bytes_per_second), background);
    let service = routes::service(node.clone(), config.secret);
    let duties = upkeep::Duties { node, scrub_bytes_per_second: config.scrub_bytes_per_second };
    let task = tokio::spawn(async move {
        let serving = triton_kit::serve::serve(listener, service, stop.clone(), config.drain_timeout);
        let (drained, ()) = tokio::join!(serving, duties.run(stop));
        upkeep::remember_uptime(store.clone()).await;
        upkeep::remember(store, None).await;
        drained
    });
    Ok(Running { address, id, task: AbortOnDropHandle::new(task) })
}

/// Opens the store; a small one is counted at once.
fn open(dir: &Path, reserve_bytes: Option<u64>) -> Result<Store, OpenError> {
    let store = Store::open(dir, reserve_bytes)?;
    store.count_for(COUNT_BUDGET).map_err(OpenError::Stock)?;
    Ok(store)
}
