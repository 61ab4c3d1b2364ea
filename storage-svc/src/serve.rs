//! A node from its start to its stop.

use std::{io, net::SocketAddr, time::Duration};

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::{Instant, interval_at};
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
    config::Config,
    node::Node,
    pace::Pace,
    routes,
    store::{OpenError, Store},
};

/// How often outdated tombstones are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the gauges of the store are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_secs(10);

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
    let store = blocking::run(move || Store::open(&dir, reserve_bytes)).await?;
    let caller = Caller::new(config.secret.clone(), telemetry::outgoing)?;
    let id = store.id();
    let background = Background::start().map_err(StartError::Threads)?;
    let node = Node::new(store.clone(), caller, Pace::new(config.pull_bytes_per_second), background);
    let router = routes::router(node, config.secret);
    let task = tokio::spawn(async move {
        let serving = triton_kit::serve::serve(listener, router, stop.clone(), config.drain_timeout);
        let (drained, ()) = tokio::join!(serving, upkeep(&store, stop));
        drained
    });
    Ok(Running { address, id, task: AbortOnDropHandle::new(task) })
}

/// What a node does on its own.
async fn upkeep(store: &Store, stop: CancellationToken) {
    let mut sweep = interval_at(Instant::now(), SWEEP_EVERY);
    let mut gauges = interval_at(Instant::now(), GAUGES_EVERY);
    loop {
        // Cancel safe: `cancelled` and `tick` lose nothing; the work itself is not part of the select.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => sweep_tombstones(store.clone()).await,
            _ = gauges.tick() => set_gauges(store.clone()).await,
        }
    }
}

async fn sweep_tombstones(store: Store) {
    match blocking::run(move || store.sweep_tombstones(Timestamp::now())).await {
        Ok(dropped) => tracing::debug!(dropped, "outdated tombstones are removed"),
        Err(error) => tracing::warn!(%error, "outdated tombstones stay until the next sweep"),
    }
}

async fn set_gauges(store: Store) {
    match blocking::run(move || store.info()).await {
        Ok(info) => {
            let gauge = |name: &'static str, value: u64| {
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
                metrics::gauge!(name, "node" => info.id.to_string()).set(value as f64);
            };
            gauge("triton_store_blobs", info.blobs);
            gauge("triton_store_used_bytes", info.used_bytes);
            gauge("triton_disk_free_bytes", info.free_bytes);
            gauge("triton_disk_capacity_bytes", info.capacity_bytes);
        }
        Err(error) => tracing::warn!(%error, "the store cannot be measured"),
    }
}
