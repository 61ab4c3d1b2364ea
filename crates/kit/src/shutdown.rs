//! When to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal as listen};

/// Waits for SIGINT or SIGTERM and says which came.
///
/// Listening begins when this is first polled; a signal that comes earlier ends the process, as usual.
pub async fn signal() -> io::Result<&'static str> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    // Cancel safe: `recv` loses no signal when dropped.
    let name = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    Ok(name)
}
