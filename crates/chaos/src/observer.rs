//! The observer: asks every node for its layout and every web service who leads, and writes down what they say.

use std::time::Duration;

use triton_api::layout::LayoutRecord;

use crate::stage::Stage;

const EVERY: Duration = Duration::from_secs(1);

/// Observes until the end.
pub(crate) async fn observe(stage: Stage) {
    while stage.rest(EVERY).await {
        look(&stage).await;
    }
}

/// One look at all nodes and web services; who does not answer is passed over.
pub(crate) async fn look(stage: &Stage) {
    for number in 0..stage.site.storage.len() {
        let Some(node) = stage.node(number) else { continue };
        if let Ok(Some(layout)) = node.layout().await {
            note(stage, &layout);
        }
    }
    for web in 0..stage.site.webs.len() {
        let Ok(Ok(cluster)) = tokio::time::timeout(Duration::from_secs(3), stage.web(web).cluster()).await else {
            continue;
        };
        let Some(leader) = cluster.leader else { continue };
        let at = stage.ledger.at();
        let mut books = stage.ledger.books();
        // A follower may say for a moment who led before.
        if books.leaders.iter().rev().take(2).all(|(_, known)| *known != leader) {
            books.leaders.push((at, leader));
        }
    }
}

/// Only committed layouts: a migration that is undone gives its epoch to the next one.
fn note(stage: &Stage, layout: &LayoutRecord) {
    let mut books = stage.ledger.books();
    books.layouts_seen += 1;
    books.epochs.entry(layout.current.epoch).or_default().insert(layout.current.digest.clone());
}
