//! The admin API as a client sees it.

use triton_api::{
    NodeId, ProblemType,
    client::{ClientError, WebClient},
    cluster::NewNode,
    rebalance::{ApplyRequest, RebalancePhase},
};

use crate::farm::{Web, caller, quick, start_nodes, urls};

async fn serve(web: &Web) -> (WebClient, String) {
    let (router, _) = web.cluster.routes::<()>().split_for_parts();
    let router = triton_kit::layers::layers(router, "test");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (WebClient::new(caller(), &origin), origin)
}

fn problem<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> ProblemType {
    outcome.unwrap_err().problem_type().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_adds_a_node_by_the_typed_client() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..3])).await;
    web.fill(20, 2000).await;
    let (client, origin) = serve(&web).await;
    let added = client.add_node(&NewNode { url: nodes[3].url(), zone: None, weight: None }).await.unwrap();
    assert_eq!((added.id, added.staged, added.partitions), (nodes[3].id, true, 0));
    let plan = client.rebalance_plan().await.unwrap();
    assert_eq!(
        problem(
            client.rebalance_apply(ApplyRequest { epoch: Some(plan.epoch.next()), ..ApplyRequest::default() }).await
        ),
        ProblemType::PreconditionFailed
    );
    assert_eq!(problem(client.remove_node(NodeId::from_u128(1), false).await), ProblemType::NotFound);
    let begun =
        client.rebalance_apply(ApplyRequest { epoch: Some(plan.epoch), ..ApplyRequest::default() }).await.unwrap();
    assert_eq!((begun.phase, begun.bytes_total), (RebalancePhase::Migrating, plan.bytes_to_move));
    web.until_stable().await;
    let cluster = client.cluster().await.unwrap();
    assert_eq!((cluster.nodes.len(), cluster.replicas_effective, cluster.leader.as_deref()), (4, 3, Some("test")));
    let listed: Vec<NodeId> = client.nodes().await.unwrap().items.iter().map(|node| node.id).collect();
    assert_eq!(listed, cluster.nodes.iter().map(|node| node.id).collect::<Vec<_>>());
    client.drain_node(nodes[0].id).await.unwrap();
    assert_eq!(problem(client.drain_node(nodes[1].id).await), ProblemType::Infeasible);
    assert_eq!(client.rebalance_abort().await.unwrap().staged, Vec::<String>::new());

    // Applying nothing, without a body, is no error.
    let nothing = reqwest::Client::new().post(format!("{origin}/api/v1/admin/rebalance/apply")).send().await.unwrap();
    assert_eq!(nothing.status(), 200);
}
