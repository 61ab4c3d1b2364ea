//! TritonTube's web service: REST API, catalog, transcode pipeline, cluster control and the embedded page.

pub mod app;
pub mod captions;
pub mod catalog;
pub mod cluster;
pub mod config;
pub mod hot;
pub mod janitor;
pub mod journal;
mod lead;
pub mod membership;
mod moving;
mod original;
pub mod pipeline;
mod problem;
pub mod ring;
pub mod routes;
pub mod sandbox;
pub mod service;
pub mod source;
pub mod store;
pub mod upload;
pub mod work;
