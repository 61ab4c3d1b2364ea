//! The cluster: which node holds what, how that changes while content is read and written, and how it heals.
//!
//! The layout, what is staged and how far a migration has come are records behind the journal, so that a restart goes on
//! where the process before stopped. Pure decisions: [`staged`], [`plan`], [`migration`], `moves`, `fence`, `census`,
//! `replacement`, `named`, `cursor`. Work: `migrate` runs a migration, `upkeep` repairs, `replace` replaces nodes that stay away, `announce`
//! tells the nodes the layout.
//!
//! A migration is safe at every step, because
//! 1. writes of the older epoch end before anything is copied (`fence`): a node refuses them once it has learned the layout
//!    record with the next epoch, and the nodes that have not learned it are too few to acknowledge a write;
//! 2. new holders pull from every node that has something of a partition, and the commit waits for the last of them;
//! 3. readers find everything on the former holders until a grace time after the commit;
//! 4. nothing is deleted but by a release, before which a node asks every holder for the same hash.

mod adopt;
mod announce;
pub mod census;
pub mod control;
pub mod cursor;
pub mod error;
mod fence;
mod health;
mod holdings;
mod ledger;
mod loss;
mod metrics;
mod migrate;
pub mod migration;
mod mover;
mod moves;
mod named;
mod orphans;
mod overview;
mod pace;
pub mod partition_set;
pub mod plan;
mod rate;
mod records;
mod replace;
pub mod replacement;
mod routes;
#[cfg(test)]
mod sample;
mod settings;
pub mod staged;
mod start;
mod turn;
mod upkeep;
pub mod wish;

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use triton_api::{
    NodeUrl,
    client::Caller,
    cluster::NodeHealth,
    layout::{LayoutNode, LayoutRecord},
};

pub use error::{ClusterError, StartError};
pub(crate) use routes::document;
pub use settings::ClusterSettings;

use self::{announce::Announcer, census::Census, health::HealthBoard, pace::Throttle, records::Records, turn::Turn};
use crate::{journal::Journal, membership::Membership, ring::Ring, store::Store};

/// The cluster, as this process sees and controls it. Cloning is cheap; all clones are one.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    /// Apart from the rest, for a leader changes them in its term only.
    records: Records,
}

struct Inner {
    caller: Caller,
    settings: ClusterSettings,
    layout: watch::Sender<Arc<LayoutRecord>>,
    health: HealthBoard,
    announcer: Announcer,
    throttle: Throttle,
    turn: Turn,
    membership: Membership,
}

impl Cluster {
    /// Reads the layout, or makes the first one of the nodes that answer at `nodes`: at the first start all of them have
    /// to; later the record is the truth, and only known nodes with another address change it.
    ///
    /// # Errors
    /// [`StartError`]; each is a sentence for a person.
    pub async fn start(
        journal: Arc<dyn Journal>,
        store: Store,
        caller: Caller,
        settings: ClusterSettings,
        membership: Membership,
        nodes: &[NodeUrl],
    ) -> Result<Self, StartError> {
        metrics::describe();
        let records = Records::new(journal, store);
        let record = start::start(&records, &caller, &settings, membership.is_alone(), nodes).await?;
        if record.current.replicas != settings.replicas {
            let (kept, wanted) = (record.current.replicas, settings.replicas);
            tracing::warn!(
                kept,
                wanted,
                "another number of replicas is wanted: it takes effect with `rebalance apply`"
            );
        }
        let inner = Inner {
            layout: watch::Sender::new(Arc::new(record)),
            health: HealthBoard::new(),
            announcer: Announcer::new(caller.clone()),
            throttle: Throttle::new(settings.pull_bytes_per_second),
            turn: Turn::default(),
            membership,
            caller,
            settings,
        };
        let cluster = Self { inner: Arc::new(inner), records };
        // A write would be refused, and a pull not understood, by a node that has never heard of the layout.
        cluster.inner.announcer.announce(&cluster.present()).await;
        cluster.probe().await;
        Ok(cluster)
    }

    /// The layout record, whoever changes it.
    pub fn layout(&self) -> watch::Receiver<Arc<LayoutRecord>> {
        self.inner.layout.subscribe()
    }

    fn present(&self) -> Arc<LayoutRecord> {
        Arc::clone(&self.inner.layout.borrow())
    }

    /// The same, for a leader: whatever it changes is changed in its term.
    #[must_use]
    pub fn in_term(&self, journal: Arc<dyn Journal>) -> Self {
        Self { inner: Arc::clone(&self.inner), records: self.records.through(journal) }
    }

    /// Does what any process may: follows the records and the nodes' health, tells the nodes the layout, and keeps the
    /// ring's list of degraded partitions short. Returns after `shutdown`.
    pub async fn follow(&self, ring: Ring, shutdown: CancellationToken) {
        let mut duties = JoinSet::new();
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.follow_layout(&token).await });
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.watch_health(&token).await });
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.tell(&token).await });
        let (cluster, token) = (self.clone(), shutdown);
        duties.spawn(async move { cluster.settle(&ring, &token).await });
        join(duties).await;
    }

    /// Does what only a leader may: migrates, repairs and collects orphans. Returns after `shutdown`; steps that nodes are at are then left
    /// to them, for each may be repeated.
    pub async fn lead(&self, ring: Ring, shutdown: CancellationToken) {
        let mut duties = JoinSet::new();
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.migrate(&token).await });
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.replace(&token).await });
        let (cluster, token) = (self.clone(), shutdown.clone());
        duties.spawn(async move { cluster.collect_orphans(&token).await });
        let (cluster, token) = (self.clone(), shutdown);
        duties.spawn(async move { cluster.upkeep(&ring, &token).await });
        join(duties).await;
    }

    /// Keeps [`Self::layout`] up to date with what any process commits.
    async fn follow_layout(&self, shutdown: &CancellationToken) {
        let mut changes = self.records.changes();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::error!(%error, "the layout cannot be read");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changes.next() => {}
            }
        }
    }

    /// Reads the layout record and passes it on.
    async fn refresh(&self) -> Result<(), ClusterError> {
        let record = self.records.layout().await?.ok_or(ClusterError::NoLayout)?.value;
        self.inner.layout.send_if_modified(|known| {
            // A look that began before a commit may end after another one that saw it: layouts never go back.
            let is_newer = rank(&record) > rank(known);
            if is_newer {
                *known = Arc::new(record);
            }
            is_newer
        });
        Ok(())
    }

    async fn watch_health(&self, shutdown: &CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.inner.settings.probe_interval) => {}
            }
            self.probe().await;
        }
    }

    async fn probe(&self) {
        let record = self.present();
        let answers = self.inner.announcer.probe_all(&record).await;
        self.inner.health.note(&record, answers);
        overview::count_degraded(&record, &self.inner.health);
    }

    /// Tells every node the layout as soon as it changes, and nodes that come back as soon as they answer.
    async fn tell(&self, shutdown: &CancellationToken) {
        let mut layout = self.layout();
        let mut health = self.inner.health.subscribe();
        loop {
            let record = Arc::clone(&layout.borrow_and_update());
            health.mark_unchanged();
            let answers = |node: &&LayoutNode| self.inner.health.of(node).health() == NodeHealth::Up;
            let given_up =
                record.nodes().into_iter().filter(|node| fence::is_given_up(&record, node.id)).filter(answers);
            tokio::join!(
                self.inner.announcer.announce(&record),
                self.inner.announcer.dismiss(given_up.collect(), &record)
            );
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = layout.changed() => {}
                _ = health.changed() => {}
            }
        }
    }

    /// What each node that is up has of every partition.
    async fn census(&self, record: &LayoutRecord) -> Census {
        self.inner.announcer.census(record, &self.inner.health).await
    }
}

/// Waits for the end of all duties.
async fn join(mut duties: JoinSet<()>) {
    while let Some(ended) = duties.join_next().await {
        if let Err(error) = ended {
            // The process goes on serving what there is; a supervisor sees the metric and the log.
            tracing::error!(%error, "a duty of the cluster ended with a panic");
            ::metrics::counter!("triton_cluster_duties_lost_total").increment(1);
        }
    }
}

/// The order of layout records, which is the nodes', too.
fn rank(record: &LayoutRecord) -> (triton_api::Epoch, triton_api::Epoch) {
    (record.write_epoch(), record.current.epoch)
}
