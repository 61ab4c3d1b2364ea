use std::fs;

use axum::{Router, routing::get};
use clap::Parser;
use triton_api::{
    client::{Caller, WebClient},
    cluster::NewNode,
    secret::ClusterSecret,
};
use triton_kit::secret::{self, SecretArgs, SecretError};

use crate::Service;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    secret: SecretArgs,
}

fn load(args: &[&str]) -> Result<Option<ClusterSecret>, SecretError> {
    Args::parse_from(["service"].iter().chain(args)).secret.load()
}

#[test]
fn secret_comes_from_one_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    fs::write(&file, "correct horse battery\n").unwrap();
    let file = file.to_str().unwrap();
    let same = load(&["--cluster-secret", "correct horse battery"]).unwrap();
    assert!(same.is_some());
    assert_eq!(load(&["--cluster-secret-file", file]).unwrap(), same);
    assert!(load(&[]).unwrap().is_none());
    assert!(load(&["--cluster-secret", "", "--cluster-secret-file", ""]).unwrap().is_none());
    for (args, named) in [
        (&["--cluster-secret", "correct horse battery", "--cluster-secret-file", file][..], "Unset one"),
        (&["--cluster-secret", "short"], "at least 16 characters"),
        (&["--cluster-secret-file", "/nowhere"], "--cluster-secret-file"),
    ] {
        let error = load(args).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn listening_beyond_loopback_takes_a_secret() {
    let secret: ClusterSecret = "correct horse battery".parse().unwrap();
    let check = |address: &str, secret| secret::check_listen("--node-listen", address.parse().unwrap(), secret);
    check("127.0.0.1:1", None).unwrap();
    check("[::1]:1", None).unwrap();
    check("0.0.0.0:1", Some(&secret)).unwrap();
    for exposed in ["0.0.0.0:1", "192.168.1.1:80", "[::]:1"] {
        let error = check(exposed, None).unwrap_err().to_string();
        assert!(error.starts_with("--node-listen") && error.contains("TRITON_CLUSTER_SECRET_FILE"), "{error}");
    }
}

#[tokio::test]
async fn guarded_route_answers_signed_requests_only() {
    let secret: ClusterSecret = "correct horse battery".parse().unwrap();
    let guarded = Router::new().route("/api/v1/admin/nodes", get(async || r#"{"items":[],"next_cursor":null}"#));
    let router = secret::require_signature(guarded, Some(secret.clone())).route("/open", get(async || "open"));
    let service = Service::start(router).await;
    assert_eq!(service.get("/open").await.status(), 200);
    assert_eq!(service.get("/api/v1/admin/nodes").await.status(), 401);
    assert_eq!(service.get("/absent").await.status(), 404, "the guard does not cover what is not there");

    let client = |secret: Option<ClusterSecret>| WebClient::new(Caller::untraced(secret).unwrap(), &service.origin);
    assert!(client(Some(secret.clone())).nodes().await.unwrap().items.is_empty());
    let refused = client("another secret, as long".parse().ok()).nodes().await.unwrap_err();
    assert!(refused.to_string().contains("TRITON_CLUSTER_SECRET"), "{refused}");
    // Signed for one method, the request is not taken for another.
    let node = NewNode { url: "http://127.0.0.1:1".parse().unwrap(), zone: None, weight: None };
    let error = client(Some(secret)).add_node(&node).await.unwrap_err();
    assert!(error.to_string().contains("method"), "{error}");
}
