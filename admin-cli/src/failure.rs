//! Why a command did not do what it was asked, as an exit code and a sentence.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use triton_api::{Problem, ProblemType, client::ClientError};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server or this machine could not do it.
    Failed(String),
    /// The command line is wrong in a way that only shows now.
    Usage(String),
    /// There is no such thing.
    NotFound(String),
    /// The server does not answer.
    Unreachable(String),
    /// Whoever read our output has gone: not worth a word.
    ReaderGone,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }

    /// Tells the person and returns the code for the shell.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Failed(text) | Self::Usage(text) | Self::NotFound(text) | Self::Unreachable(text) = self
            && writeln!(io::stderr(), "error: {text}").is_err()
        {
            // Standard error is closed: the exit code has to do.
        }
        ExitCode::from(self.code())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) if is_absent(&problem) => Self::NotFound(problem.detail),
            ClientError::Problem(problem) => Self::Failed(with_advice(&problem)),
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => Self::Unreachable(format!(
                "{error}. Is web-svc running? --server (TRITON_SERVER) says where to look for it."
            )),
            ClientError::Unexpected { .. } => Self::Unreachable(format!("{error}. Check --server (TRITON_SERVER).")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(format!("Cannot write the output: {error}.")),
        }
    }
}

fn is_absent(problem: &Problem) -> bool {
    matches!(problem.problem_type(), Some(ProblemType::NotFound | ProblemType::Gone))
}

/// The problem's own sentence, and what a person can do about it.
fn with_advice(problem: &Problem) -> String {
    let advice = match problem.problem_type() {
        Some(ProblemType::Unauthorized) => "Set TRITON_CLUSTER_SECRET_FILE to a file with the cluster's secret.",
        Some(ProblemType::PreconditionFailed | ProblemType::StaleEpoch) => {
            "Look at `tritonctl rebalance plan` again and apply that."
        }
        Some(ProblemType::Unavailable | ProblemType::TooManyRequests | ProblemType::Timeout) => {
            "Try again in a moment."
        }
        Some(ProblemType::Internal | ProblemType::Corrupt) => {
            let id = problem.instance.as_deref().unwrap_or("the request id");
            return format!("{} The log of web-svc has {id}.", problem.detail);
        }
        _ => return problem.detail.clone(),
    };
    format!("{} {advice}", problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: ProblemType) -> Failure {
        ClientError::Problem(Box::new(Problem::new(kind, "It is so."))).into()
    }

    #[test]
    fn problem_becomes_exit_code_and_advice() {
        assert_eq!(failure(ProblemType::NotFound), Failure::NotFound("It is so.".to_owned()));
        assert_eq!(failure(ProblemType::Infeasible), Failure::Failed("It is so.".to_owned()));
        assert_eq!(failure(ProblemType::Unavailable), Failure::Failed("It is so. Try again in a moment.".to_owned()));
        let gone = Failure::from(ClientError::Timeout { url: "http://h".to_owned() });
        assert_eq!(gone.code(), 4);
    }
}
