//! Layouts for the unit tests of this module.

use triton_api::{
    NodeId,
    layout::{Layout, LayoutNode},
};

/// Node number `n`.
pub(super) fn node(n: u16) -> LayoutNode {
    LayoutNode::active(
        NodeId::from_u128(u128::from(n)),
        format!("http://node-{n}:8090").parse().unwrap(),
        "default".to_owned(),
        100,
    )
}

/// The first layout of the nodes 1 to `nodes`.
pub(super) fn layout_of(nodes: u16, replicas: u8) -> Layout {
    triton_placement::layout::first((1..=nodes).map(node).collect(), replicas).unwrap()
}
