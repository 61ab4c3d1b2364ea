//! The end of a run: all is healed; the ring has to come to rest, and then every key is looked at on every node.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};
use triton_api::{
    BlobHash, NodeId,
    client::{ClientError, NodeClient},
    layout::LayoutRecord,
};
use triton_placement::partition_of;
use web_svc::ring::Ring;

use super::{
    books::{Books, Entry, Stand},
    counts::Broken,
    reader::fetch,
};
use crate::{
    admin::Admin,
    replicas::{Replicas, census},
    stage::Stage,
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Keys that are looked at at once.
const KEYS_IN_FLIGHT: usize = 8;
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// What is known at the end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) settled_after: Duration,
    pub(super) replicas: Replicas,
}

/// Waits until the ring is at rest and looks at every key.
pub(super) async fn judge(
    stage: &Stage,
    mut admin: Admin,
    books: &Arc<Books>,
    ring: &Ring,
    deadline: Duration,
) -> Ending {
    let began = Instant::now();
    let (mut ending, mut wrong) = (Ending::default(), Vec::new());
    let mut at_rest = false;
    while began.elapsed() < deadline {
        at_rest = admin.settle().await;
        ending.replicas = census(stage).await.unwrap_or_else(|error| Replicas {
            missing: vec![format!("the nodes could not be asked: {error}")],
            ..Replicas::default()
        });
        at_rest &= ending.replicas.missing.is_empty();
        if at_rest {
            // A look at a rotten copy puts it aside, so that it is missing until repair has been there.
            wrong = inspect(stage, books).await;
            if wrong.is_empty() {
                break;
            }
        }
        sleep(LOOK_EVERY).await;
    }
    ending.settled_after = began.elapsed();
    if !at_rest {
        let missing = ending.replicas.missing.len();
        let first = ending.replicas.missing.first().cloned().unwrap_or_else(|| "a migration goes on".to_owned());
        books.breach(Broken::NoRest, &format!("after {deadline:?}: {missing} things are missing, among them: {first}"));
    }
    for (broken, text) in wrong {
        books.breach(broken, &text);
    }
    read_through_the_ring(books, ring).await;
    ending
}

/// Every key on every node that the layout names, past the ring.
async fn inspect(stage: &Stage, books: &Arc<Books>) -> Vec<(Broken, String)> {
    let (mut nodes, mut layouts) = (BTreeMap::new(), Vec::<LayoutRecord>::new());
    for number in 0..stage.site.storage.len() {
        let Some(client) = stage.node(number) else { continue };
        match (client.info().await, client.layout().await) {
            (Ok(info), Ok(layout)) => {
                layouts.extend(layout);
                nodes.insert(info.id, client);
            }
            _ => return vec![(Broken::NoRest, format!("node {number} does not answer"))],
        }
    }
    let Some(record) = layouts.into_iter().max_by_key(|record| (record.write_epoch(), record.current.epoch)) else {
        return vec![(Broken::NoRest, "no node knows a layout".to_owned())];
    };
    let entries = books.open().entries.clone();
    let looks = entries.iter().map(|entry| inspect_key(entry, &record, &nodes));
    stream::iter(looks).buffer_unordered(KEYS_IN_FLIGHT).filter_map(async |wrong| wrong).collect().await
}

async fn inspect_key(
    entry: &Entry,
    record: &LayoutRecord,
    nodes: &BTreeMap<NodeId, NodeClient>,
) -> Option<(Broken, String)> {
    let key = &entry.key;
    let holders: Vec<NodeId> = record.current.holders(partition_of(key)).map(|holder| holder.id).collect();
    for (id, client) in nodes.iter().filter(|(id, _)| record.node(**id).is_some()) {
        let found = on_node(client, entry).await;
        let wrong = match (entry.stand, found) {
            (_, Err(error)) => Some((Broken::Lost, format!("cannot be looked at: {error}"))),
            (Stand::Acknowledged, Ok(None)) if holders.contains(id) => {
                Some((Broken::Lost, "is not there, and was acknowledged".to_owned()))
            }
            (Stand::Deleted { .. }, Ok(Some(_))) => {
                Some((Broken::CameBack, "is served, and its delete was acknowledged".to_owned()))
            }
            (_, Ok(Some(hash))) if hash != entry.hash => {
                Some((Broken::WrongBytes, format!("has the content {hash} instead of {}", entry.hash)))
            }
            _ => None,
        };
        if let Some((broken, text)) = wrong {
            let role = if holders.contains(id) { "a holder" } else { "no holder" };
            return Some((broken, format!("{key} on node {id}, {role} of partition {}: {text}", partition_of(key))));
        }
    }
    None
}

/// The hash of what the node really sends; `None` where it says that it has nothing.
async fn on_node(client: &NodeClient, entry: &Entry) -> Result<Option<BlobHash>, ClientError> {
    let read = match client.get(&entry.key, None).await {
        Ok(read) => read,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hasher = blake3::Hasher::new();
    let mut chunks = std::pin::pin!(read.into_stream());
    while let Some(chunk) = chunks.next().await {
        hasher.update(&chunk?);
    }
    Ok(Some(hasher.finalize().into()))
}

async fn read_through_the_ring(books: &Arc<Books>, ring: &Ring) {
    let entries = books.open().entries.clone();
    let reads = entries.iter().map(async |entry| {
        let read = tokio::time::timeout(READ_TIMEOUT, fetch(ring, &entry.key, None)).await;
        let wrong = match (entry.stand, read) {
            (Stand::Acknowledged, Ok(Ok(None))) => Some((Broken::Lost, "is said not to be there".to_owned())),
            (Stand::Acknowledged, Ok(Err(error))) => Some((Broken::Lost, error.to_string())),
            (Stand::Acknowledged, Err(_)) => Some((Broken::Lost, "is not answered".to_owned())),
            (Stand::Deleted { .. }, Ok(Ok(Some(_)))) => Some((Broken::CameBack, "is served again".to_owned())),
            (_, Ok(Ok(Some(bytes)))) if bytes != entry.content => {
                Some((Broken::WrongBytes, format!("{} B that differ from what was written", bytes.len())))
            }
            _ => None,
        };
        if let Some((broken, text)) = wrong {
            books.breach(broken, &format!("at rest, through the ring: {}: {text}", entry.key));
        }
    });
    stream::iter(reads).buffer_unordered(KEYS_IN_FLIGHT).collect::<()>().await;
}
