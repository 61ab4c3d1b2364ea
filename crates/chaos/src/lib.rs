//! Dev-only: viewers, uploaders and an admin at work while a nemesis kills and cuts; counts what it cost.
//!
//! A [`Fleet`] is a whole installation that can be harmed: processes of this machine, or the containers of compose.yaml.
//! The workload and the checks at the end are the same for both. Everything random comes from one seed.

mod admin;
pub mod blobs;
mod breach;
mod clip;
mod editor;
mod fleet;
mod harm;
mod latency;
mod ledger;
mod nemesis;
mod observer;
mod post;
mod probe;
mod replicas;
mod report;
mod run;
mod schedule;
mod searcher;
mod stage;
mod tus;
mod uploader;
mod verdict;
mod viewer;
mod visit;

pub use breach::Breach;
pub use fleet::{Compose, Fleet, Processes, ProcessesOptions, Site, StorageAddress};
pub use harm::{Harm, Kind, Part, Parts};
pub use run::{Outcome, Plan, run};
pub use schedule::{Deck, Step, schedule};
