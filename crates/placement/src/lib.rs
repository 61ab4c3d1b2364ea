//! Where blobs lie: from a key to a partition, from a partition to nodes, and from one layout to the next.
//!
//! Pure: no I/O, no clock, no randomness. The same input gives the same layout on every machine.
//!
//! - [`partition_of`] maps a key to its partition, for ever.
//! - [`layout::first`] and [`layout::change`] build the table from partitions to nodes; see [`layout`] for what they promise.
//! - [`verify`] checks a layout that came from elsewhere.
//! - [`movement()`], [`movement_lower_bound`] and [`balance`] say what a change costs and what it gains.

mod assign;
mod error;
mod flow;
pub mod layout;
mod movement;
mod partition;
mod quota;
mod verify;

pub use error::PlacementError;
pub use movement::{Movement, PartitionMove, balance, movement, movement_lower_bound};
pub use partition::partition_of;
pub use verify::{digest, verify};
