//! How long a command that follows long work puts up with a server that does not answer.

use std::time::{Duration, Instant};

use triton_api::client::ClientError;

use crate::failure::Failure;

/// A restart of web-svc fits in; longer and the person should know.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Patience {
    failing_since: Option<Instant>,
}

impl Patience {
    /// The server answers.
    pub(crate) fn restore(&mut self) {
        self.failing_since = None;
    }

    /// The server did not answer, or not with what it should: that is borne for a while. A refusal is not.
    pub(crate) fn spend(&mut self, error: ClientError) -> Result<(), Failure> {
        let passing = match &error {
            ClientError::Problem(problem) => problem.status >= 500 || problem.status == 429,
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
            ClientError::Unexpected { status, .. } => status.is_server_error() || status.is_success(),
        };
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if passing && since.elapsed() < PATIENCE { Ok(()) } else { Err(error.into()) }
    }
}
