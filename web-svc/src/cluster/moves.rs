//! Which node has to pull which partition from whom. Pure.

use std::collections::BTreeSet;

use triton_api::{
    NodeId, PartitionId,
    layout::{Layout, LayoutRecord},
};
use triton_placement::movement;

use super::{census::Census, fence};
use crate::ring::DegradedPartition;

/// What one node has to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pull {
    /// The node that pulls.
    pub(super) to: NodeId,
    /// Nodes to pull from: one of each group, whose nodes have the same.
    pub(super) sources: Vec<Vec<NodeId>>,
}

/// The work on one partition: first the pulls, then the releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) partition: PartitionId,
    pub(super) pulls: Vec<Pull>,
    pub(super) releases: Vec<NodeId>,
}

/// The partitions of a migration that can be worked on, and why the others have to wait.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) tasks: Vec<Task>,
    /// Reasons, each once.
    pub(super) waits: BTreeSet<String>,
}

/// The partitions that get a new holder, except those that `skip` names. A partition whose new holders lack nothing is a
/// task without pulls.
pub(super) fn round(record: &LayoutRecord, census: &Census, skip: impl Fn(PartitionId) -> bool) -> Round {
    let mut round = Round::default();
    let moves = movement(&record.current, record.write_layout()).partitions;
    for change in moves.into_iter().filter(|change| !change.arriving.is_empty() && !skip(change.partition)) {
        let partition = change.partition;
        let answering: BTreeSet<NodeId> = census.telling(partition).collect();
        let absent: Vec<NodeId> = change.arriving.iter().copied().filter(|id| !answering.contains(id)).collect();
        for id in &absent {
            round.waits.insert(wait_for(census, partition, &id.to_string()) + ", which is to receive content");
        }
        if !fence::is_safe(record, partition, &answering) {
            let silent = fence::silent(record, &answering).map(|node| node.id.to_string());
            let silent = silent.collect::<Vec<_>>().join(" or ");
            round.waits.insert(wait_for(census, partition, &silent) + ", which may have the only copy of something");
        } else if absent.is_empty() {
            let pulls = change.arriving.into_iter().map(|to| Pull { to, sources: census.sources(partition, to) });
            let pulls = pulls.filter(|pull| !pull.sources.is_empty()).collect();
            round.tasks.push(Task { partition, pulls, releases: Vec::new() });
        }
    }
    round
}

/// A node that answers, and still does not tell, has a disk that fails.
fn wait_for(census: &Census, partition: PartitionId, nodes: &str) -> String {
    let fails = census.nodes().find(|id| !census.tells(*id, partition));
    let why = fails.map(|id| format!(" (the disk of node {id} fails to tell what is in partition {partition})"));
    format!("waiting for node {nodes}{}", why.unwrap_or_default())
}

/// Partitions whose holders change between the epochs of the record.
pub(super) fn in_motion(record: &LayoutRecord) -> BTreeSet<PartitionId> {
    movement(&record.current, record.write_layout()).partitions.into_iter().map(|change| change.partition).collect()
}

/// What repair has to do so that the holders of each partition have the same and nobody else has any of it. What is on the fewest
/// nodes comes first.
///
/// A node that has a copy and is no holder gives it up only after every holder could look whether it lacks something.
pub(super) fn sweep(layout: &Layout, census: &Census) -> Vec<Task> {
    let tasks = census.partitions().into_iter().filter_map(|partition| sweep_partition(layout, census, partition));
    let mut tasks: Vec<Task> = tasks.collect();
    tasks.sort_by_key(|task| fullest(census, task.partition));
    tasks
}

/// How many nodes have as many blobs of the partition as the one that has the most.
fn fullest(census: &Census, partition: PartitionId) -> usize {
    let blobs = || census.nodes().filter_map(|id| census.digest(id, partition)).map(|digest| digest.blobs);
    let most = blobs().max();
    blobs().filter(|blobs| Some(*blobs) == most).count()
}

/// The part of a sweep that empties nodes which are no holders.
pub(super) fn reclaim(layout: &Layout, census: &Census) -> Vec<Task> {
    sweep(layout, census).into_iter().filter(|task| !task.releases.is_empty()).collect()
}

/// Those of the reported partitions of which nothing is missing any more: everyone who may have or lack something of it
/// answered, the holders have the same, and nobody else has any of it.
pub(super) fn whole(record: &LayoutRecord, census: &Census, reported: &[DegradedPartition]) -> BTreeSet<PartitionId> {
    let moving = in_motion(record);
    let answers = |partition, id: &NodeId| census.tells(*id, partition) || fence::is_given_up(record, *id);
    let is_whole = |DegradedPartition { partition, missing, stand_ins }: &&DegradedPartition| {
        let holders: Vec<NodeId> = record.current.holders(*partition).map(|node| node.id).collect();
        !moving.contains(partition)
            && holders.iter().chain(missing).chain(stand_ins).all(|id| answers(*partition, id))
            && sweep_partition(&record.current, census, *partition).is_none()
    };
    reported.iter().filter(is_whole).map(|degraded| degraded.partition).collect()
}

fn sweep_partition(layout: &Layout, census: &Census, partition: PartitionId) -> Option<Task> {
    let holders: Vec<NodeId> = layout.holders(partition).map(|node| node.id).collect();
    let strays = census.with_blobs(partition).filter(|id| !holders.contains(id));
    let all_answer = holders.iter().all(|holder| census.tells(*holder, partition));
    let releases: Vec<NodeId> = if all_answer { strays.collect() } else { Vec::new() };
    let pulls = holders.iter().filter(|holder| census.tells(**holder, partition)).map(|holder| {
        let mut sources = census.sources(partition, *holder);
        // A former holder that remembers nothing but deletes has nothing to give: the holders remember them, too.
        sources.retain(|group| {
            group.iter().any(|id| holders.contains(id) || census.digest(*id, partition).is_some_and(|d| d.blobs > 0))
        });
        Pull { to: *holder, sources }
    });
    let pulls: Vec<Pull> = pulls.filter(|pull| !pull.sources.is_empty()).collect();
    (!pulls.is_empty() || !releases.is_empty()).then_some(Task { partition, pulls, releases })
}

#[cfg(test)]
mod tests {
    use triton_api::{BlobHash, storage::PartitionDigest};

    use super::*;
    use crate::cluster::sample::{layout_of, node};

    const P: PartitionId = PartitionId::new(0);

    fn has(content: &str, blobs: u64) -> Vec<PartitionDigest> {
        let digest = BlobHash::of(content.as_bytes());
        vec![PartitionDigest { partition: P, blobs, bytes: blobs, tombstones: 1, digest, unreadable: false }]
    }

    /// The holders of the partition in a cluster of four with three replicas, then the node that is none.
    fn cast(layout: &Layout) -> Vec<NodeId> {
        let holders: Vec<NodeId> = layout.holders(P).map(|node| node.id).collect();
        let other = (1..=4).map(|n| node(n).id).find(|id| !holders.contains(id));
        holders.into_iter().chain(other).collect()
    }

    fn census(answers: &[(NodeId, Vec<PartitionDigest>)]) -> Census {
        let mut census = Census::default();
        for (id, digests) in answers {
            census.add(*id, digests.clone());
        }
        census
    }

    #[test]
    fn equal_holders_need_nothing() {
        let layout = layout_of(4, 3);
        let all: Vec<_> = cast(&layout)[..3].iter().map(|id| (*id, has("same", 2))).collect();
        assert_eq!(sweep(&layout, &census(&all)), []);
    }

    #[test]
    fn a_holder_that_lacks_something_pulls_once_from_those_that_are_equal() {
        let layout = layout_of(4, 3);
        let cast = cast(&layout);
        let found = census(&[(cast[0], has("full", 2)), (cast[1], has("full", 2)), (cast[2], vec![])]);
        let tasks = sweep(&layout, &found);
        assert_eq!(tasks.len(), 1);
        let [pull] = tasks[0].pulls.as_slice() else { panic!("{tasks:?}") };
        assert_eq!((pull.to, pull.sources.len(), pull.sources[0].len()), (cast[2], 1, 2));
    }

    #[test]
    fn what_is_on_the_fewest_nodes_is_repaired_first() {
        let layout = layout_of(3, 3);
        let has = |n: u16, blobs| PartitionDigest { partition: PartitionId::new(n), ..has("some", blobs).remove(0) };
        let all: Vec<PartitionDigest> = (0..3).map(|n| has(n, 2)).collect();
        let found = census(&[
            (node(1).id, all),
            (node(2).id, vec![has(0, 2), PartitionDigest { digest: BlobHash::of(b"less"), ..has(1, 1) }, has(2, 2)]),
            (node(3).id, vec![]),
        ]);
        let order: Vec<u16> = sweep(&layout, &found).iter().map(|task| task.partition.get()).collect();
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn a_stray_is_read_before_it_is_released_and_kept_while_a_holder_is_silent() {
        let layout = layout_of(4, 3);
        let cast = cast(&layout);
        let mut answers: Vec<_> = cast[..3].iter().map(|id| (*id, has("holders", 2))).collect();
        answers.push((cast[3], has("stray", 1)));
        let task = reclaim(&layout, &census(&answers)).remove(0);
        assert_eq!((task.releases.as_slice(), task.pulls.len()), (&cast[3..], 3));
        answers.remove(0);
        assert_eq!(reclaim(&layout, &census(&answers)), []);
        assert_eq!(sweep(&layout, &census(&answers))[0].pulls.len(), 2);
    }

    #[test]
    fn a_holder_whose_disk_fails_to_tell_a_partition_is_as_good_as_silent_there_and_nowhere_else() {
        let layout = layout_of(4, 3);
        let cast = cast(&layout);
        let mut answers: Vec<_> = cast[..3].iter().map(|id| (*id, has("holders", 2))).collect();
        answers.push((cast[3], has("stray", 1)));
        let marked =
            || has("zeros", 2).into_iter().map(|d| PartitionDigest { unreadable: true, ..d }).collect::<Vec<_>>();
        let found = |at: usize| {
            let mut answers = answers.clone();
            answers[at].1 = marked();
            census(&answers)
        };
        let [task] = &sweep(&layout, &found(0))[..] else { panic!("the others are repaired") };
        assert!(task.releases.is_empty(), "what it lacks is not known");
        let [one, other] = &task.pulls[..] else { panic!("{task:?}") };
        assert_eq!((one.to, other.to), (cast[1], cast[2]));
        assert!(task.pulls.iter().all(|pull| pull.sources == [[cast[3]]]), "{task:?}");
        assert_eq!(sweep(&layout, &found(3)), [], "nor does a stray give up what it cannot read");
        let reported = [DegradedPartition { partition: P, missing: BTreeSet::new(), stand_ins: [cast[3]].into() }];
        for at in 0..4 {
            assert!(whole(&LayoutRecord::settled(layout.clone()), &found(at), &reported).is_empty(), "node {at}");
        }
        assert!((1..1024).all(|partition| found(0).tells(cast[0], PartitionId::new(partition))));
    }

    #[test]
    fn an_arriving_holder_that_cannot_read_a_partition_holds_up_that_one_alone() {
        let current = layout_of(4, 3);
        let next = triton_placement::layout::change(&current, (1..=5).map(node).collect(), 3).unwrap();
        let record = LayoutRecord::migrating(current, next);
        let mut found = census(&(1..=5).map(|n| (node(n).id, vec![])).collect::<Vec<_>>());
        let all = round(&record, &found, |_| false).tasks;
        let mut digest = has("zeros", 0).remove(0);
        (digest.partition, digest.unreadable) = (all[0].partition, true);
        found.add(node(5).id, vec![digest]);
        let rest = round(&record, &found, |_| false);
        assert_eq!((rest.tasks.as_slice(), rest.waits.len()), (&all[1..], 1));
    }

    #[test]
    fn a_former_holder_that_remembers_only_deletes_is_left_alone() {
        let layout = layout_of(4, 3);
        let cast = cast(&layout);
        let mut answers: Vec<_> = cast[..3].iter().map(|id| (*id, has("holders", 2))).collect();
        answers.push((cast[3], has("deletes", 0)));
        assert_eq!(sweep(&layout, &census(&answers)), []);
    }

    #[test]
    fn a_partition_waits_for_its_new_holder_and_for_what_silent_nodes_may_hide() {
        let current = layout_of(4, 3);
        let next = triton_placement::layout::change(&current, (1..=5).map(node).collect(), 3).unwrap();
        let record = LayoutRecord::migrating(current, next);
        let answers = |nodes: &[u16]| census(&nodes.iter().map(|n| (node(*n).id, vec![])).collect::<Vec<_>>());
        let everybody = round(&record, &answers(&[1, 2, 3, 4, 5]), |_| false);
        assert!(everybody.waits.is_empty() && !everybody.tasks.is_empty());
        let one_away = round(&record, &answers(&[1, 2, 3, 5]), |_| false);
        assert_eq!((one_away.waits.len(), one_away.tasks.len()), (0, everybody.tasks.len()));
        let two_away = round(&record, &answers(&[1, 2, 5]), |_| false);
        assert_eq!((two_away.waits.len(), two_away.tasks.len()), (1, 0), "each partition has a holder among them");
        // One has not learned of the fence, and another one is silent now.
        let mut fenced = answers(&[1, 3, 4, 5]);
        fenced.retain(&[2, 3, 4, 5].map(|n| node(n).id).into());
        let two_doubtful = round(&record, &fenced, |_| false);
        assert_eq!((two_doubtful.waits.len(), two_doubtful.tasks.len()), (1, 0));
        let receiver_away = round(&record, &answers(&[1, 2, 3, 4]), |_| false);
        assert_eq!((receiver_away.waits.len(), receiver_away.tasks.len()), (1, 0));
    }

    #[test]
    fn a_reported_partition_is_whole_when_all_who_matter_have_answered_and_nobody_lacks_or_keeps_anything() {
        let layout = layout_of(5, 3);
        let cast = cast(&layout);
        let (missing, stand_ins) = (BTreeSet::from([cast[2]]), BTreeSet::from([cast[3]]));
        let reported = [DegradedPartition { partition: P, missing, stand_ins }];
        let record = LayoutRecord::settled(layout.clone());
        let is_whole =
            |answers: &[(NodeId, Vec<PartitionDigest>)]| !whole(&record, &census(answers), &reported).is_empty();
        let good: Vec<_> = cast[..3].iter().map(|id| (*id, has("same", 2))).chain([(cast[3], vec![])]).collect();
        assert!(is_whole(&good), "the fifth node need not answer");
        for silent in 0..good.len() {
            let answers = good.iter().enumerate().filter(|(at, _)| *at != silent);
            let answers: Vec<_> = answers.map(|(_, answer)| answer.clone()).collect();
            assert!(!is_whole(&answers), "node {silent} is silent");
        }
        let but = |at: usize, content| {
            let mut answers = good.clone();
            answers[at].1 = content;
            answers
        };
        assert!(!is_whole(&but(2, has("less", 1))) && !is_whole(&but(0, vec![])));
        assert!(!is_whole(&but(3, has("same", 2))), "the stand-in still has it");
        assert!(is_whole(&but(3, has("deletes", 0))));
        let next = triton_placement::layout::change(&layout, (1..=6).map(node).collect(), 3).unwrap();
        let moving = LayoutRecord::migrating(layout, next);
        let all = (0..1024).map(PartitionId::new);
        let all = all.map(|p| DegradedPartition { partition: p, missing: BTreeSet::new(), stand_ins: BTreeSet::new() });
        let found = census(&(1..=6).map(|n| (node(n).id, vec![])).collect::<Vec<_>>());
        let still = whole(&moving, &found, &all.collect::<Vec<_>>());
        assert!(!still.is_empty() && still.is_disjoint(&in_motion(&moving)));
    }
}
