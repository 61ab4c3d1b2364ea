//! Connections for reading blobs: driven by whoever reads, so that content passes through no other task on its way.
//!
//! For everything else there is `reqwest`, whose connections are tasks of their own. That costs a blob of 200 KiB a tenth
//! of its time.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::CONNECT_TIMEOUT;

/// The most bytes that one read takes from a connection. A larger piece is fewer turns; a smaller one is still in the
/// processor's cache when it is checked and sent on, which made a relay of 1 MiB a quarter cheaper.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Idle connections that are kept to one node.
const IDLE_MAX: usize = 128;
/// How long an idle connection is kept; nodes close theirs later, so that a request rarely meets a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer, in words.
#[derive(Debug)]
pub(super) struct LaneError(String);

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<hyper::Error> for LaneError {
    fn from(error: hyper::Error) -> Self {
        // hyper's own text names the step; the cause says what happened.
        Self(std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
    }
}

/// Idle connections by `host:port`. Cloning is cheap; all clones share them.
#[derive(Clone, Default)]
pub(super) struct Lanes {
    idle: Arc<Mutex<HashMap<String, VecDeque<Idle>>>>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("nodes", &self.lock().len()).finish()
    }
}

struct Idle {
    lane: Lane,
    since: Instant,
}

/// A connection that does something only while it is polled.
type Driven = Pin<Box<Connection<TokioIo<TcpStream>, Empty<Bytes>>>>;

/// One connection, with at most one request on it.
struct Lane {
    sender: SendRequest<Empty<Bytes>>,
    /// `None` once it has ended, for it must not be polled again.
    connection: Option<Driven>,
}

impl Lanes {
    /// Sends a request whose target is a path and whose `Host` is `authority`; answers when the head of the answer is there.
    ///
    /// A connection that turns out closed when it is used again is replaced by a new one, which is why this is for requests
    /// that may be sent twice.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn send(
        &self,
        authority: &str,
        request: &Request<Empty<Bytes>>,
    ) -> Result<(http::response::Parts, LaneBody), LaneError> {
        if let Some(mut lane) = self.take(authority) {
            match lane.exchange(request.clone()).await {
                Ok(response) => return Ok(self.body(authority, lane, response)),
                // What ended this one has most likely ended the others, too.
                Err(_) => drop(self.lock().remove(authority)),
            }
        }
        let mut lane = Lane::connect(authority).await?;
        let response = lane.exchange(request.clone()).await?;
        Ok(self.body(authority, lane, response))
    }

    fn body(&self, authority: &str, lane: Lane, response: Response<Incoming>) -> (http::response::Parts, LaneBody) {
        let (head, incoming) = response.into_parts();
        let body = LaneBody { incoming, lane: Some(lane), lanes: self.clone(), authority: authority.to_owned() };
        (head, body)
    }

    fn take(&self, authority: &str) -> Option<Lane> {
        let mut all = self.lock();
        let idle = all.get_mut(authority)?;
        prune(idle, Instant::now());
        idle.pop_back().map(|idle| idle.lane)
    }

    fn keep(&self, authority: &str, lane: Lane) {
        let now = Instant::now();
        let mut all = self.lock();
        // Of every node: to one that has left nobody will look again.
        all.retain(|other, idle| {
            prune(idle, now);
            !idle.is_empty() || other == authority
        });
        let idle = all.entry(authority.to_owned()).or_default();
        if idle.len() < IDLE_MAX {
            idle.push_back(Idle { lane, since: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Idle>>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what has been idle for too long; the oldest is in front.
fn prune(idle: &mut VecDeque<Idle>, now: Instant) {
    while idle.front().is_some_and(|idle| now.duration_since(idle.since) > IDLE_TIMEOUT) {
        idle.pop_front();
    }
}

impl Lane {
    async fn connect(authority: &str) -> Result<Self, LaneError> {
        // A URL without a port means this one.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| LaneError("no connection in time".to_owned()))?;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| LaneError(error.to_string()))?;
        let mut builder = http1::Builder::new();
        let (sender, connection) = builder.max_buf_size(READ_BYTES_MAX).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// Sends the request and drives the connection until the head of the answer is there.
    async fn exchange(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, LaneError> {
        let mut response = pin!(self.sender.send_request(request));
        let connection = &mut self.connection;
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            drive(connection, cx);
            response.as_mut().poll(cx)
        });
        Ok(answered.await?)
    }
}

/// Lets the connection do what it can; what ends it shows in the answer or its body.
fn drive(connection: &mut Option<Driven>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
        *connection = None;
    }
}

/// The body of an answer; the connection goes back when all of it was read.
pub(super) struct LaneBody {
    incoming: Incoming,
    lane: Option<Lane>,
    lanes: Lanes,
    authority: String,
}

impl fmt::Debug for LaneBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneBody").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl LaneBody {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    Ok(_) | Err(_) => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Gives the connection back where the answer is over and the other side keeps it open.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let Some(mut lane) = self.lane.take() else { return };
        drive(&mut lane.connection, cx);
        if lane.connection.is_some() && lane.sender.is_ready() {
            self.lanes.keep(&self.authority, lane);
        }
    }
}

impl Stream for LaneBody {
    type Item = Result<Bytes, LaneError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut polled = self.poll_incoming(cx);
        if polled.is_pending() {
            if let Some(lane) = &mut self.lane {
                drive(&mut lane.connection, cx);
            }
            polled = self.poll_incoming(cx);
        }
        let item = ready!(polled);
        // With the last bytes, as hardly anybody asks for more than was announced.
        if item.as_ref().is_none_or(Result::is_ok) && self.incoming.is_end_stream() {
            self.finish(cx);
        }
        Poll::Ready(item.map(|chunk| chunk.map_err(LaneError::from)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn connections_to_a_node_that_nobody_asks_any_more_are_closed() {
        let (lanes, mut nodes) = (Lanes::default(), Vec::new());
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            nodes.push((listener.local_addr().unwrap().to_string(), listener));
        }
        let [(gone, gone_listener), (used, _used_listener)] = nodes.as_slice() else { panic!("two nodes") };
        for authority in [gone, used] {
            lanes.keep(authority, Lane::connect(authority).await.unwrap());
        }
        lanes.keep(used, Lane::connect(used).await.unwrap());
        assert_eq!(lanes.lock().values().map(VecDeque::len).sum::<usize>(), 3);
        for idle in lanes.lock().values_mut().flatten() {
            idle.since = idle.since.checked_sub(IDLE_TIMEOUT + Duration::from_secs(1)).unwrap();
        }
        lanes.keep(used, Lane::connect(used).await.unwrap());
        let left: Vec<_> = lanes.lock().iter().map(|(authority, idle)| (authority.clone(), idle.len())).collect();
        assert_eq!(left, [(used.clone(), 1)]);
        let (mut connection, _) = gone_listener.accept().await.unwrap();
        let end = timeout(Duration::from_secs(30), connection.read(&mut [0; 1])).await;
        assert_eq!(end.unwrap().unwrap(), 0, "the node sees the end of the connection");
    }
}
