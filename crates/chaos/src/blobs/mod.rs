//! The fault suite: blobs written, read and deleted through the ring while nodes, links, clocks, disks and the coordinator
//! fail, in the manner of the set tests that Garage runs under Jepsen.
//!
//! The storage nodes and the coordinator are processes; the clients are the product's own ring client, in this process.
//! One seed is one run: a scenario, a script of strikes drawn from the seed alone, ten seconds of trouble, and then a look
//! at every key on every node. What is checked:
//!
//! - a write that was acknowledged is read byte for byte until its delete begins;
//! - a delete that was acknowledged stays, at rest on every node, and at once where every holder had it;
//! - a write that was not acknowledged is whole or absent;
//! - while at most one node of four is harmed, no read fails or takes long.

mod blows;
mod books;
mod client;
mod clock;
mod content;
mod counts;
mod disk;
mod ending;
mod grounds;
mod log;
mod nemesis;
mod reader;
mod report;
mod run;
mod scenario;
mod scene;
mod script;
mod strike;
mod tally;
mod weather;
mod writer;

pub use counts::Broken;
pub use report::{ReadLimits, report};
pub use run::{Plan, run};
pub use scenario::{Scenario, Trouble};
pub use script::Script;
pub use strike::{Step, Strike};
pub use tally::Tally;
