//! Services are killed at every numbered step of a migration, while content is written, read and deleted.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod deeds;
mod scene;
mod verdict;

use triton_api::{
    cluster::{NewNode, NodeChange},
    rebalance::ApplyRequest,
};
use triton_kit::{
    MigrationStep,
    step::{Side, Side::Coordinator},
};

use crate::scene::Scene;

/// The steps of one side between two steps, in order, each with the next one.
fn steps(side: Side, from: MigrationStep, to: MigrationStep) -> Vec<(MigrationStep, Option<MigrationStep>)> {
    let within = |step: &MigrationStep| step.side() == side && (from..=to).contains(step);
    let steps: Vec<_> = MigrationStep::ALL.iter().copied().filter(within).collect();
    steps.iter().copied().zip(steps.iter().skip(1).copied().map(Some).chain([None])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_any_step_of_a_migration_costs_nothing() {
    let mut scene = Scene::start().await;

    // A fifth node comes, and the first one goes. The coordinator dies at each of its steps.
    let newcomer = scene.nodes[4].url.clone();
    let leaving = scene.nodes[0].id;
    scene.arm(MigrationStep::ChangeStaged);
    scene.die(None, async |web| web.add_node(&NewNode { url: newcomer.clone(), zone: None, weight: None }).await).await;
    scene.web().remove_node(leaving, false).await.unwrap();
    scene.arm(MigrationStep::PlanMade);
    scene.die(None, async |web| web.rebalance_apply(ApplyRequest::default()).await).await;
    scene.arm(MigrationStep::EpochsOpened);
    let then = Some(MigrationStep::NodeAcknowledged);
    scene.die(then, async |web| web.rebalance_apply(ApplyRequest::default()).await).await;
    for (_, next) in steps(Coordinator, MigrationStep::NodeAcknowledged, MigrationStep::NodesRemoved) {
        scene.mourn(next).await;
    }
    scene.until_stable().await;
    assert_eq!(scene.web().nodes().await.unwrap().items.len(), 4);
    scene.judge("after the coordinator's steps").await;

    // Another weight, taken back in the middle.
    let heavy = NodeChange { weight: Some(300), zone: None };
    scene.web().change_node(scene.nodes[1].id, &heavy).await.unwrap();
    scene.web().rebalance_apply(ApplyRequest::default()).await.unwrap();
    scene.until_moving().await;
    scene.arm(MigrationStep::WayBackOpened);
    scene.die(None, async |web| web.rebalance_abort().await).await;
    scene.until_stable().await;
    scene.judge("after the way back").await;

    // The first node returns empty, and the last one goes. A node dies at each of its steps.
    let (returning, leaving) = (scene.nodes[0].url.clone(), scene.nodes[4].id);
    scene.web().add_node(&NewNode { url: returning, zone: None, weight: None }).await.unwrap();
    scene.web().remove_node(leaving, false).await.unwrap();
    scene.arm(MigrationStep::LayoutLearned);
    scene.web().rebalance_apply(ApplyRequest::default()).await.unwrap();
    for (_, next) in steps(Side::Node, MigrationStep::LayoutLearned, MigrationStep::PageReleased) {
        scene.mourn(next).await;
    }
    scene.until_stable().await;
    scene.judge("after the nodes' steps").await;
    scene.end().await;
}
