//! Accepting connections, and stopping without breaking a request.

use std::{convert::Infallible, fmt, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{metrics, service::Service};

/// The longest silence between connecting, or the end of an answer, and the whole head of the next request.
///
/// Longer than the 30 s for which our clients keep an idle connection, so that they never send into a closing one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The most connections at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8192;

/// The pause after `accept` failed, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the samples of histograms are gathered; they pile up otherwise.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("{flag}: cannot listen on {address}: {source}. Is the port taken? Port 0 picks a free one.")]
pub struct BindError {
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Listens on an address, port 0 being any free one; `flag` (`--listen`) is named when it fails.
pub async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { flag, address, source })
}

/// Prints where a service answers to standard output, as one line: `web-svc listens on http://127.0.0.1:8080`.
pub fn announce(service: &str, listener: &TcpListener) -> io::Result<()> {
    use io::Write as _;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "{service} listens on http://{address}")
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that finished what they did.
    pub finished: usize,
    /// Connections that were cut at the deadline.
    pub cut: usize,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections finished, {} cut at the deadline", self.finished, self.cut)
    }
}

/// Serves until `stop`, then lets the requests that run finish for at most `drain_timeout`.
///
/// Requests that are routed find the caller's address as `ConnectInfo<SocketAddr>`. Answers without an end (server-sent
/// events) should end themselves on `stop`; those that do not are cut at the deadline.
pub async fn serve(
    listener: TcpListener,
    service: impl Into<Service>,
    stop: CancellationToken,
    drain_timeout: Duration,
) -> Drained {
    raise_open_files();
    let service = service.into();
    let mut connections = JoinSet::new();
    let mut upkeep = time::interval(UPKEEP_EVERY);
    loop {
        // Cancel safe: `cancelled`, `accept`, `join_next` and `tick` lose nothing when dropped.
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = upkeep.tick() => metrics::upkeep(),
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, service.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = drain(connections, drain_timeout).await;
    tracing::info!(finished = drained.finished, cut = drained.cut, "stopped serving");
    drained
}

/// A process mostly begins with a limit of 1,024 open files, and may have many more: each connection is one.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

async fn routed(router: Router, request: http::Request<Incoming>, peer: SocketAddr) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}

async fn drain(mut connections: JoinSet<()>, timeout: Duration) -> Drained {
    let mut finished = 0;
    let all = async {
        while connections.join_next().await.is_some() {
            finished += 1;
        }
    };
    let in_time = time::timeout(timeout, all).await.is_ok();
    let cut = if in_time { 0 } else { connections.len() };
    connections.shutdown().await;
    Drained { finished, cut }
}

async fn connection(stream: TcpStream, peer: SocketAddr, service: Service, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "no TCP_NODELAY");
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        // Cloned only where it is needed: all threads share its count.
        let answer = service.at_once(&request).ok_or_else(|| service.router.clone());
        async move {
            match answer {
                Ok(response) => Ok(response),
                Err(router) => routed(router, request, peer).await,
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // Cancel safe: `cancelled` is, and the connection is polled on after it.
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Callers hang up all the time: not a failure of ours.
        tracing::debug!(%error, %peer, "connection broke");
    }
}
