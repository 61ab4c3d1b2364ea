//! What the actors of a run share.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use triton_api::client::NodeClient;

use super::books::Books;

/// The books, and the end of the play.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) books: Arc<Books>,
    /// Every node, by an address that is never cut.
    pub(super) nodes: Arc<Vec<NodeClient>>,
    pub(super) stop: CancellationToken,
}

impl Scene {
    /// Rests, and says whether to go on.
    ///
    /// # Cancel safety
    ///
    /// Both branches may be dropped at any time.
    pub(super) async fn rest(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
