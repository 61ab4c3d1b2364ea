//! The service from its start to its stop: what is opened in which order, and who owns which task.

use std::{
    fs::{File, TryLockError},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{
    NodeUrl,
    client::{Caller, ClientError},
};
use triton_kit::{
    health::Readiness,
    secret::{self, SecretError},
    serve::{self, BindError, Drained},
    telemetry,
};
use uuid::Uuid;

use crate::{
    app::App,
    cluster::{self, Cluster, ClusterSettings},
    config::{Config, Storage},
    janitor,
    journal::{Journal, SqliteJournal},
    pipeline::{Pipeline, PipelineError, Settings},
    ring::{Ring, RingLimits},
    routes,
    source::Sources,
    store::{Store, StoreError},
    upload::Uploads,
    work::{self, WorkError, Worker},
};

/// How long requests may go on after a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long background work may take to end after that.
const WORK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the service does not start. Each is a sentence for a person.
#[derive(Debug, Error)]
pub enum StartError {
    /// Others could reach it, and there is no secret; or the secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A directory cannot be made.
    #[error("--data-dir (TRITON_DATA_DIR): cannot make {path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the directory.
    #[error(
        "--data-dir (TRITON_DATA_DIR): {path} is in use by another web-svc. Stop that one, or name another directory"
    )]
    InUse {
        /// The directory.
        path: String,
    },
    /// The database cannot be used.
    #[error("--metadata (TRITON_METADATA): {0}")]
    Store(#[from] StoreError),
    /// The embedded node does not start.
    #[error("the embedded storage node: {0}")]
    Node(#[from] storage_svc::StartError),
    /// There is no HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] ClientError),
    /// The first layout cannot be made.
    #[error("--storage (TRITON_STORAGE): {0}")]
    Cluster(#[from] cluster::StartError),
    /// ffmpeg is missing or too old.
    #[error("{0}. On Debian or Ubuntu: apt-get install ffmpeg")]
    Pipeline(#[from] PipelineError),
    /// Unfinished work of a former life cannot be taken up.
    #[error("cannot take up unfinished work: {0}")]
    Work(#[from] WorkError),
    /// The loopback server for ffmpeg does not start.
    #[error("cannot listen on a loopback port for ffmpeg: {0}")]
    Sources(#[source] std::io::Error),
}

/// A service that runs in this process.
pub struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    sources_stop: CancellationToken,
    serving: tokio::task::JoinHandle<Drained>,
    tasks: TaskTracker,
    node: Option<Node>,
    store: Store,
    _lock: File,
}

struct Node {
    running: storage_svc::Running,
    stop: CancellationToken,
}

/// Starts the service; it answers requests when this returns.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let secret = config.secret.load()?;
    secret::check_listen("--listen", config.listen, secret.as_ref())?;
    let listener = serve::bind("--listen", config.listen).await?;
    let address = listener.local_addr().map_err(StartError::Sources)?;
    make_dir(&config.data_dir)?;
    let lock = lock(&config.data_dir)?;
    let store = Store::open(&config.database()).await?;
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(store.clone()));
    let caller = Caller::new(secret.clone(), telemetry::outgoing)?;
    let (node, nodes) = start_node(config, secret.clone()).await?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let process_id: Arc<str> = Uuid::now_v7().to_string().into();
    let settings = ClusterSettings {
        replicas: config.replicas,
        reclaim_grace: Duration::from_secs(config.reclaim_grace_seconds),
        pull_bytes_per_second: Some(config.rebalance_bytes_per_second).filter(|rate| *rate > 0),
        process_id: process_id.to_string(),
        ..ClusterSettings::default()
    }
    .replacing_after(Duration::from_secs(config.replace_after_seconds));
    let cluster = Cluster::start(Arc::clone(&journal), store.clone(), caller.clone(), settings, &nodes).await?;
    let ring = Ring::new(caller, cluster.layout(), RingLimits::default(), tasks.clone(), stop.clone());
    let (sources, source_listener) = Sources::bind(ring.clone()).await.map_err(StartError::Sources)?;
    let (slots, threads) = config.slots_and_threads();
    let app = App {
        store: store.clone(),
        journal,
        ring: ring.clone(),
        pipeline: pipeline(config, threads).await?,
        sources: sources.clone(),
        uploads: Uploads::default(),
        process_id,
        work_dir: Arc::new(fresh_work_dir(&config.data_dir)?),
        upload_bytes_max: config.upload_bytes_max,
        shutdown: stop.clone(),
    };
    // Uploads that arrive while the service stops are still probed: the originals stay readable until serving has ended.
    let sources_stop = CancellationToken::new();
    tasks.spawn(sources.serve(source_listener, sources_stop.clone()));
    take_up(&app).await?;
    let worker = Worker::new(app.clone(), slots);
    let workers = worker.describe();
    let router = routes::router(app.clone(), &cluster, workers, readiness(&store, &ring), secret);
    tasks.spawn(lead(cluster, ring, stop.clone()));
    tasks.spawn(janitor::run(app));
    tasks.spawn(worker.run());
    let serving = tokio::spawn(serve_until(listener, router, stop.clone()));
    Ok(Running { address, stop, sources_stop, serving, tasks, node, store, _lock: lock })
}

async fn lead(cluster: Cluster, ring: Ring, stop: CancellationToken) {
    cluster.run(ring, stop).await;
}

async fn serve_until(listener: TcpListener, router: axum::Router, stop: CancellationToken) -> Drained {
    serve::serve(listener, router, stop, DRAIN_TIMEOUT).await
}

async fn start_node(
    config: &Config,
    secret: Option<triton_api::secret::ClusterSecret>,
) -> Result<(Option<Node>, Vec<NodeUrl>), StartError> {
    match &config.storage {
        Storage::Nodes(urls) => Ok((None, urls.clone())),
        Storage::Embedded => {
            let mut settings = storage_svc::Config::new(config.data_dir.join("node"), config.node_listen);
            settings.listen_flag = "--node-listen";
            settings.secret = secret;
            let stop = CancellationToken::new();
            let running = storage_svc::serve(settings, stop.clone()).await?;
            let url: Result<NodeUrl, _> = format!("http://{}", running.address()).parse();
            Ok((Some(Node { running, stop }), url.into_iter().collect()))
        }
    }
}

async fn pipeline(config: &Config, threads: u32) -> Result<Pipeline, PipelineError> {
    Pipeline::detect(Settings { threads, preset: config.x264_preset.clone(), ..Settings::default() }).await
}

/// A journal of a single process: whatever was under way when it ended can be taken up at once.
async fn take_up(app: &App) -> Result<(), StartError> {
    let leases = work::release_all_leases(app).await?;
    if leases > 0 {
        tracing::info!(leases, "taking up jobs of the former process");
    }
    Ok(janitor::adopt_former_uploads(app).await.map_err(WorkError::from)?)
}

/// A directory for files while they are made; what a crash left in it goes.
fn fresh_work_dir(data_dir: &Path) -> Result<std::path::PathBuf, StartError> {
    let dir = data_dir.join("work");
    match std::fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(StartError::Directory { path: dir.display().to_string(), source }),
    }
    make_dir(&dir)?;
    Ok(dir)
}

/// Keeps other processes away from the directory for as long as the result lives.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.display().to_string();
    let unusable = |source| StartError::Directory { path: path.clone(), source };
    let file = File::create(data_dir.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: path.clone() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn make_dir(dir: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(dir).map_err(|source| StartError::Directory { path: dir.display().to_string(), source })
}

/// Ready means: the database answers, and a storage node can be reached.
fn readiness(store: &Store, ring: &Ring) -> Readiness {
    let (store, ring) = (store.clone(), ring.clone());
    Readiness::new(move || {
        let (store, ring) = (store.clone(), ring.clone());
        async move {
            store.revision().await.map_err(|error| error.to_string())?;
            let health = ring.health();
            if health.iter().any(|peer| peer.circuit != crate::ring::Circuit::Open) {
                return Ok(());
            }
            Err(format!("none of the {} storage nodes answers", health.len()))
        }
    })
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
        self.store.close().await;
        drained
    }
}
