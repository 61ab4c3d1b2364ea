//! The service from its start to its stop: what is opened in which order, and who owns which task.

mod dirs;
mod error;
mod metadata;

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{NodeUrl, client::Caller, cluster, secret::ClusterSecret};
use triton_kit::{
    health::Readiness,
    secret,
    serve::{self, Drained},
    telemetry,
};
use uuid::Uuid;

pub use self::error::StartError;
use self::metadata::Metadata;
use crate::{
    app::App,
    cluster::{Cluster, ClusterSettings},
    config::{Config, Role, Storage},
    hot::HotCache,
    janitor,
    journal::Journal,
    lead,
    pipeline::{Pipeline, Settings},
    ring::{Ring, RingLimits},
    routes,
    sandbox::Sandbox,
    source::Sources,
    store::Store,
    upload::Uploads,
    work::{Growing, Worker},
};

/// How long requests may go on after a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long background work may take to end after that.
const WORK_TIMEOUT: Duration = Duration::from_secs(10);

/// A service that runs in this process.
pub struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    sources_stop: CancellationToken,
    serving: tokio::task::JoinHandle<Drained>,
    tasks: TaskTracker,
    node: Option<Node>,
    metadata: Metadata,
    _lock: File,
}

struct Node {
    running: storage_svc::Running,
    stop: CancellationToken,
}

/// Starts the service; it answers requests when this returns.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let secret = config.secret.load()?;
    secret::check_listen("--listen", config.listen(), secret.as_ref())?;
    let listener = serve::bind("--listen", config.listen()).await?;
    let address = listener.local_addr().map_err(StartError::Sources)?;
    dirs::make_dir(&config.data_dir)?;
    let lock = dirs::lock(&config.data_dir)?;
    let process = Uuid::now_v7();
    let metadata = Metadata::open(config, process, description(config, process)).await?;
    let caller = Caller::new(secret.clone(), telemetry::outgoing)?;
    let (node, nodes) = start_node(config, secret.clone()).await?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (journal, store) = (Arc::clone(&metadata.journal), metadata.store.clone());
    let cluster =
        Cluster::start(journal, store, caller.clone(), settings(config), metadata.membership.clone(), &nodes).await?;
    let ring = Ring::new(caller, cluster.layout(), ring_limits(config), tasks.clone(), stop.clone());
    let (sources, source_listener) = Sources::bind(ring.clone()).await.map_err(StartError::Sources)?;
    let (_, threads) = config.slots_and_threads();
    let app = App {
        store: metadata.store.clone(),
        journal: Arc::clone(&metadata.journal),
        ring: ring.clone(),
        hot: HotCache::new(ring.clone(), config.cache_bytes(), tasks.clone()),
        growing: Growing::default(),
        pipeline: pipeline(config, threads).await?,
        sources: sources.clone(),
        uploads: Uploads::new(config.upload_expiry_hours),
        membership: metadata.membership.clone(),
        process_id: process.to_string().into(),
        work_dir: Arc::new(dirs::fresh_work_dir(&config.data_dir)?),
        upload_bytes_max: config.upload_bytes_max,
        shutdown: stop.clone(),
    };
    // Uploads that arrive while the service stops are still probed: the originals stay readable until serving has ended.
    let sources_stop = CancellationToken::new();
    tasks.spawn(sources.serve(source_listener, sources_stop.clone()));
    let readiness = readiness(&metadata, &ring);
    let service = match config.role {
        Some(Role::Worker) => routes::worker_service(readiness),
        None => routes::service(app.clone(), &cluster, readiness, secret),
    };
    begin_work(&tasks, config, app, cluster);
    let serving = tokio::spawn(serve_until(listener, service, stop.clone()));
    Ok(Running { address, stop, sources_stop, serving, tasks, node, metadata, _lock: lock })
}

/// Begins what goes on beside requests; it ends with `app.shutdown`.
fn begin_work(tasks: &TaskTracker, config: &Config, app: App, cluster: Cluster) {
    let (follower, ring, stop) = (cluster.clone(), app.ring.clone(), app.shutdown.clone());
    tasks.spawn(async move { follower.follow(ring, stop).await });
    if config.role.is_none() {
        tasks.spawn(lead::run(app.clone(), cluster));
        tasks.spawn(janitor::tidy_own_uploads(app.clone()));
    }
    let (slots, _) = config.slots_and_threads();
    tasks.spawn(Worker::new(app, slots).run());
}

fn ring_limits(config: &Config) -> RingLimits {
    let degraded_file = Some(config.data_dir.join("degraded.json"));
    RingLimits { degraded_file, zone: config.zone.clone(), ..RingLimits::default() }
}

/// What this process tells the others of itself.
fn description(config: &Config, process: Uuid) -> cluster::Worker {
    let (slots, _) = config.slots_and_threads();
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    cluster::Worker { id: process.to_string(), slots, running: 0, started_at: Timestamp::now() }
}

fn settings(config: &Config) -> ClusterSettings {
    ClusterSettings {
        replicas: config.replicas,
        reclaim_grace: Duration::from_secs(config.reclaim_grace_seconds),
        repair_interval: Duration::from_secs(config.repair_interval_seconds),
        orphan_interval: Duration::from_secs(config.orphan_interval_seconds),
        orphan_age: Duration::from_secs(config.orphan_age_seconds),
        pull_bytes_per_second: Some(config.rebalance_bytes_per_second).filter(|rate| *rate > 0),
        ..ClusterSettings::default()
    }
    .replacing_after(Duration::from_secs(config.replace_after_seconds))
}

async fn serve_until(listener: TcpListener, service: triton_kit::Service, stop: CancellationToken) -> Drained {
    serve::serve(listener, service, stop, DRAIN_TIMEOUT).await
}

async fn start_node(
    config: &Config,
    secret: Option<ClusterSecret>,
) -> Result<(Option<Node>, Vec<NodeUrl>), StartError> {
    if config.role == Some(Role::Worker) {
        return Ok((None, Vec::new()));
    }
    match &config.storage {
        Storage::Nodes(urls) => Ok((None, urls.clone())),
        Storage::Embedded => {
            let stop = CancellationToken::new();
            let running = storage_svc::serve(config.node(secret), stop.clone()).await?;
            let url: Result<NodeUrl, _> = format!("http://{}", running.address()).parse();
            Ok((Some(Node { running, stop }), url.into_iter().collect()))
        }
    }
}

async fn pipeline(config: &Config, threads: u32) -> Result<Pipeline, StartError> {
    // The data directory is what must not be readable, so the trial is made in it.
    let sandbox = Sandbox::detect(config.sandbox, Sandbox::own_launcher(), config.data_dir.clone()).await?;
    let confined = sandbox.to_string();
    let (preset, av1) = (config.x264_preset.clone(), config.av1);
    let settings = Settings { threads, preset, av1, sandbox, ..Settings::default() };
    let pipeline = Pipeline::detect(settings).await?;
    tracing::info!(ffmpeg = pipeline.toolchain().version(), confined, "media tools");
    Ok(pipeline)
}

/// Ready means: the database answers, changes can be committed, and a storage node can be reached. What has to route viewers
/// asks `/healthz` instead, for media are served without the journal, too.
fn readiness(metadata: &Metadata, ring: &Ring) -> Readiness {
    let (store, journal, ring) = (metadata.store.clone(), Arc::clone(&metadata.journal), ring.clone());
    Readiness::new(move || ready(store.clone(), Arc::clone(&journal), ring.clone()))
}

async fn ready(store: Store, journal: Arc<dyn Journal>, ring: Ring) -> Result<(), String> {
    store.revision().await.map_err(|error| error.to_string())?;
    if let Some(obstacle) = journal.obstacle() {
        return Err(obstacle);
    }
    let health = ring.health();
    if health.iter().any(|peer| peer.circuit != crate::ring::Circuit::Open) {
        return Ok(());
    }
    Err(format!("none of the {} storage nodes answers", health.len()))
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: requests finish, jobs are given back, then the embedded node goes.
    pub async fn stop(self) -> Drained {
        self.stop.cancel();
        let drained = match self.serving.await {
            Ok(drained) => drained,
            Err(error) => {
                tracing::error!(%error, "serving panicked");
                Drained { finished: 0, cut: 0 }
            }
        };
        self.sources_stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(WORK_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "some background work did not end in time");
        }
        if let Some(node) = self.node {
            node.stop.cancel();
            node.running.stopped().await;
        }
        self.metadata.close().await;
        drained
    }
}
