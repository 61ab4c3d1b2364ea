//! Why etcd could not do what it was asked.

use std::time::Duration;

use etcd_client::Error as ClientError;
use thiserror::Error;

use crate::store::StoreError;

/// Why etcd could not do what it was asked.
#[derive(Debug, Error)]
pub enum EtcdError {
    /// A member refused, or could not be reached.
    #[error("etcd failed while {operation}")]
    Request {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// No member answered in time.
    #[error("etcd did not answer within {} ms while {operation}", waited.as_millis())]
    Timeout {
        /// What was being done.
        operation: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A member's answer lacks what every answer has.
    #[error("etcd gave no proper answer while {operation}")]
    Malformed {
        /// What was being done.
        operation: &'static str,
    },
    /// etcd has not answered for a while, so that it was not even tried.
    #[error("etcd does not answer, or has no quorum, since {} s", since.as_secs())]
    Away {
        /// For how long.
        since: Duration,
    },
    /// Too many changes are on their way already.
    #[error("too many changes wait for etcd")]
    Busy,
    /// The trace by which a repeated change is recognised is gone.
    #[error("whether the change was committed cannot be told any more")]
    Forgotten,
    /// The lease of this process has run out.
    #[error("the lease of this process has run out")]
    LeaseLost,
    /// The stream of changes ended.
    #[error("the watch ended: {reason}")]
    WatchEnded {
        /// Why, in etcd's words.
        reason: String,
    },
    /// The local database stands at a revision that etcd has dropped, or never had.
    #[error("the records have to be loaded anew: {reason}")]
    Reload {
        /// Why.
        reason: String,
    },
    /// The local database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EtcdError {
    /// Whether another member, or the same one later, may well do it.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Request { source, .. } => is_transient(source),
            _ => false,
        }
    }
}

/// A client's mistake stays one at every member; whatever else goes wrong may be the member's, or the moment's.
fn is_transient(error: &ClientError) -> bool {
    use etcd_client::Error as E;
    match error {
        // 3 is InvalidArgument, 11 OutOfRange, 12 Unimplemented, 16 Unauthenticated, 7 PermissionDenied.
        E::GRpcStatus(status) => !matches!(i32::from(status.code()), 3 | 7 | 11 | 12 | 16),
        E::InvalidArgs(_) | E::InvalidUri(_) | E::Utf8Error(_) => false,
        _ => true,
    }
}

/// Names the operation in the error of a request.
pub(super) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, EtcdError>;
}

impl<T> During<T> for Result<T, ClientError> {
    fn during(self, operation: &'static str) -> Result<T, EtcdError> {
        self.map_err(|source| EtcdError::Request { operation, source: Box::new(source) })
    }
}
