//! TritonTube's web service: REST API, catalog, transcode pipeline, cluster control and the embedded page.

pub mod catalog;
pub mod journal;
pub mod pipeline;
pub mod ring;
pub mod store;
