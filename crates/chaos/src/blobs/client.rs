//! Clients of the ring: the product's own, as a web service uses it, following the layout.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::{AbortOnDropHandle, TaskTracker},
};
use triton_api::{
    Epoch, NodeUrl,
    client::{Caller, NodeClient},
    layout::LayoutRecord,
};
use web_svc::ring::{Ring, RingLimits};

const ASK_TIMEOUT: Duration = Duration::from_millis(300);
const START_DEADLINE: Duration = Duration::from_secs(30);
/// A write or delete that takes longer counts as not answered, so that a run ends in time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);

/// A ring and what keeps its layout up to date.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) ring: Ring,
    _follower: AbortOnDropHandle<()>,
    _shutdown: DropGuard,
}

impl Client {
    /// Learns the layout from the nodes, by addresses that are never cut, as a web service learns it from the journal; looks
    /// for news at this interval.
    pub(super) async fn start(nodes: &[NodeUrl], every: Duration) -> anyhow::Result<Self> {
        let caller = Caller::untraced(None)?;
        let clients: Vec<_> = nodes.iter().map(|url| NodeClient::new(caller.clone(), url.clone())).collect();
        let began = Instant::now();
        let first = loop {
            if let Some(record) = newest(&clients).await {
                break record;
            }
            anyhow::ensure!(began.elapsed() < START_DEADLINE, "no node knows a layout");
            tokio::time::sleep(every).await;
        };
        let (sender, layout) = watch::channel(Arc::new(first));
        let shutdown = CancellationToken::new();
        let limits = RingLimits { put_timeout: WRITE_TIMEOUT, delete_timeout: WRITE_TIMEOUT, ..RingLimits::default() };
        // A caller of its own: the pool of the follower must not warm up that of the ring.
        let ring = Ring::new(
            Caller::untraced(None).context("no caller")?,
            layout,
            limits,
            TaskTracker::new(),
            shutdown.clone(),
        );
        let follower = AbortOnDropHandle::new(tokio::spawn(follow(clients, sender, every)));
        Ok(Self { ring, _follower: follower, _shutdown: shutdown.drop_guard() })
    }
}

async fn newest(clients: &[NodeClient]) -> Option<LayoutRecord> {
    let mut records = Vec::new();
    for client in clients {
        if let Ok(Ok(Some(record))) = timeout(ASK_TIMEOUT, client.layout()).await {
            records.push(record);
        }
    }
    records.into_iter().max_by_key(rank)
}

fn rank(record: &LayoutRecord) -> (Epoch, Epoch) {
    (record.write_epoch(), record.current.epoch)
}

/// Asks one node after the other; the whole layout only where it may have changed.
async fn follow(clients: Vec<NodeClient>, layout: watch::Sender<Arc<LayoutRecord>>, every: Duration) {
    for client in clients.iter().cycle() {
        tokio::time::sleep(every).await;
        let (known, migrates) = {
            let known = layout.borrow();
            (known.write_epoch(), known.next.is_some())
        };
        let Ok(Ok(info)) = timeout(ASK_TIMEOUT, client.info()).await else { continue };
        // A commit does not change the epoch that writers use.
        if info.epoch.is_none_or(|epoch| epoch < known || (epoch == known && !migrates)) {
            continue;
        }
        if let Ok(Ok(Some(record))) = timeout(ASK_TIMEOUT, client.layout()).await
            && rank(&record) > rank(&layout.borrow())
        {
            layout.send_replace(Arc::new(record));
        }
    }
}
