//! The metadata of an installation as a file: JSON lines that one installation writes and another one takes.
//!
//! ```text
//! {"format":"tritontube-metadata","v":1,"revision":…,"exported_at":"…","layout":{…}}
//! {"key":"plan/…","value":{…}}
//! {"key":"video/…","value":{…}}
//! {"records":2,"blake3":"…"}
//! ```
//!
//! The first line says who wrote it, the last one how many records there are, with the BLAKE3 hash of every byte before it:
//! a file that was cut or altered is known as such. [`Writer`] and [`Reader`] are the only places that know the form.

mod error;
mod reader;
mod record;
mod writer;

pub use error::MetadataFileError;
pub use reader::Reader;
pub use record::{MetadataHeader, MetadataRecord, MetadataTrailer, Order, is_portable};
pub use writer::Writer;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::NodeUrl;

/// Paths of the metadata API.
pub mod route {
    /// Export, import.
    pub const METADATA: &str = "/api/v1/admin/metadata";
}

/// The media type of the file: one JSON document a line.
pub const MEDIA_TYPE: &str = "application/x-ndjson";
/// The first word of the file.
pub const FORMAT: &str = "tritontube-metadata";
/// The version of the form that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// The longest line in bytes, its end included: a record of the journal's largest size, and the layout of a thousand nodes.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest key of a record in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// How to import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Where storage nodes of the exporting installation answer now, separated by commas; which is which is asked there.
    /// Nodes that are not among them are looked for at the addresses in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "http://10.0.0.10:8090")]
    pub nodes: Option<String>,
    /// Take the records alone: the content is here already, or is to be brought some other way.
    #[serde(default)]
    pub without_nodes: bool,
}

impl ImportQuery {
    /// An import that looks for nodes at these addresses first.
    pub fn new(nodes: &[NodeUrl], without_nodes: bool) -> Self {
        let list: Vec<&str> = nodes.iter().map(NodeUrl::as_str).collect();
        Self { nodes: Some(list.join(",")).filter(|list| !list.is_empty()), without_nodes }
    }

    /// The addresses.
    ///
    /// # Errors
    /// The first one that is none.
    pub fn node_urls(&self) -> Result<Vec<NodeUrl>, crate::id::ParseIdError> {
        let list = self.nodes.as_deref().unwrap_or_default();
        list.split(',').filter(|url| !url.is_empty()).map(str::parse).collect()
    }
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataImport {
    /// Records written.
    pub imported: u64,
    /// Records that were here already.
    pub skipped: u64,
    /// Storage nodes of the exporting installation that joined this one. They hold no partition: their content moves to the
    /// nodes that do, and is read from them meanwhile.
    pub nodes_added: u64,
}
