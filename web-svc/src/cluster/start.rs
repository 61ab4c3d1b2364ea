//! The first layout of a new installation, and corrected addresses at later starts.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use triton_api::{
    NodeId, NodeUrl,
    client::{Caller, ClientError, NodeClient},
    layout::{LayoutNode, LayoutRecord},
    storage::NodeInfo,
};

use super::{
    error::StartError,
    migration::{self, MigrationRecord},
    records::Records,
    settings::ClusterSettings,
    staged::{WEIGHT_DEFAULT, ZONE_DEFAULT},
};
use crate::{
    journal::{Change, Expect, JournalError, RecordKey},
    store::Stored,
};

/// The pause between two questions to a node that does not answer yet.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// The longest wait for configured nodes when the layout is there already: they may well be down.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The layout record: made of the configured nodes at the first start, the truth at every later one. Where several
/// processes start at once, one makes it; a process without configured nodes waits for another one to do so.
pub(super) async fn start(
    records: &Records,
    caller: &Caller,
    settings: &ClusterSettings,
    is_alone: bool,
    nodes: &[NodeUrl],
) -> Result<LayoutRecord, StartError> {
    let deadline = Instant::now() + settings.bootstrap_timeout;
    loop {
        if let Some(known) = records.layout().await? {
            return adopt(records, caller, known, nodes).await;
        }
        match make(records, caller, settings, nodes).await {
            Ok(record) => return Ok(record),
            // Another process may have made the layout: its record is on its way here.
            Err(
                StartError::Taken { .. } | StartError::NoNodes | StartError::Journal(JournalError::Conflict { .. }),
            ) if Instant::now() < deadline && !is_alone => tokio::time::sleep(ASK_INTERVAL).await,
            Err(error) => return Err(error),
        }
    }
}

/// Makes the first layout.
async fn make(
    records: &Records,
    caller: &Caller,
    settings: &ClusterSettings,
    nodes: &[NodeUrl],
) -> Result<LayoutRecord, StartError> {
    let record = found(caller, settings, nodes).await?;
    let change = Change::new().put(RecordKey::layout(), Expect::Absent, &record)?;
    records.journal().commit(change).await?;
    let (nodes, replicas) = (record.current.nodes.len(), record.current.replicas);
    tracing::info!(nodes, replicas, "a new cluster begins");
    Ok(record)
}

async fn found(caller: &Caller, settings: &ClusterSettings, urls: &[NodeUrl]) -> Result<LayoutRecord, StartError> {
    if urls.is_empty() {
        return Err(StartError::NoNodes);
    }
    let deadline = Instant::now() + settings.bootstrap_timeout;
    let mut nodes = Vec::with_capacity(urls.len());
    for (url, answer) in urls.iter().zip(ask(caller, urls, deadline).await) {
        let info = answer.map_err(|source| StartError::NoAnswer { url: url.clone(), source: Box::new(source) })?;
        if let Some(epoch) = info.epoch {
            return Err(StartError::Taken { url: url.clone(), epoch });
        }
        let zone = ZONE_DEFAULT.to_owned();
        nodes.push(LayoutNode::active(info.id, url.clone(), zone, WEIGHT_DEFAULT));
    }
    Ok(LayoutRecord::settled(triton_placement::layout::first(nodes, settings.replicas)?))
}

/// Asks all at once, each until it answers or the deadline passes.
async fn ask(caller: &Caller, urls: &[NodeUrl], deadline: Instant) -> Vec<Result<NodeInfo, ClientError>> {
    let ask_one = |url: &NodeUrl| {
        let client = NodeClient::new(caller.clone(), url.clone());
        let url = url.to_string();
        async move {
            let mut last = ClientError::Timeout { url };
            while Instant::now() < deadline {
                match timeout_at(deadline, client.info()).await {
                    Ok(Ok(info)) => return Ok(info),
                    Ok(Err(error)) => last = error,
                    Err(_) => break,
                }
                tokio::time::sleep(ASK_INTERVAL).await;
            }
            Err(last)
        }
    };
    join_all(urls.iter().map(ask_one)).await
}

/// Takes the record as it is, but for known nodes that answer at another address now, such as an embedded node whose port
/// was changed.
async fn adopt(
    records: &Records,
    caller: &Caller,
    known: Stored<LayoutRecord>,
    urls: &[NodeUrl],
) -> Result<LayoutRecord, StartError> {
    let mut moved: Vec<(NodeId, NodeUrl)> = Vec::new();
    for (url, answer) in urls.iter().zip(ask(caller, urls, Instant::now() + KNOWN_TIMEOUT).await) {
        match answer.map(|info| (info.id, known.value.node(info.id))) {
            Ok((id, Some(node))) if node.url != *url => moved.push((id, url.clone())),
            Ok((_, Some(_))) => {}
            Ok((id, None)) => {
                tracing::warn!(node.id = %id, %url, "a configured node is not part of the cluster: add it with `node add`");
            }
            Err(error) => tracing::warn!(%url, %error, "a configured node does not answer"),
        }
    }
    let Some(record) = migration::relocated(&known.value, &moved) else { return Ok(known.value) };
    for (id, url) in &moved {
        tracing::warn!(node.id = %id, %url, epoch = %record.write_epoch(), "a node has another address: the layout follows");
    }
    let change = Change::new().put(RecordKey::layout(), Expect::At(known.revision), &record)?;
    let change = match records.migration().await? {
        Some(Stored { value, revision }) => {
            let to = record.write_epoch();
            let migration = MigrationRecord { from: record.current.epoch, to, ..value };
            change.put(RecordKey::migration(), Expect::At(revision), &migration)?
        }
        None => change,
    };
    match records.journal().commit(change).await {
        Ok(_) => Ok(record),
        // What there is goes on being used; the next start tries again.
        Err(error) if error.is_outage() || matches!(error, JournalError::Conflict { .. }) => {
            tracing::warn!(%error, "the nodes' new addresses could not be written");
            Ok(known.value)
        }
        Err(error) => Err(error.into()),
    }
}
