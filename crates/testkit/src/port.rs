//! Ports for servers that must be told one.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the kernel takes ports for outgoing connections: one of those could take ours in between.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A TCP port on 127.0.0.1 that nobody listens on right now, below 32768.
///
/// Prefer port 0 where the service can report what it got: between this answer and its use another process may take it.
/// Test processes begin at different ports, so that this is rare.
pub fn free_port() -> u16 {
    let spread = u16::try_from(std::process::id().wrapping_mul(257) % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let offset = spread.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return FIRST + offset;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}
