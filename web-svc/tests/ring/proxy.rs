//! A TCP proxy in front of a node that can misbehave in the ways that machines and networks do.

use std::{
    io,
    net::SocketAddr,
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
    answer_bytes: AtomicU64,
    reads: AtomicU64,
}

#[derive(Debug)]
pub struct Proxy {
    pub addr: SocketAddr,
    state: Arc<State>,
    accepting: Option<AbortOnDropHandle<()>>,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr) -> Self {
        let state = State {
            upstream,
            fault: watch::Sender::new(Fault::None),
            answer_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = Self { addr: listener.local_addr().unwrap(), state: Arc::new(state), accepting: None };
        proxy.accept(listener);
        proxy
    }

    pub fn fault(&self, fault: Fault) {
        self.state.answer_bytes.store(0, Ordering::SeqCst);
        self.state.fault.send_replace(fault);
    }

    /// Refuses connections and breaks the open ones, like a machine whose process was killed.
    pub async fn kill(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            assert!(accepting.await.unwrap_err().is_cancelled());
        }
    }

    pub async fn revive(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.accept(listener);
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
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    // The end of either direction ends both: that is what a cut looks like.
    tokio::select! {
        _ = forward_requests(&state, client_read, server_write) => {}
        _ = forward_answers(&state, server_read, client_write) => {}
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
