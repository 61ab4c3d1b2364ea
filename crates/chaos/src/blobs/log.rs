//! The log of a run, on standard error.

use std::time::Duration;

/// One line.
#[expect(clippy::print_stderr, reason = "the log of the program")]
pub(super) fn line(at: Duration, text: &str) {
    eprintln!("{:>7.3} {text}", at.as_secs_f32());
}
