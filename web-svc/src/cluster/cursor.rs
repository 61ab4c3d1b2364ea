//! How far the pulls of unfinished partitions have come. Pure.

use serde::{Deserialize, Serialize};
use triton_api::{NodeId, PartitionId, layout::Rest};

/// Cursors that a record keeps. A pull whose cursor was dropped lists its source from the beginning, and copies nothing twice.
const CURSORS_MAX: usize = 64;

/// One node that pulls one partition from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What is pulled.
    pub partition: PartitionId,
    /// The node that pulls.
    pub to: NodeId,
    /// The node that it pulls from.
    pub from: NodeId,
}

/// How far a pull has come in the inventory of its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which pull.
    #[serde(flatten)]
    pub route: Route,
    /// Everything up to this key is at its new holder.
    pub after: String,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The cursors of a migration, those that moved last at the end.
///
/// A cursor holds for as long as the source gets no older keys: writes of the older epoch are fenced off before anything is
/// pulled. What slips in all the same is found by the last look before the commit, which compares digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursors(Vec<Cursor>);

impl Cursors {
    /// Where a pull goes on.
    pub fn after(&self, route: Route) -> Option<&str> {
        self.0.iter().find(|cursor| cursor.route == route).map(|cursor| cursor.after.as_str())
    }

    /// The pull has come to a key.
    pub fn advance(&mut self, route: Route, after: String) {
        self.0.retain(|cursor| cursor.route != route);
        if self.0.len() == CURSORS_MAX {
            self.0.remove(0);
        }
        self.0.push(Cursor { route, after, rest: Rest::new() });
    }

    /// The pull is through, or begins anew.
    pub fn forget(&mut self, route: Route) {
        self.0.retain(|cursor| cursor.route != route);
    }

    /// The partition needs no cursors any more.
    pub fn finish(&mut self, partition: PartitionId) {
        self.0.retain(|cursor| cursor.route.partition != partition);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(partition: u16, to: u128) -> Route {
        Route { partition: PartitionId::new(partition), to: NodeId::from_u128(to), from: NodeId::from_u128(9) }
    }

    #[test]
    fn a_pull_goes_on_after_its_last_key_and_a_finished_partition_is_forgotten() {
        let mut cursors = Cursors::default();
        for (route, key) in [(route(1, 1), "a"), (route(1, 2), "b"), (route(2, 1), "c"), (route(1, 1), "d")] {
            cursors.advance(route, key.to_owned());
        }
        let read: Cursors = serde_json::from_str(&serde_json::to_string(&cursors).unwrap()).unwrap();
        assert_eq!((&read, read.after(route(1, 1)), read.after(route(3, 1))), (&cursors, Some("d"), None));
        cursors.finish(PartitionId::new(1));
        assert_eq!((cursors.after(route(1, 2)), cursors.after(route(2, 1))), (None, Some("c")));
        cursors.forget(route(2, 1));
        assert!(cursors.is_empty());
    }

    #[test]
    fn the_record_stays_small_and_drops_what_moved_longest_ago() {
        let mut cursors = Cursors::default();
        for partition in 0..100 {
            cursors.advance(route(partition, 1), "k".to_owned());
            cursors.advance(route(0, 1), format!("{partition}"));
        }
        assert_eq!(cursors.0.len(), CURSORS_MAX);
        assert_eq!((cursors.after(route(0, 1)), cursors.after(route(1, 1))), (Some("99"), None));
    }
}
