//! The kit as a service uses it: over a socket, through all layers.
#![allow(clippy::unwrap_used, reason = "test code")]

mod documents;
mod drain;
mod fast_path;
mod problems;
mod secrets;
mod telemetry;

use std::time::Duration;

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use triton_kit::{
    layers,
    serve::{self, Drained},
};

/// A service on a free port.
struct Service {
    origin: String,
    stop: CancellationToken,
    served: JoinHandle<Drained>,
}

impl Service {
    async fn start(router: Router) -> Self {
        Self::start_with_drain(router, Duration::from_secs(5)).await
    }

    async fn start_with_drain(router: Router, drain_timeout: Duration) -> Self {
        Self::start_whole(layers::layers(router, "test").into(), drain_timeout).await
    }

    async fn start_whole(service: triton_kit::Service, drain_timeout: Duration) -> Self {
        let listener = serve::bind("--listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve::serve(listener, service, stop.clone(), drain_timeout));
        Self { origin, stop, served }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        client().get(self.url(path)).send().await.unwrap()
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}
