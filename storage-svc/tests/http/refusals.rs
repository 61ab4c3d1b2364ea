//! What a node does not do.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use triton_api::storage::BLOB_BYTES_MAX;
use triton_testkit::content;

use super::*;

/// Sends a request line as it stands, for paths that a client library would tidy up; answers the status.
const BAD_KEYS: &[&str] = &[
    "..%2fx",
    "%2e%2e/x",
    "a/../x",
    "../x",
    "a/..",
    ".",
    "a/./b",
    "a//b",
    "/etc/passwd",
    "a%2fb",
    "a,b",
    "~abc",
    "a%00",
    "a b%20",
    "%ff",
    "a\\b",
    "",
];

async fn raw(node: &Node, method: &str, path: &str, headers: &str) -> u16 {
    let mut socket = tokio::net::TcpStream::connect(node.running.address()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_path_leads_out_of_its_directory() {
    let node = Node::start().await;
    for path in BAD_KEYS {
        if path.contains(' ') {
            continue;
        }
        for method in ["PUT", "GET", "DELETE"] {
            let status = raw(&node, method, &format!("/v1/blobs/{path}"), "content-length: 0\r\n").await;
            assert!(status == 400 || (path.is_empty() && status == 404), "{method} {path:?}: {status}");
        }
    }
    let too_long = "k".repeat(513);
    assert_eq!(raw(&node, "PUT", &format!("/v1/blobs/{too_long}"), "content-length: 0\r\n").await, 400);
    assert_eq!(node.client.info().await.unwrap().blobs, 0);
    let ours = [
        "blobs",
        "ledger.json",
        "lock",
        "node.json",
        "orphans",
        "quarantine",
        "scrub.json",
        "tmp",
        "tombstones",
        "uptime.json",
    ];
    for entry in std::fs::read_dir(node.dir.path()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(ours.iter().any(|our| name == *our), "{name:?} is no file of a node");
    }
    let blobs = std::fs::read_dir(node.dir.path().join("blobs")).unwrap();
    let stray: Vec<_> = blobs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap()).collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[tokio::test]
async fn keys_that_look_alike_do_not_share_a_blob() {
    let node = Node::start().await;
    let long = "k/".repeat(200);
    let keys =
        ["a/b", "a.b", "a-b", "a_b", "A/b", "a/B", "...mp4", "....mp4", &format!("{long}a"), &format!("{long}b")];
    for key in keys {
        assert_eq!(node.put(key, key.to_owned()).await.status(), 201, "{key}");
    }
    for key in keys {
        assert_eq!(node.get(key).send().await.unwrap().text().await.unwrap(), key);
    }
}

#[tokio::test]
async fn false_claims_are_refused_and_leave_nothing() {
    let node = Node::start().await;
    let put = |header: &'static str, value: String| {
        let request = node.http.put(node.blob_url("a")).header(header, value).body("content");
        async move { problem(request.send().await.unwrap()).await }
    };
    assert_eq!(put("triton-blake3", BlobHash::of(b"other").to_string()).await, (422, "content-mismatch".to_owned()));
    assert_eq!(put("triton-blake3", "zz".to_owned()).await, (400, "bad-request".to_owned()));
    assert_eq!(put("triton-epoch", "-1".to_owned()).await, (400, "bad-request".to_owned()));
    assert_eq!(node.temporary_files(), 0);
    assert_eq!(node.get("a").send().await.unwrap().status(), 404);
    node.put("a", "one content").await;
    assert_eq!(problem(node.put("a", "another").await).await, (409, "blob-exists".to_owned()));
    assert_eq!(node.get("a").send().await.unwrap().text().await.unwrap(), "one content");
}

#[tokio::test]
async fn body_over_the_limit_is_refused_before_and_while_it_comes() {
    let node = Node::start().await;
    let declared = format!("content-length: {}\r\n", BLOB_BYTES_MAX + 1);
    assert_eq!(raw(&node, "PUT", "/v1/blobs/a", &declared).await, 413);
    let piece = content(1, 4 * 1024 * 1024);
    let pieces = usize::try_from(BLOB_BYTES_MAX).unwrap() / piece.len() + 1;
    let stream = futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let request = node.http.put(node.blob_url("b")).body(reqwest::Body::wrap_stream(stream));
    // The node may hang up before the last byte: an error is as good as the answer.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(node.get("b").send().await.unwrap().status(), 404);
    assert_eq!(node.temporary_files(), 0);
}

#[tokio::test]
async fn full_disk_refuses_writes_and_says_so() {
    let node = Node::start_with(|config| Config { reserve_bytes: Some(u64::MAX), ..config }).await;
    assert_eq!(problem(node.put("a", "x").await).await, (507, "insufficient-storage".to_owned()));
    assert_eq!(node.client.info().await.unwrap().disk, triton_api::storage::DiskState::Full);
    let ready = node.http.get(node.url.join("/readyz")).send().await.unwrap();
    assert_eq!(problem(ready).await, (503, "unavailable".to_owned()));
    assert_eq!(node.http.get(node.url.join("/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn node_with_a_secret_answers_signed_requests_only() {
    let secret: triton_api::secret::ClusterSecret = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let node = Node::start_with(|config| Config { secret: Some(secret.clone()), ..config }).await;
    assert_eq!(problem(node.put("a", "x").await).await, (401, "unauthorized".to_owned()));
    assert_eq!(problem(node.get("a").send().await.unwrap()).await.0, 401);
    let signed = NodeClient::new(Caller::untraced(Some(secret)).unwrap(), node.url.clone());
    signed.put(&key("a"), BlobHash::of(b"x"), Bytes::from("x"), Epoch::new(1)).await.unwrap();
    assert_eq!(signed.inventory(partition("a"), Some("A")).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn node_without_a_secret_listens_on_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path(), SocketAddr::from(([0, 0, 0, 0], 0)));
    let error = serve(config, CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains("--listen 0.0.0.0:0") && error.contains("TRITON_CLUSTER_SECRET"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
