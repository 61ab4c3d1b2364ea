//! What every actor of a run shares.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use triton_api::client::{Caller, NodeClient, WebClient};

use crate::{fleet::Site, ledger::Ledger};

/// The longest that a viewer waits for an answer. The promise is that no reader hangs for half a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The fleet as its users see it, the ledger, and the end of the play.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) http: reqwest::Client,
    pub(crate) stop: CancellationToken,
    /// All is healed. The probes go on until then, for the last disturbance is judged by them, too.
    pub(crate) healed: CancellationToken,
    caller: Caller,
}

impl Stage {
    pub(crate) fn new(site: Site) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .context("cannot make an HTTP client")?;
        let caller = Caller::untraced(site.secret.clone())?;
        let ledger = Arc::new(Ledger::new(site.webs.len()));
        Ok(Self { site, ledger, http, stop: CancellationToken::new(), healed: CancellationToken::new(), caller })
    }

    /// Rests, and says whether to go on.
    ///
    /// # Cancel safety
    ///
    /// Both branches may be dropped at any time.
    pub(crate) async fn rest(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    /// A typed client of one web service.
    pub(crate) fn web(&self, number: usize) -> WebClient {
        WebClient::new(self.caller.clone(), self.origin(number))
    }

    /// The address of one web service; numbers beyond the last begin anew.
    pub(crate) fn origin(&self, number: usize) -> &str {
        self.site.webs.get(number % self.site.webs.len().max(1)).map_or("", String::as_str)
    }

    /// A typed client of one storage node.
    pub(crate) fn node(&self, number: usize) -> Option<NodeClient> {
        let address = self.site.storage.get(number)?;
        Some(NodeClient::new(self.caller.clone(), address.ours.clone()))
    }
}
