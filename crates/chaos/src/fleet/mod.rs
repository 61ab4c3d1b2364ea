//! An installation that can be harmed.

mod compose;
mod docker;
mod processes;

use std::future::Future;

use triton_api::{NodeUrl, secret::ClusterSecret};

use crate::harm::{Harm, Parts};

pub use compose::Compose;
pub use processes::{Processes, ProcessesOptions};

/// Where a fleet is reached.
#[derive(Debug, Clone)]
pub struct Site {
    /// The web services' origins, `http://host:port`; they stay the same when one is started again.
    pub webs: Vec<String>,
    /// The storage nodes, spare ones included.
    pub storage: Vec<StorageAddress>,
    /// Replicas wanted.
    pub replicas: u8,
    /// What signs the requests to nodes and admin routes.
    pub secret: Option<ClusterSecret>,
}

/// A storage node's addresses.
#[derive(Debug, Clone)]
pub struct StorageAddress {
    /// What the cluster calls it.
    pub theirs: NodeUrl,
    /// A way to it that is never cut.
    pub ours: NodeUrl,
    /// Its failure zone.
    pub zone: String,
}

/// Something that can be harmed and healed: processes of this machine, or containers.
///
/// At most one harm is done at a time, and healed before the next.
pub trait Fleet: Send {
    /// What there is to be harmed.
    fn parts(&self) -> Parts;

    /// Where it is reached.
    fn site(&self) -> Site;

    /// Does harm.
    fn harm(&mut self, harm: Harm) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Ends the harm; what was killed is started with the data it had.
    fn heal(&mut self, harm: Harm) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Whether everything that was harmed answers as before.
    fn is_well(&mut self, harm: Harm) -> impl Future<Output = bool> + Send;

    /// The member of etcd that leads now.
    fn etcd_leader(&mut self) -> impl Future<Output = Option<usize>> + Send;
}
