//! The wire of TritonTube: ids, paths, REST types, problems and typed clients.
//!
//! Server, client and the OpenAPI documents use the types of this crate alike, so that they cannot disagree.
//! It knows HTTP as a shape only: no server, no database, no file system.

pub mod blob;
pub mod caption;
pub mod client;
pub mod cluster;
pub mod id;
pub mod job;
pub mod language;
pub mod layout;
pub mod metadata;
pub mod problem;
pub mod range;
pub mod rebalance;
pub mod secret;
pub mod storage;
pub mod sums;
pub mod upload;
pub mod video;

pub use blob::{BlobHash, BlobKey};
pub use id::{Epoch, Generation, NodeId, NodeUrl, PartitionId, VideoId};
pub use language::Language;
pub use problem::{Problem, ProblemType};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list. Every list of every service has this shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries, in the order of the list.
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; null on the last page.
    pub next_cursor: Option<String>,
}
