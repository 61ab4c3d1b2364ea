//! What is decided about nodes that go and come back.

use proptest::prelude::*;

use super::*;
use crate::cluster::sample::{layout_of, node};

const PATIENCE: Patience =
    Patience { replace_after: Duration::from_secs(900), change_interval_min: Duration::from_secs(900) };
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn up() -> Sight {
    Sight {
        health: NodeHealth::Up,
        silent_for: Duration::ZERO,
        answers: 100,
        writable: true,
        epoch: Some(Epoch::new(99)),
    }
}

fn down(seconds: u64) -> Sight {
    Sight {
        health: NodeHealth::Down,
        silent_for: Duration::from_secs(seconds),
        answers: 0,
        writable: false,
        epoch: None,
    }
}

/// Sights of the nodes 1, 2, 3 and so on.
fn sights(sights: &[Sight]) -> BTreeMap<NodeId, Sight> {
    (1..).zip(sights).map(|(n, sight)| (node(n).id, *sight)).collect()
}

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

fn given_up(layout: &Layout, n: u16) -> Layout {
    let nodes = layout.nodes.iter().cloned();
    let nodes =
        nodes.map(|other| if other.id == node(n).id { LayoutNode { state: NodeState::Down, ..other } } else { other });
    triton_placement::layout::change(layout, nodes.collect(), layout.replicas).unwrap()
}

fn replaced(n: u16, layout: &Layout, at: Timestamp, down_since: Timestamp) -> Replacements {
    Replacements::default().after(Decision::Replace(node(n).id), layout, down_since, at)
}

#[test]
fn a_node_is_replaced_when_it_was_silent_for_long_enough_and_the_others_can_do_without_it() {
    let decide = |nodes: u16, seen: &[Sight]| {
        decide(&layout_of(nodes, 3), &sights(seen), &Replacements::default(), PATIENCE, NOW)
    };
    let replace = |n: u16| Some(Decision::Replace(node(n).id));
    assert_eq!(decide(4, &[up(), up(), up(), down(900)]), replace(4));
    assert_eq!(decide(4, &[up(), up(), up(), down(899)]), None);
    assert_eq!(decide(3, &[up(), up(), down(9000)]), None, "the others cannot hold three replicas");
    assert_eq!(decide(4, &[up(), up(), down(9000), down(9000)]), None, "nor can these");
    assert_eq!(decide(5, &[up(), up(), up(), down(900), down(901)]), replace(5), "one at a time");
    let suspect = Sight { health: NodeHealth::Suspect, ..down(9000) };
    assert_eq!(decide(4, &[up(), up(), up(), suspect]), None);
    assert_eq!(
        decide(7, &[up(), up(), up(), down(0), suspect, suspect, down(901)]),
        None,
        "most are silent: is it me?"
    );
}

#[test]
fn a_node_that_alone_holds_something_is_left_to_a_person() {
    let decide = |replicas: u8, seen: &[Sight]| {
        decide(&layout_of(4, replicas), &sights(seen), &Replacements::default(), PATIENCE, NOW)
    };
    assert_eq!(decide(1, &[up(), up(), up(), down(9000)]), None);
    assert_eq!(decide(2, &[up(), up(), up(), down(9000)]), Some(Decision::Replace(node(4).id)));
    assert_eq!(decide(2, &[up(), up(), down(10), down(9000)]), None, "the other one may come back");
}

#[test]
fn a_node_is_taken_back_once_it_answers_steadily() {
    let layout = given_up(&layout_of(4, 3), 4);
    let past = replaced(4, &layout, ago(900), ago(1800));
    let decide = |past: &Replacements, seen: &[Sight]| decide(&layout, &sights(seen), past, PATIENCE, NOW);
    let back = Some(Decision::TakeBack(node(4).id));
    assert_eq!(decide(&past, &[up(), up(), up(), up()]), back);
    assert_eq!(decide(&past, &[up(), down(5), up(), up()]), back);
    assert_eq!(decide(&past, &[down(5), down(5), up(), up()]), None, "the migration would wait");
    let (unsteady, full) = (Sight { answers: ANSWERS_BACK - 1, ..up() }, Sight { writable: false, ..up() });
    let ignorant = Sight { epoch: Some(Epoch::new(1)), ..up() };
    for not_yet in [unsteady, full, ignorant, down(5)] {
        assert_eq!(decide(&past, &[up(), up(), up(), not_yet]), None);
    }
    assert_eq!(decide(&Replacements::default(), &[up(); 4]), None, "a person gave it up");
    assert_eq!(decide(&replaced(4, &layout, ago(899), ago(1800)), &[up(); 4]), None, "not so soon");
    let long_ago = ago(AWAY_MAX.as_secs() + 1);
    let forgotten = replaced(4, &layout, ago(900), long_ago);
    assert_eq!(decide(&forgotten, &[up(); 4]), None, "it would bring back what was deleted");
    assert!(forgotten.in_words(&layout, NOW)[0].contains("empty its disk"));
}

#[test]
fn a_node_that_comes_and_goes_is_left_alone_for_a_while() {
    let layout = layout_of(4, 3);
    let past = replaced(4, &layout, ago(5000), ago(6000));
    let impatient = Patience { replace_after: Duration::from_secs(1), ..PATIENCE };
    let seen = sights(&[up(), up(), up(), down(800)]);
    let back_at = |seconds| past.clone().after(Decision::TakeBack(node(4).id), &layout, NOW, ago(seconds));
    assert_eq!(decide(&layout, &seen, &back_at(899), impatient, NOW), None);
    assert_eq!(decide(&layout, &seen, &back_at(900), impatient, NOW), Some(Decision::Replace(node(4).id)));
}

fn any_sight() -> impl Strategy<Value = Sight> {
    let health = prop_oneof![Just(NodeHealth::Up), Just(NodeHealth::Suspect), Just(NodeHealth::Down)];
    (health, 0..2000_u64, 0..10_u32, any::<bool>()).prop_map(|(health, seconds, answers, writable)| Sight {
        health,
        silent_for: Duration::from_secs(seconds),
        answers,
        writable,
        ..up()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is seen: the layout that follows has all replicas, and enough nodes that answer to hold them.
    #[test]
    fn what_is_decided_can_be_done(seen in proptest::collection::vec(any_sight(), 3..8), gone in 0..8_u16) {
        let nodes = u16::try_from(seen.len()).unwrap();
        let (mut layout, mut past) = (layout_of(nodes, 3), Replacements::default());
        if (1..=nodes).contains(&gone) && nodes > 3 {
            layout = given_up(&layout, gone);
            past = replaced(gone, &layout, ago(1000), ago(2000));
        }
        let sights = sights(&seen);
        match decide(&layout, &sights, &past, PATIENCE, NOW) {
            None => {}
            Some(Decision::Replace(id)) => {
                prop_assert!(sights[&id].health == NodeHealth::Down && sights[&id].silent_for >= PATIENCE.replace_after);
                let n = (1..=nodes).find(|n| node(*n).id == id).unwrap();
                let next = given_up(&layout, n);
                prop_assert!(next.table.iter().all(|row| row.len() == 3));
                let up = next.nodes.iter().filter(|node| node.state == NodeState::Active && sights[&node.id].health == NodeHealth::Up);
                prop_assert!(up.count() >= 3);
            }
            Some(Decision::TakeBack(id)) => {
                prop_assert!(past.is_away(id) && sights[&id].answers >= ANSWERS_BACK);
                prop_assert_eq!(layout.node(id).unwrap().state, NodeState::Down);
            }
        }
    }
}
