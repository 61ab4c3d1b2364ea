//! The second look at copies of which a read has failed. What still cannot be read is put aside, and pulled again by the repair,
//! provided that another holder has it.

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use triton_api::{BlobKey, client::NodeClient};

use crate::{
    blocking,
    node::Node,
    store::{StoreError, Unreadable},
};

/// How often it is seen whether there is something to look at.
const EVERY: Duration = Duration::from_secs(5);
/// The longest that the read of another holder's copy takes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Works until `stop`.
pub(crate) async fn run(node: Node, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    loop {
        // Cancel safe: a token and a tick.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for key in node.store.due_suspects(Instant::now()) {
            let (here, suspect) = (node.clone(), key.clone());
            // Cancel safe: what moves the copy is one step on a blocking thread.
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = node.background.run(async move { look(&here, &suspect).await }) => looked,
            };
            if let Err(error) = looked {
                tracing::warn!(%key, %error, "a copy of which a read failed stays where it is for now");
            }
        }
    }
}

async fn look(node: &Node, key: &BlobKey) -> Result<(), StoreError> {
    let (store, suspect) = (node.store.clone(), key.clone());
    let Some(copy) = blocking::run(move || store.look_again(&suspect)).await? else { return Ok(()) };
    let store = node.store.clone();
    let stays_because = if !blocking::run(move || store.may_put_aside(Instant::now())).await {
        "the disk takes no writes, or too many of it were put aside today"
    } else if !is_elsewhere(node, &copy).await {
        "no other holder gives one"
    } else {
        let store = node.store.clone();
        // The looks are one after the other: it may be done.
        blocking::run(move || store.put_unreadable_aside(&copy, Instant::now())).await?;
        return Ok(());
    };
    tracing::error!(%key, stays_because, "a copy cannot be read, and stays where it is");
    Ok(())
}

/// Whether another holder gives the whole of a copy: the last one is not put aside, as a disk may come to itself, and parts of two
/// bad copies may make a good one.
async fn is_elsewhere(node: &Node, copy: &Unreadable) -> bool {
    let Some(record) = node.store.layout() else { return false };
    let layouts = [Some(&record.current), record.next.as_ref()].into_iter().flatten();
    let holders: BTreeMap<_, _> =
        layouts.flat_map(|layout| layout.holders(copy.partition)).map(|holder| (holder.id, &holder.url)).collect();
    for (_, url) in holders.into_iter().filter(|(id, _)| *id != node.store.id()) {
        let client = node.client(url);
        // The one knows whether the copy is durable, the other whether it can be read.
        if matches!(client.head(&copy.key).await, Ok(Some(_)))
            && timeout(READ_TIMEOUT, read_whole(&client, &copy.key)).await == Ok(true)
        {
            return true;
        }
    }
    false
}

/// Whether a node gives a blob to its end, with the hash that it tells.
async fn read_whole(holder: &NodeClient, key: &BlobKey) -> bool {
    let Ok(read) = holder.get(key, None).await else { return false };
    let (told, mut hasher) = (read.hash, Box::<blake3::Hasher>::default());
    let mut content = pin!(read.into_stream());
    while let Some(chunk) = content.next().await {
        let Ok(chunk) = chunk else { return false };
        hasher.update(&chunk);
    }
    told == hasher.finalize().into()
}
