use triton_api::{
    Epoch, NodeId, Page, ProblemType,
    cluster::{Node, NodeHealth},
    layout::NodeState,
    rebalance::{FinishedRebalance, LostBlob, PlannedNode, Rebalance, RebalancePhase, RebalancePlan},
};

use crate::{run, server::Server};

const NODES: &str = "GET /api/v1/admin/nodes";
const ADD: &str = "POST /api/v1/admin/nodes";
const STATE: &str = "GET /api/v1/admin/rebalance";
const PLAN: &str = "POST /api/v1/admin/rebalance/plan";
const APPLY: &str = "POST /api/v1/admin/rebalance/apply";

fn node(staged: bool) -> Node {
    Node {
        id: NodeId::from_u128(0x5b7b_0000_0000_4000_8000_0000_0000_0001),
        url: "http://127.0.0.1:8095".parse().unwrap(),
        zone: "default".to_owned(),
        weight: 100,
        state: NodeState::Active,
        health: NodeHealth::Up,
        health_since: None,
        used_bytes: 0,
        capacity_bytes: 1 << 30,
        blobs: 0,
        partitions: if staged { 0 } else { 614 },
        staged,
        quarantined: 0,
        orphans: 0,
        reconciling: false,
        scrub: None,
    }
}

fn nodes(items: Vec<Node>) -> Page<Node> {
    Page { items, next_cursor: None }
}

fn state(phase: RebalancePhase, epoch: u64) -> Rebalance {
    Rebalance {
        phase,
        epoch: Epoch::new(epoch),
        partitions_done: 5,
        partitions_total: 614,
        bytes_done: 10,
        bytes_total: 1000,
        bytes_per_second: 100,
        eta_seconds: Some(10),
        errors: Vec::new(),
        staged: Vec::new(),
        reason: None,
        last: None,
    }
}

fn plan(changes: &[&str]) -> RebalancePlan {
    RebalancePlan {
        epoch: Epoch::new(7),
        changes: changes.iter().map(|&change| change.to_owned()).collect(),
        replicas_to_move: 614,
        replicas_to_move_min: 614,
        bytes_to_move: 1000,
        balance_before: 1.0,
        balance_after: 1.001,
        replicas_wanted: 3,
        replicas_before: 3,
        replicas_after: 3,
        partitions_lost: 0,
        nodes: vec![PlannedNode { id: node(true).id, partitions_before: 0, partitions_after: 614, bytes_in: 1000 }],
    }
}

#[tokio::test]
async fn adding_a_node_plans_applies_that_plan_and_follows_the_move() {
    let server = Server::start().await;
    server.on(ADD, 201, &node(true)).on(PLAN, 200, &plan(&["add http://127.0.0.1:8095"]));
    server.on(APPLY, 202, &state(RebalancePhase::Migrating, 7));
    server.on(STATE, 200, &state(RebalancePhase::Migrating, 7)).on(STATE, 200, &state(RebalancePhase::Paused, 7));
    // A restart of the server in the middle of the move is borne.
    server.on_problem(STATE, ProblemType::Unavailable, "Starting.").on(STATE, 200, &state(RebalancePhase::Stable, 8));
    server.on(NODES, 200, &nodes(vec![node(false)]));
    let added = run(&server.url, &["--json", "node", "add", "http://127.0.0.1:8095", "--zone", "b"]).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(added.json(), serde_json::to_value(node(false)).unwrap());
    assert_eq!(server.changes(), [ADD, PLAN, APPLY]);
    let bodies: Vec<_> = server.seen().into_iter().filter(|seen| !seen.body.is_empty()).map(|seen| seen.body).collect();
    assert_eq!(bodies, [r#"{"url":"http://127.0.0.1:8095","zone":"b"}"#, r#"{"epoch":7}"#]);
}

#[tokio::test]
async fn a_dry_run_prints_the_plan_and_asks_for_nothing_else() {
    let server = Server::start().await;
    let path = format!("/api/v1/admin/nodes/{}", node(false).id);
    let shown = plan(&["a change"]);
    server.on(NODES, 200, &nodes(vec![node(false)])).on(ADD, 200, &shown).on(APPLY, 200, &shown);
    for request in [format!("POST {path}/drain"), format!("PATCH {path}"), format!("DELETE {path}")] {
        server.on(&request, 200, &shown);
    }
    let lines = [
        (vec!["node", "add", "http://127.0.0.1:8095", "--dry-run"], format!("{ADD}?dry_run=true")),
        (vec!["node", "drain", "5b7b", "--dry-run"], format!("POST {path}/drain?dry_run=true")),
        (vec!["node", "set", "5b7b", "--weight", "7", "--dry-run"], format!("PATCH {path}?dry_run=true")),
        (vec!["node", "remove", "5b7b", "--dry-run"], format!("DELETE {path}?dry_run=true&force=false")),
        (vec!["rebalance", "apply", "--dry-run"], format!("{APPLY}?dry_run=true")),
    ];
    for (position, (line, request)) in lines.iter().enumerate() {
        let dry = run(&server.url, line).await;
        assert_eq!(dry.code, 0, "{line:?}: {}", dry.stderr);
        assert!(
            dry.stdout.contains("a change") && dry.stderr.contains("Nothing was changed"),
            "{line:?}: {}",
            dry.stdout
        );
        let json = run(&server.url, &[&["--json"], line.as_slice()].concat()).await;
        assert_eq!(json.json(), serde_json::to_value(&shown).unwrap(), "{line:?}");
        assert_eq!(server.changes()[2 * position..], [request.clone(), request.clone()]);
    }
}

#[tokio::test]
async fn what_is_lost_is_listed_and_has_to_be_accepted() {
    let server = Server::start().await;
    let remove = format!("DELETE /api/v1/admin/nodes/{}", node(false).id);
    let lossy = RebalancePlan { partitions_lost: 512, replicas_wanted: 1, ..plan(&["give up and remove"]) };
    let video_id = triton_api::VideoId::generate();
    let blob = LostBlob { key: format!("v/{video_id}/0/original-000001").parse().unwrap(), video_id };
    let losses = Page { items: vec![blob.clone()], next_cursor: Some("x:7".to_owned()) };
    server.on(NODES, 200, &nodes(vec![node(false)])).on(&remove, 200, &lossy).on(PLAN, 200, &lossy);
    server.on("GET /api/v1/admin/rebalance/losses", 200, &losses);
    let dry = run(&server.url, &["node", "remove", "5b7b", "--force", "--dry-run"]).await;
    assert!(dry.stdout.contains("512 partitions") && dry.stdout.contains("--accept-loss"), "{}", dry.stdout);
    assert!(dry.stderr.contains(blob.key.as_str()), "{}", dry.stderr);
    let listed = run(&server.url, &["rebalance", "losses"]).await;
    assert!(listed.stdout.contains(blob.key.as_str()) && listed.stdout.contains("--cursor x:7"), "{}", listed.stdout);
    server.on(APPLY, 202, &state(RebalancePhase::Migrating, 7));
    let begun = run(&server.url, &["rebalance", "apply", "--accept-loss", "--no-wait"]).await;
    assert_eq!(begun.code, 0, "{}", begun.stderr);
    let body = server.seen().into_iter().rev().find(|seen| seen.line == APPLY).unwrap().body;
    assert_eq!(body, r#"{"epoch":7,"accept_loss":true}"#);
}

#[tokio::test]
async fn the_state_tells_what_the_last_move_came_to() {
    let server = Server::start().await;
    let last = FinishedRebalance {
        from: Epoch::new(6),
        to: Epoch::new(7),
        aborting: false,
        partitions_done: 614,
        partitions_total: 614,
        bytes_done: 50 << 20,
        bytes_total: 50 << 20,
        bytes_per_second: 5 << 20,
        started_at: "2026-11-24T10:00:00Z".parse().unwrap(),
        ended_at: "2026-11-24T10:00:15Z".parse().unwrap(),
        errors: Vec::new(),
        reason: None,
    };
    server.on(STATE, 200, &Rebalance { last: Some(last), ..state(RebalancePhase::Stable, 7) });
    let shown = run(&server.url, &["rebalance", "status"]).await;
    for part in ["epoch 6 to 7", "614 partitions, 50 MiB in 15 s (5.0 MiB/s)"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
}

#[tokio::test]
async fn draining_takes_a_prefix_and_can_return_at_once() {
    let server = Server::start().await;
    let drain = format!("POST /api/v1/admin/nodes/{}/drain", node(false).id);
    server.on(NODES, 200, &nodes(vec![node(false)])).on(&drain, 200, &node(true));
    server.on(PLAN, 200, &plan(&["drain"])).on(APPLY, 202, &state(RebalancePhase::Migrating, 7));
    let drained = run(&server.url, &["node", "drain", "5b7b", "--no-wait"]).await;
    assert_eq!(drained.code, 0, "{}", drained.stderr);
    assert!(drained.stderr.contains("1000 B to move"), "{}", drained.stderr);
    assert_eq!(server.changes(), [drain.as_str(), PLAN, APPLY]);
    assert_eq!(run(&server.url, &["node", "drain", "ffff"]).await.code, 3);
    let staged = run(&server.url, &["node", "drain", "http://127.0.0.1:8095", "--stage"]).await;
    assert!(staged.code == 0 && staged.stdout.contains("active (staged)"), "{}", staged.stdout);
    assert_eq!(server.changes().len(), 4, "staging alone changes nothing else");
}

#[tokio::test]
async fn aborted_move_fails_the_command_that_follows_it() {
    let server = Server::start().await;
    server.on(ADD, 201, &node(true)).on(PLAN, 200, &plan(&["add"]));
    server.on(APPLY, 202, &state(RebalancePhase::Migrating, 7)).on(STATE, 200, &state(RebalancePhase::Stable, 9));
    // An abort is a move back: it ends in a newer epoch, and the node holds nothing.
    server.on(NODES, 200, &nodes(vec![node(true)]));
    let added = run(&server.url, &["node", "add", "http://127.0.0.1:8095"]).await;
    assert!(added.code == 1 && added.stderr.contains("aborted"), "{}", added.stderr);
}

#[tokio::test]
async fn applying_nothing_succeeds_and_says_so() {
    let server = Server::start().await;
    server.on(PLAN, 200, &plan(&[])).on(STATE, 200, &state(RebalancePhase::Stable, 7));
    let applied = run(&server.url, &["rebalance", "apply"]).await;
    assert_eq!(applied.code, 0);
    assert!(applied.stderr.contains("there is nothing to do"), "{}", applied.stderr);
    assert_eq!(server.changes(), [PLAN]);
}

#[tokio::test]
async fn applying_another_epoch_than_the_one_in_force_is_refused() {
    let server = Server::start().await;
    server.on(PLAN, 200, &plan(&["drain"])).on_problem(APPLY, ProblemType::PreconditionFailed, "Epoch 8 is in force.");
    let other = run(&server.url, &["rebalance", "apply", "--epoch", "6"]).await;
    assert!(other.code == 1 && other.stderr.contains("Epoch 7 is in force"), "{}", other.stderr);
    assert_eq!(server.changes(), [PLAN]);
    let raced = run(&server.url, &["rebalance", "apply", "--epoch", "7"]).await;
    assert!(raced.code == 1 && raced.stderr.contains("rebalance plan"), "{}", raced.stderr);
}

#[tokio::test]
async fn plan_shows_what_moves() {
    let server = Server::start().await;
    server.on(PLAN, 200, &plan(&["drain http://127.0.0.1:8095"]));
    let shown = run(&server.url, &["rebalance", "plan"]).await;
    for part in ["614 (at least 614)", "1000 B", "1.001 after", "rebalance apply --epoch 7"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
}

#[tokio::test]
async fn pause_resume_and_abort_show_the_state() {
    let server = Server::start().await;
    for (word, phase) in
        [("pause", RebalancePhase::Paused), ("resume", RebalancePhase::Migrating), ("abort", RebalancePhase::Stable)]
    {
        server.on(&format!("POST /api/v1/admin/rebalance/{word}"), 200, &state(phase, 7));
        let shown = run(&server.url, &["rebalance", word]).await;
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert!(shown.stdout.starts_with("Phase"), "{}", shown.stdout);
    }
}

#[tokio::test]
async fn removal_of_a_node_with_content_says_what_to_do_next() {
    let server = Server::start().await;
    let remove = format!("DELETE /api/v1/admin/nodes/{}", node(false).id);
    server.on(NODES, 200, &nodes(vec![node(false)])).on(&remove, 204, &());
    let staged = run(&server.url, &["node", "remove", "5b7b", "--force"]).await;
    assert!(staged.code == 0 && staged.stderr.contains("rebalance apply"), "{}", staged.stderr);
    assert_eq!(server.changes(), [format!("{remove}?force=true")]);

    let server = Server::start().await;
    server.on(NODES, 200, &nodes(vec![node(false)])).on(NODES, 200, &nodes(Vec::new())).on(&remove, 204, &());
    let removed = run(&server.url, &["node", "remove", "5b7b"]).await;
    assert!(removed.stderr.starts_with("Removed node 5b7b"), "{}", removed.stderr);
}
