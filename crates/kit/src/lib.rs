//! Service plumbing that web-svc and storage-svc share.
//!
//! A service's `main` reads: [`telemetry::init`], [`metrics::init`], [`secret::SecretArgs::load`],
//! [`secret::check_listen`], [`serve::bind`], build the router, [`layers::layers`], [`serve::announce`],
//! [`shutdown::signal`] beside [`serve::serve`].

pub mod document;
pub mod extract;
pub mod health;
pub mod layers;
pub mod memory;
pub mod metrics;
pub mod problem;
pub mod request_id;
pub mod secret;
pub mod serve;
pub mod service;
pub mod shutdown;
pub mod step;
pub mod telemetry;

pub use problem::ApiError;
pub use service::Service;
pub use step::MigrationStep;
