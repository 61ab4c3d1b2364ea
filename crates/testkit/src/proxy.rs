//! A TCP proxy in front of a service that can misbehave in the ways that machines and networks do.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::free_port;

/// How much of a connection's first request is looked at to tell whose it is.
const HEAD_BYTES_MAX: usize = 2048;

/// How the proxy behaves, on open connections too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Not at all.
    None,
    /// Accepts and never answers, like a process that got SIGSTOP.
    Stall,
    /// Forwards this many bytes of answers (over all connections), then cuts every connection.
    CutAfter(u64),
    /// Forwards this many bytes of answers, then stalls.
    StallAfter(u64),
    /// Flips one bit of the answers' byte at this position, counted over all connections.
    FlipAt(u64),
    /// Holds each piece of an answer for this long.
    Delay(Duration),
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
    /// Connections whose first request contains one of these are broken.
    refused: watch::Sender<Vec<String>>,
    answer_bytes: AtomicU64,
    reads: AtomicU64,
}

/// A proxy in this process; its tasks end with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens; the same after [`Self::revive`].
    pub addr: SocketAddr,
    state: Arc<State>,
    accepting: Option<AbortOnDropHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`, which need not be there yet.
    pub async fn start(upstream: SocketAddr) -> Self {
        let state = State {
            upstream,
            fault: watch::Sender::new(Fault::None),
            refused: watch::Sender::new(Vec::new()),
            answer_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).await.unwrap();
        let mut proxy = Self { addr: listener.local_addr().unwrap(), state: Arc::new(state), accepting: None };
        proxy.accept(listener);
        proxy
    }

    /// Behaves like this from now on; the counts of bytes begin anew.
    pub fn fault(&self, fault: Fault) {
        self.state.answer_bytes.store(0, Ordering::SeqCst);
        self.state.fault.send_replace(fault);
    }

    /// Breaks connections, open ones too, whose first request contains one of these texts, such as a header that names the
    /// sender: for a network that is cut between two parts only. With none, all may pass.
    pub fn refuse(&self, texts: Vec<String>) {
        self.state.refused.send_replace(texts);
    }

    /// Refuses connections and breaks the open ones, like a machine whose process was killed.
    pub async fn kill(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            assert!(accepting.await.unwrap_err().is_cancelled());
        }
    }

    /// Whether it accepts connections.
    pub fn is_alive(&self) -> bool {
        self.accepting.is_some()
    }

    /// Accepts connections again, at the same address.
    pub async fn revive(&mut self) {
        if !self.is_alive() {
            let listener = TcpListener::bind(self.addr).await.unwrap();
            self.accept(listener);
        }
    }

    /// GET requests for blobs that came through.
    pub fn reads(&self) -> u64 {
        self.state.reads.load(Ordering::SeqCst)
    }

    fn accept(&mut self, listener: TcpListener) {
        let state = Arc::clone(&self.state);
        self.accepting = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(Arc::clone(&state), client));
            }
        })));
    }
}

async fn serve(state: Arc<State>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(state.upstream).await else { return };
    let mut head = [0; HEAD_BYTES_MAX];
    let Ok(len) = client.peek(&mut head).await else { return };
    let head = String::from_utf8_lossy(&head[..len]).into_owned();
    let mut refused = state.refused.subscribe();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    // The end of either direction ends both: that is what a cut looks like.
    tokio::select! {
        _ = forward_requests(&state, client_read, server_write) => {}
        _ = forward_answers(&state, server_read, client_write) => {}
        _ = refused.wait_for(|texts| texts.iter().any(|text| head.contains(text.as_str()))) => {}
    }
}

async fn unless_stalled(state: &State) {
    let mut fault = state.fault.subscribe();
    // Cancel safe; the sender lives as long as `state`.
    fault.wait_for(|fault| *fault != Fault::Stall).await.unwrap();
}

async fn forward_requests(state: &State, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        if piece.starts_with(b"GET /v1/blobs/") {
            state.reads.fetch_add(1, Ordering::SeqCst);
        }
        unless_stalled(state).await;
        to.write_all(&piece[..len]).await?;
    }
}

async fn forward_answers(state: &State, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let len = from.read(&mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        unless_stalled(state).await;
        let fault = *state.fault.borrow();
        let sent = state.answer_bytes.load(Ordering::SeqCst);
        let allowed = match fault {
            Fault::CutAfter(limit) | Fault::StallAfter(limit) => limit.saturating_sub(sent).min(len as u64),
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                len as u64
            }
            Fault::None | Fault::Stall | Fault::FlipAt(_) => len as u64,
        };
        if let Fault::FlipAt(at) = fault
            && (sent..sent + len as u64).contains(&at)
        {
            piece[usize::try_from(at - sent).unwrap()] ^= 1;
        }
        to.write_all(&piece[..usize::try_from(allowed).unwrap()]).await?;
        state.answer_bytes.fetch_add(allowed, Ordering::SeqCst);
        if allowed < len as u64 {
            if matches!(fault, Fault::StallAfter(_)) {
                state.fault.send_if_modified(|now| {
                    let stalls = *now == fault;
                    if stalls {
                        *now = Fault::Stall;
                    }
                    stalls
                });
                unless_stalled(state).await;
            }
            return Ok(());
        }
    }
}
