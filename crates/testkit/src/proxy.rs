//! A TCP proxy in front of a service that can misbehave in the ways that machines and networks do.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
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
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{free_port, owner::Socket};

/// What time has saved up passes a [`Fault::Trickle`] at once: the head of an answer, say.
const SAVED_MAX: Duration = Duration::from_secs(1);

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
    /// Forwards so many bytes of answers in a second (over all connections); what a second has saved up passes at once.
    Trickle(u64),
}

/// What becomes of the connections of processes that are barred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They break, as with a firewall that rejects.
    Reject,
    /// Nothing arrives any more, as with a cable that is pulled out.
    Swallow,
}

#[derive(Debug)]
struct Barred {
    pids: Vec<u32>,
    cut: Cut,
}

impl Barred {
    fn concerns(&self, cut: Cut, client: &Socket) -> bool {
        self.cut == cut && client.is_held_by(&self.pids)
    }
}

#[derive(Debug)]
struct State {
    upstream: watch::Sender<SocketAddr>,
    fault: watch::Sender<Fault>,
    barred: watch::Sender<Option<Barred>>,
    answer_bytes: AtomicU64,
    /// When all that has passed a [`Fault::Trickle`] will have been paid for by time.
    paid: Mutex<Instant>,
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
            upstream: watch::Sender::new(upstream),
            fault: watch::Sender::new(Fault::None),
            barred: watch::Sender::new(None),
            answer_bytes: AtomicU64::new(0),
            paid: Mutex::new(Instant::now()),
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

    /// Forwards new connections to another address: that of a service that came back elsewhere.
    pub fn redirect(&self, upstream: SocketAddr) {
        self.state.upstream.send_replace(upstream);
    }

    /// Cuts off some processes of this machine, open connections too: a network that is cut between two parts only.
    pub fn bar(&self, pids: Vec<u32>, cut: Cut) {
        self.state.barred.send_replace(Some(Barred { pids, cut }));
    }

    /// Lets everybody pass again.
    pub fn admit(&self) {
        self.state.barred.send_replace(None);
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

    /// Bytes of answers that came through since [`Self::fault`].
    pub fn answer_bytes(&self) -> u64 {
        self.state.answer_bytes.load(Ordering::SeqCst)
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
    let (Ok(theirs), Ok(ours)) = (client.peer_addr(), client.local_addr()) else { return };
    let Some(socket) = Socket::between(theirs, ours) else { return };
    let upstream = *state.upstream.borrow();
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut barred = state.barred.subscribe();
    // The end of either direction ends both: that is what a cut looks like.
    tokio::select! {
        _ = forward_requests(&state, &socket, client_read, server_write) => {}
        _ = forward_answers(&state, &socket, server_read, client_write) => {}
        _ = barred.wait_for(|barred| barred.as_ref().is_some_and(|barred| barred.concerns(Cut::Reject, &socket))) => {}
    }
}

async fn unless_stalled(state: &State, client: &Socket) {
    let (mut fault, mut barred) = (state.fault.subscribe(), state.barred.subscribe());
    // Cancel safe; the senders live as long as `state`.
    fault.wait_for(|fault| *fault != Fault::Stall).await.unwrap();
    let passes = |barred: &Option<Barred>| !barred.as_ref().is_some_and(|barred| barred.concerns(Cut::Swallow, client));
    barred.wait_for(passes).await.unwrap();
}

async fn forward_requests(
    state: &State,
    client: &Socket,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        if piece.starts_with(b"GET /v1/blobs/") {
            state.reads.fetch_add(1, Ordering::SeqCst);
        }
        unless_stalled(state, client).await;
        to.write_all(&piece[..len]).await?;
    }
}

async fn forward_answers(
    state: &State,
    client: &Socket,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let len = from.read(&mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        unless_stalled(state, client).await;
        let fault = *state.fault.borrow();
        let sent = state.answer_bytes.load(Ordering::SeqCst);
        let allowed = match fault {
            Fault::CutAfter(limit) | Fault::StallAfter(limit) => limit.saturating_sub(sent).min(len as u64),
            Fault::Delay(delay) => {
                sleep(delay).await;
                len as u64
            }
            Fault::Trickle(_) => {
                trickle(state, &piece[..len], &mut to).await?;
                continue;
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
                unless_stalled(state, client).await;
            }
            return Ok(());
        }
    }
}

/// Forwards a piece in ten drops a second, for as long as that is the fault.
async fn trickle(state: &State, mut piece: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
    while !piece.is_empty() {
        let fault = *state.fault.borrow();
        let len = match fault {
            Fault::Trickle(bytes_per_second) => usize::try_from(bytes_per_second / 10).unwrap().clamp(1, piece.len()),
            _ => piece.len(),
        };
        let (drop, rest) = piece.split_at(len);
        if let Fault::Trickle(bytes_per_second) = fault {
            let wait = pay(state, drop.len() as u64, bytes_per_second);
            let mut changes = state.fault.subscribe();
            // Cancel safe: neither takes anything.
            tokio::select! {
                () = sleep(wait) => {}
                _ = changes.wait_for(|now| *now != fault) => {}
            }
        }
        to.write_all(drop).await?;
        state.answer_bytes.fetch_add(drop.len() as u64, Ordering::SeqCst);
        piece = rest;
    }
    Ok(())
}

/// How long these bytes have to wait for their turn.
fn pay(state: &State, bytes: u64, bytes_per_second: u64) -> Duration {
    let now = Instant::now();
    let mut paid = state.paid.lock().unwrap();
    *paid = (*paid).max(now) + Duration::from_micros(bytes * 1_000_000 / bytes_per_second.max(1));
    paid.saturating_duration_since(now + SAVED_MAX)
}
