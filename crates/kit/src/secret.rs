//! The cluster secret on the service's side: where it comes from and what it guards.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::{OriginalUri, Request, State},
    middleware::{self, Next},
    response::Response,
};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use http::{HeaderMap, Method, Uri};
use thiserror::Error;
use triton_api::{
    ProblemType,
    secret::{ClusterSecret, SIGNATURE_HEADER, SignatureError, WeakSecretError},
};

use crate::problem::ApiError;

/// Where the cluster secret comes from; to be flattened into a service's arguments.
#[derive(Clone, Default, clap::Args)]
pub struct SecretArgs {
    /// The secret that all services of the cluster share (better in a file: arguments are visible to every user)
    #[arg(
        long,
        global = true,
        env = "TRITON_CLUSTER_SECRET",
        value_name = "TEXT",
        hide_env_values = true,
        hide_short_help = true
    )]
    cluster_secret: Option<String>,
    /// A file with the secret that all services of the cluster share
    // The parser of `PathBuf` refuses the empty text that `VARIABLE=` in an environment file gives.
    #[arg(
        long,
        global = true,
        env = "TRITON_CLUSTER_SECRET_FILE",
        value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    cluster_secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for SecretArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretArgs").field("cluster_secret_file", &self.cluster_secret_file).finish_non_exhaustive()
    }
}

/// Why the cluster secret cannot be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Two sources.
    #[error(
        "TRITON_CLUSTER_SECRET and TRITON_CLUSTER_SECRET_FILE are both set. Unset one (--cluster-secret, --cluster-secret-file)."
    )]
    Both,
    /// The file cannot be read.
    #[error("--cluster-secret-file (TRITON_CLUSTER_SECRET_FILE): cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too short.
    #[error("TRITON_CLUSTER_SECRET or the file of TRITON_CLUSTER_SECRET_FILE: {0}")]
    Weak(#[from] WeakSecretError),
    /// Others could reach the service without one.
    #[error(
        "{flag} {address} can be reached from other machines, and there is no cluster secret. Set TRITON_CLUSTER_SECRET_FILE \
         (--cluster-secret-file) to a file with the same secret for every service (`openssl rand -hex 32` makes one), or \
         listen on 127.0.0.1."
    )]
    Exposed {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
}

impl SecretArgs {
    /// The secret, where one is set. An empty text counts as not set.
    pub fn load(&self) -> Result<Option<ClusterSecret>, SecretError> {
        let text = self.cluster_secret.as_deref().filter(|text| !text.is_empty());
        let file = self.cluster_secret_file.as_deref().filter(|path| *path != Path::new(""));
        match (text, file) {
            (Some(_), Some(_)) => Err(SecretError::Both),
            (Some(text), None) => Ok(Some(text.parse()?)),
            (None, Some(path)) => {
                let text =
                    fs::read_to_string(path).map_err(|source| SecretError::Read { path: path.into(), source })?;
                Ok(Some(text.parse()?))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Refuses an address that other machines reach while there is no secret; `flag` (`--listen`) is named in the refusal.
pub fn check_listen(
    flag: &'static str,
    address: SocketAddr,
    secret: Option<&ClusterSecret>,
) -> Result<(), SecretError> {
    if address.ip().is_loopback() || secret.is_some() {
        return Ok(());
    }
    Err(SecretError::Exposed { flag, address })
}

/// Lets only signed requests through to the routes that `router` has so far; everybody's, where there is no secret.
///
/// This is one of the two places where who may do what is decided; accounts will be the other.
pub fn require_signature<S>(router: Router<S>, secret: Option<ClusterSecret>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    match secret {
        Some(secret) => router.route_layer(middleware::from_fn_with_state(secret, guard)),
        None => router,
    }
}

/// Whether a request may pass that was not routed: the same decision as that of [`require_signature`], for a fast path.
pub fn is_permitted(secret: Option<&ClusterSecret>, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    secret.is_none_or(|secret| check_signature(secret, method, uri, headers).is_ok())
}

async fn guard(State(secret): State<ClusterSecret>, request: Request, next: Next) -> Result<Response, ApiError> {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    check_signature(&secret, request.method(), uri, request.headers())?;
    Ok(next.run(request).await)
}

/// Checks the signature of one request, for routes that take signed requests among others.
pub fn check_signature(
    secret: &ClusterSecret,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let header = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    secret
        .verify(method.as_str(), target, header, jiff::Timestamp::now())
        .map_err(|error: SignatureError| ApiError::new(ProblemType::Unauthorized, error.to_string()))
}
