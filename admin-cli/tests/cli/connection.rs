use std::{fs, net::TcpListener};

use triton_api::{
    Page, ProblemType,
    cluster::Node,
    secret::{ClusterSecret, SIGNATURE_HEADER},
};

use crate::{run, run_with, server::Server};

const NODES: &str = "GET /api/v1/admin/nodes";
const ID: &str = "AZqxJ2QkcYuS5T3mVb0aXw";

#[tokio::test]
async fn exit_code_tells_what_went_wrong() {
    let server = Server::start().await;
    let video = format!("/api/v1/videos/{ID}");
    server.on_problem(&format!("GET {video}"), ProblemType::NotFound, "There is no such video.");
    server.on_problem(&format!("DELETE {video}"), ProblemType::Internal, "Something broke.");
    server.on_problem(&format!("POST {video}/retry"), ProblemType::Conflict, "It has not failed.");

    let absent = run(&server.url, &["video", "show", ID]).await;
    assert_eq!((absent.code, absent.stderr.as_str()), (3, "error: There is no such video.\n"));
    assert_eq!(absent.stdout, "");
    let broken = run(&server.url, &["video", "delete", ID]).await;
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("urn:uuid:0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234"), "{}", broken.stderr);
    let refused = run(&server.url, &["--json", "video", "retry", ID]).await;
    assert_eq!((refused.code, refused.stderr.as_str()), (1, "error: It has not failed.\n"));
    assert_eq!(run(&server.url, &["video", "show", "xyz"]).await.code, 2);
}

#[tokio::test]
async fn server_that_does_not_answer_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = run(&format!("http://{free}"), &["node", "list"]).await;
    assert_eq!(silent.code, 4);
    assert!(silent.stderr.contains(&free.to_string()) && silent.stderr.contains("--server"), "{}", silent.stderr);

    let other = Server::start().await;
    other.on(NODES, 200, &"a page of another service");
    assert_eq!(run(&other.url, &["node", "list"]).await.code, 4);
}

#[tokio::test]
async fn requests_are_signed_with_the_secret() {
    let server = Server::start().await;
    server.on(NODES, 200, &Page::<Node> { items: Vec::new(), next_cursor: None });
    let text = "correct horse battery";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    fs::write(&file, text).unwrap();
    let list = ["node", "list"];
    assert_eq!(run_with(&server.url, &list, &[("TRITON_CLUSTER_SECRET", text)]).await.code, 0);
    let path = file.to_str().unwrap();
    assert_eq!(run_with(&server.url, &list, &[("TRITON_CLUSTER_SECRET_FILE", path)]).await.code, 0);
    assert_eq!(run(&server.url, &list).await.code, 0);

    let secret: ClusterSecret = text.parse().unwrap();
    let signed: Vec<bool> = server
        .seen()
        .iter()
        .map(|seen| {
            let header = seen.headers.get(SIGNATURE_HEADER).map(|value| value.to_str().unwrap());
            secret.verify("GET", "/api/v1/admin/nodes", header, jiff::Timestamp::now()).is_ok()
        })
        .collect();
    assert_eq!(signed, [true, true, false]);
    assert_eq!(run_with(&server.url, &list, &[("TRITON_CLUSTER_SECRET", "short")]).await.code, 2);
}

#[tokio::test]
async fn completions_need_no_server() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run("http://127.0.0.1:1", &["completions", shell]).await;
        assert!(script.code == 0 && script.stdout.contains("rebalance"), "{shell}");
    }
}
