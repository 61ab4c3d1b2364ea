//! Prints how long layouts take to build and to change: `cargo run --release -p triton-placement --example measure`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::time::{Duration, Instant};

use triton_api::{
    NodeId,
    layout::{Layout, LayoutNode},
};
use triton_placement::{balance, layout, movement, movement_lower_bound};

const REPLICAS: u8 = 3;

fn node(number: u16, zones: u16, weight: u32) -> LayoutNode {
    LayoutNode::active(
        NodeId::from_u128(u128::from(number) + 1),
        format!("http://10.0.0.1:{}", 10_000 + number).parse().unwrap(),
        format!("zone-{}", number % zones),
        weight,
    )
}

fn timed(build: impl Fn() -> Layout) -> (Layout, Duration) {
    let start = Instant::now();
    let layout = build();
    (layout, start.elapsed())
}

fn report(nodes: u16, zones: u16, weight: fn(u16) -> u32) {
    let list = |range: std::ops::Range<u16>| range.map(|n| node(n, zones, weight(n))).collect::<Vec<_>>();
    let (first, building) = timed(|| layout::first(list(0..nodes), REPLICAS).unwrap());
    println!("{nodes} nodes, {zones} zones: first {building:.1?}, balance {:.4}", balance(&first));
    let mut reweighted = list(0..nodes);
    reweighted[0].weight *= 2;
    let changes =
        [("add one", list(0..nodes + 1)), ("remove one", list(1..nodes)), ("double one's weight", reweighted)];
    for (name, wanted) in changes {
        let (next, took) = timed(|| layout::change(&first, wanted.clone(), REPLICAS).unwrap());
        let bound = movement_lower_bound(&first, &wanted, REPLICAS);
        println!("  {name}: {took:.1?}, {} moves, at least {bound}", movement(&first, &next).replicas);
    }
}

fn main() {
    for (nodes, zones) in [(4, 1), (10, 1), (10, 3), (50, 1), (50, 2), (50, 5), (50, 50), (200, 7), (999, 9)] {
        report(nodes, zones, |_| 100);
    }
    println!("with different weights:");
    for (nodes, zones) in [(50, 1), (50, 5)] {
        report(nodes, zones, |number| 50 + u32::from(number) * 7);
    }
}
