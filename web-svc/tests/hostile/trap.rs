//! A port on which nobody must ever call.

use std::net::TcpListener;

pub(crate) struct Trap(TcpListener);

impl Trap {
    pub(crate) fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The kernel keeps connections until they are accepted, so that none is missed.
    pub(crate) fn was_sprung(&self) -> bool {
        self.0.accept().is_ok()
    }
}
