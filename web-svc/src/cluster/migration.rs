//! The life of a change of layout, as transitions between records. Pure.
//!
//! ```text
//!            apply                    commit                  finish
//!  {A, -} ----------> {A, B} copying --------> {B, -} reclaim --------> {B', -} no migration record
//!                        | abort
//!                        v
//!                     {B, A'} copying ---> as above
//! ```
//!
//! Epochs only grow, since nodes tell older layouts from newer by them. Aborting is therefore a migration too: while B was
//! written to, new content went to B's holders only, so that simply restoring A would lose it. The table of A comes back
//! as A', with an epoch of its own; what B's holders received is copied, everything else is where it was.

mod record;

use std::time::Duration;

use jiff::Timestamp;
use triton_api::{
    Epoch, NodeId,
    layout::{Layout, LayoutNode, LayoutRecord, NodeState},
};

pub use self::record::{ERRORS_MAX, FinishedMigration, MigrationPhase, MigrationRecord};
use super::{cursor::Cursors, plan::Proposal};

/// Begins the migration of a proposal.
pub fn begin(proposal: Proposal, bytes_total: u64, now: Timestamp) -> (LayoutRecord, MigrationRecord) {
    let record = LayoutRecord::migrating(proposal.current, proposal.next);
    let migration = MigrationRecord::starting(&record, bytes_total, proposal.removals, now);
    (record, migration)
}

/// Turns a migration back while it copies; `None` once the new epoch is committed and copies may be gone.
pub fn reverse(
    record: &LayoutRecord,
    running: &MigrationRecord,
    now: Timestamp,
) -> Option<(LayoutRecord, MigrationRecord)> {
    let abandoned = record.next.clone()?;
    let mut restored = record.current.clone();
    let newcomers = abandoned.nodes.iter().filter(|node| restored.node(node.id).is_none());
    // They may hold the only copies of what was written meanwhile, so they stay until they are empty.
    let newcomers: Vec<LayoutNode> =
        newcomers.map(|node| LayoutNode { state: leaving(node.state), ..node.clone() }).collect();
    let removals = newcomers.iter().map(|node| node.id).collect();
    restored.nodes.extend(newcomers);
    let restored = sealed(restored, abandoned.epoch.next());
    let record = LayoutRecord { current: abandoned, next: Some(restored), rest: record.rest.clone() };
    let mut migration = MigrationRecord::starting(&record, 0, removals, now);
    migration.aborting = !running.aborting;
    Some((record, migration))
}

fn leaving(state: NodeState) -> NodeState {
    if state == NodeState::Down { NodeState::Down } else { NodeState::Draining }
}

/// Commits the next epoch; `None` where there is none.
pub fn commit(
    record: &LayoutRecord,
    running: &MigrationRecord,
    now: Timestamp,
) -> Option<(LayoutRecord, MigrationRecord)> {
    let next = record.next.clone()?;
    let migration = MigrationRecord {
        phase: MigrationPhase::Reclaiming,
        bytes_per_second: 0,
        cursors: Cursors::default(),
        committed_at: Some(now),
        ..running.clone()
    };
    Some((LayoutRecord { current: next, next: None, rest: record.rest.clone() }, migration))
}

/// How long former holders still keep their copies. Never longer than the grace time: who committed may have had a clock that
/// was far ahead of this one.
pub fn grace_left(running: &MigrationRecord, grace: Duration, now: Timestamp) -> Duration {
    let since = now.duration_since(running.committed_at.unwrap_or(running.started_at));
    grace.saturating_sub(Duration::try_from(since).unwrap_or_default())
}

/// The layout without some nodes that hold nothing, at the epoch after it; `None` where no such node is in it.
pub fn without(layout: &Layout, leaving: &[NodeId]) -> Option<Layout> {
    let goes = |node: &LayoutNode| leaving.contains(&node.id) && layout.partitions_of(node.id) == 0;
    let stays: Vec<bool> = layout.nodes.iter().map(|node| !goes(node)).collect();
    if stays.iter().all(|stays| *stays) {
        return None;
    }
    let mut positions = Vec::with_capacity(stays.len());
    let mut next: u16 = 0;
    for stays in &stays {
        positions.push(next);
        next += u16::from(*stays);
    }
    let moved = |position: &u16| positions.get(usize::from(*position)).copied().unwrap_or(*position);
    let kept = layout.nodes.iter().zip(&stays).filter(|(_, stays)| **stays);
    let smaller = Layout {
        nodes: kept.map(|(node, _)| node.clone()).collect(),
        table: layout.table.iter().map(|holders| holders.iter().map(moved).collect()).collect(),
        ..layout.clone()
    };
    Some(sealed(smaller, layout.epoch.next()))
}

/// The record with some nodes at other addresses; `None` where nothing changes. Both epochs of a running migration get
/// numbers that were never used, so that no number ever stands for two layouts.
pub fn relocated(record: &LayoutRecord, addresses: &[(NodeId, triton_api::NodeUrl)]) -> Option<LayoutRecord> {
    let mut record = record.clone();
    let mut epoch = record.write_epoch();
    let mut changed = false;
    for layout in std::iter::once(&mut record.current).chain(record.next.as_mut()) {
        for node in &mut layout.nodes {
            if let Some((_, url)) = addresses.iter().find(|(id, url)| *id == node.id && *url != node.url) {
                node.url = url.clone();
                changed = true;
            }
        }
    }
    if !changed {
        return None;
    }
    for layout in std::iter::once(&mut record.current).chain(record.next.as_mut()) {
        epoch = epoch.next();
        *layout = sealed(layout.clone(), epoch);
    }
    Some(record)
}

/// The layout under another epoch, with the digest that goes with it.
pub(super) fn sealed(layout: Layout, epoch: Epoch) -> Layout {
    let mut layout = Layout { epoch, ..layout };
    layout.digest = triton_placement::digest(&layout);
    layout
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use triton_placement::verify;

    use super::*;
    use crate::cluster::{
        plan,
        sample::{layout_of, node},
        staged::{StagedLayout, StagedNode},
    };

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn drain_of(n: u16, nodes: u16) -> (LayoutRecord, MigrationRecord) {
        let current = layout_of(nodes, 3);
        let drained = LayoutNode { state: NodeState::Draining, ..node(n) };
        let staged = StagedLayout::default().with(&current, StagedNode::new(drained, false));
        begin(plan::propose(&current, &staged, 3).unwrap().unwrap(), 0, NOW)
    }

    fn ranks(record: &LayoutRecord) -> (Epoch, Epoch) {
        (record.write_epoch(), record.current.epoch)
    }

    #[test]
    fn a_reversal_has_the_old_table_under_a_new_epoch_and_keeps_newcomers_until_they_are_empty() {
        let current = layout_of(3, 3);
        let staged = StagedLayout::default().with(&current, StagedNode::new(node(9), false));
        let (record, running) = begin(plan::propose(&current, &staged, 3).unwrap().unwrap(), 7, NOW);
        let (back, reversal) = reverse(&record, &running, NOW).unwrap();
        let restored = back.next.as_ref().unwrap();
        assert_eq!((restored.epoch.get(), &restored.table), (3, &current.table));
        assert_eq!(restored.node(node(9).id).unwrap().state, NodeState::Draining);
        assert_eq!(Some(&back.current), record.next.as_ref());
        assert_eq!((reversal.removals.as_slice(), reversal.aborting), ([node(9).id].as_slice(), true));
        let (done, _) = commit(&back, &reversal, NOW).unwrap();
        let end = without(&done.current, &reversal.removals).unwrap();
        assert_eq!((end.epoch.get(), &end.table, &end.nodes), (4, &current.table, &current.nodes));
    }

    #[test]
    fn the_grace_time_is_not_prolonged_by_a_clock_that_was_ahead_at_the_commit() {
        let (record, running) = drain_of(1, 4);
        let (_, committed) = commit(&record, &running, NOW).unwrap();
        let (grace, second) = (Duration::from_secs(5), jiff::SignedDuration::from_secs(1));
        assert_eq!(grace_left(&committed, grace, NOW + second), Duration::from_secs(4));
        assert_eq!(grace_left(&committed, grace, NOW + second * 60), Duration::ZERO);
        assert_eq!(grace_left(&committed, grace, NOW - second * 3600), grace);
    }

    #[test]
    fn a_node_that_holds_something_cannot_be_dropped() {
        assert_eq!(without(&layout_of(4, 3), &[node(2).id]), None);
    }

    #[test]
    fn dropping_a_node_renumbers_the_others() {
        let (record, running) = drain_of(1, 4);
        let (committed, _) = commit(&record, &running, NOW).unwrap();
        let smaller = without(&committed.current, &[node(1).id]).unwrap();
        verify(&smaller).unwrap();
        for partition in (0..1024).map(triton_api::PartitionId::new) {
            let ids = |layout: &Layout| layout.holders(partition).map(|node| node.id).collect::<Vec<_>>();
            assert_eq!(ids(&smaller), ids(&committed.current));
        }
    }

    #[test]
    fn a_corrected_address_takes_numbers_that_were_never_used() {
        let (record, _) = drain_of(1, 4);
        let url: triton_api::NodeUrl = "http://elsewhere:1".parse().unwrap();
        let moved = relocated(&record, &[(node(2).id, url.clone())]).unwrap();
        assert_eq!((moved.current.epoch.get(), moved.write_epoch().get()), (3, 4));
        for layout in [&moved.current, moved.next.as_ref().unwrap()] {
            verify(layout).unwrap();
            assert_eq!(layout.node(node(2).id).unwrap().url, url);
        }
        assert_eq!(relocated(&moved, &[(node(2).id, url)]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Nodes tell older records from newer by the epochs: they grow with every step that is ever taken.
        #[test]
        fn every_step_makes_a_sound_and_newer_record(steps in proptest::collection::vec(0..3_u8, 1..12), drained in 1..=5_u16) {
            let (mut record, mut running) = drain_of(drained, 5);
            for step in steps {
                let next = match step {
                    0 => reverse(&record, &running, NOW),
                    1 => commit(&record, &running, NOW),
                    _ => {
                        let url = format!("http://moved-{}:1", record.write_epoch()).parse().unwrap();
                        relocated(&record, &[(node(1).id, url)]).map(|moved| (moved, running.clone()))
                    }
                };
                let Some((newer, migration)) = next else { continue };
                prop_assert!(ranks(&newer) > ranks(&record), "{:?} after {:?}", ranks(&newer), ranks(&record));
                for layout in std::iter::once(&newer.current).chain(&newer.next) {
                    verify(layout).unwrap();
                }
                prop_assert!(newer.next.as_ref().is_none_or(|next| next.epoch > newer.current.epoch));
                (record, running) = (newer, migration);
            }
        }
    }
}
