//! How long it takes to make a layout and to change one.

use std::time::Instant;

use anyhow::Context as _;
use triton_api::{
    NodeId,
    layout::{LayoutNode, NodeState},
};
use triton_placement::layout;

use crate::{
    harness::Bench,
    report::{Finding, Outcome},
    spread::Spread,
};

const NODES: u16 = 50;
const ZONES: u16 = 5;
const REPLICAS: u8 = 3;

/// The first layout of 50 nodes in 5 zones, and changes of it: one more, one less, one in the place of a dead one.
pub(super) fn fifty_nodes(bench: &Bench) -> anyhow::Result<Outcome> {
    let (mut builds, mut changes) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let nodes: Vec<LayoutNode> = (0..NODES).map(node).collect::<anyhow::Result<_>>()?;
        let began = Instant::now();
        let mut current = layout::first(nodes.clone(), REPLICAS)?;
        builds.push(began.elapsed().as_secs_f64());
        let mut more = nodes;
        more.push(node(NODES)?);
        let mut less = more.clone();
        less.remove(7);
        let mut replaced = less.clone();
        replaced[11].state = NodeState::Down;
        replaced.push(LayoutNode { zone: replaced[11].zone.clone(), ..node(NODES + 1)? });
        for wanted in [more, less, replaced] {
            let began = Instant::now();
            current = layout::change(&current, wanted, REPLICAS)?;
            changes.push(began.elapsed().as_secs_f64());
        }
    }
    let finding = |goal, seconds: Vec<f64>| Finding { goal, value: Spread::of(seconds) };
    let findings = vec![finding("placement-build", builds), finding("placement-change", changes)];
    Ok(Outcome { findings, ..Outcome::default() })
}

fn node(number: u16) -> anyhow::Result<LayoutNode> {
    let url = format!("http://127.0.0.1:{}", 10_000 + number).parse().context("the address of a node")?;
    let id = NodeId::from_u128(u128::from(number) + 1);
    Ok(LayoutNode::active(id, url, format!("zone-{}", number % ZONES), 100))
}
