//! A storage node: immutable blobs on one disk, over HTTP.
//!
//! [`serve`] starts a node in this process; the binary does little more. How blobs lie on the disk is written down in
//! `storage-svc/README.md`.

mod background;
mod blocking;
mod cache;
mod config;
mod content;
mod courtesy;
mod foreground;
mod memory;
mod node;
mod pace;
mod presence;
mod problem;
mod pull;
mod receive;
mod reconcile;
mod release;
mod routes;
mod scrub;
mod second_look;
mod serve;
mod store;
mod upkeep;

pub use config::{Args, Config};
pub use routes::openapi;
pub use serve::{Running, StartError, serve};
pub use store::{OpenError, StoreError, blob_file};
