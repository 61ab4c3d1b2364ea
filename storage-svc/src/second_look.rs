//! The second look at copies of which a read has failed. What still cannot be read is put aside, and pulled again by the repair,
//! provided that another holder has it.

use std::time::{Duration, Instant};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use triton_api::BlobKey;

use crate::{
    blocking,
    node::Node,
    store::{StoreError, Unreadable},
};

/// How often it is seen whether there is something to look at.
const EVERY: Duration = Duration::from_secs(5);

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
            if stop.is_cancelled() {
                return;
            }
            let (here, suspect) = (node.clone(), key.clone());
            if let Err(error) = node.background.run(async move { look(&here, &suspect).await }).await {
                tracing::warn!(%key, %error, "a copy of which a read failed stays where it is for now");
            }
        }
    }
}

async fn look(node: &Node, key: &BlobKey) -> Result<(), StoreError> {
    let (store, suspect) = (node.store.clone(), key.clone());
    let Some(copy) = blocking::run(move || store.look_again(&suspect)).await? else { return Ok(()) };
    if !is_elsewhere(node, &copy).await {
        tracing::error!(%key, "a copy cannot be read, and stays where it is: no other holder says that it has one");
        return Ok(());
    }
    let store = node.store.clone();
    if !blocking::run(move || store.put_unreadable_aside(&copy, Instant::now())).await? {
        tracing::error!(%key, "a copy cannot be read, and stays where it is: too many of this disk were put aside today");
    }
    Ok(())
}

/// Whether another holder confirms a copy: the last one is not put aside, as a disk may come to itself.
async fn is_elsewhere(node: &Node, copy: &Unreadable) -> bool {
    let Some(record) = node.store.layout() else { return false };
    for layout in [Some(&record.current), record.next.as_ref()].into_iter().flatten() {
        for holder in layout.holders(copy.partition).filter(|holder| holder.id != node.store.id()) {
            if matches!(node.client(&holder.url).head(&copy.key).await, Ok(Some(_))) {
                return true;
            }
        }
    }
    false
}
