//! Writing, reading and deleting.

use futures_util::TryStreamExt as _;
use triton_testkit::{content, eventually};

use super::*;

#[tokio::test]
async fn blob_comes_back_as_it_was_sent() {
    let node = Node::start().await;
    for (number, len) in [0, 1, 65_536, 262_144, 262_145, 1_048_576, 3_000_001].into_iter().enumerate() {
        let (name, sent) = (format!("v/x/{number}"), content(len as u64, len));
        let answer = node.put(&name, sent.clone()).await;
        assert_eq!(answer.status(), 201);
        let tag = format!("\"{}\"", BlobHash::of(&sent));
        assert_eq!(answer.headers()["etag"], tag);
        assert_eq!(node.put(&name, sent.clone()).await.status(), 200);
        let answer = node.get(&name).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(len as u64)));
        assert_eq!(answer.headers()["etag"], tag);
        assert_eq!(answer.headers()["accept-ranges"], "bytes");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(answer.bytes().await.unwrap() == sent);
        assert_eq!(node.client.head(&key(&name)).await.unwrap(), Some((BlobHash::of(&sent), len as u64)));
    }
    let info = node.client.info().await.unwrap();
    assert_eq!((info.blobs, info.id), (7, node.running.id()));
}

#[tokio::test]
async fn chunked_body_of_unknown_length_is_stored() {
    let node = Node::start().await;
    let sent = content(1, 2_500_000);
    let pieces = sent.chunks(1000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
    assert_eq!(node.put("a", body).await.status(), 201);
    assert!(node.get("a").send().await.unwrap().bytes().await.unwrap() == sent);
}

#[tokio::test]
async fn ranges_and_conditions_answer_as_rfc_9110_says() {
    let node = Node::start().await;
    let sent = content(2, 1_500_000);
    node.put("a", sent.clone()).await;
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=65535-65536", 65_535..65_537),
        ("bytes=500000-1100000", 500_000..1_100_001),
        ("bytes=-7", 1_499_993..1_500_000),
        ("bytes=1499999-", 1_499_999..1_500_000),
    ] {
        let answer = node.get("a").header("range", range).send().await.unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        let expected = format!("bytes {}-{}/1500000", part.start, part.end - 1);
        assert_eq!(answer.headers()["content-range"], expected);
        assert_eq!(answer.content_length(), Some(part.len() as u64));
        assert!(answer.bytes().await.unwrap() == sent[part], "{range}");
    }
    let answer = node.get("a").header("range", "bytes=1500000-").send().await.unwrap();
    assert_eq!(answer.headers()["content-range"], "bytes */1500000");
    assert_eq!(problem(answer).await, (416, "range-not-satisfiable".to_owned()));

    let tag = format!("\"{}\"", BlobHash::of(&sent));
    let answer = node.get("a").header("if-none-match", &tag).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
    assert!(answer.bytes().await.unwrap().is_empty());
    let conditional = |tag: &str| node.get("a").header("range", "bytes=0-9").header("if-range", tag.to_owned());
    assert_eq!(conditional(&tag).send().await.unwrap().status(), 206);
    assert_eq!(conditional("\"other\"").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn deleted_key_stays_deleted() {
    let node = Node::start().await;
    let sent = content(3, 1000);
    node.put("a", sent.clone()).await;
    let open = node.client.get(&key("a"), None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(node.http.delete(node.blob_url("a")).send().await.unwrap().status(), 204);
    }
    // Who was reading reads on.
    assert!(
        open.into_stream()
            .try_fold(Vec::new(), |all, piece| async move { Ok([all, piece.to_vec()].concat()) })
            .await
            .unwrap()
            == sent
    );
    let answer = node.get("a").send().await.unwrap();
    assert!(answer.headers().contains_key("triton-tombstone"), "that it was deleted is told to who looks elsewhere");
    assert_eq!(problem(answer).await, (404, "not-found".to_owned()));
    assert!(node.client.head(&key("a")).await.unwrap_err().is_deleted());
    assert!(!node.get("b").send().await.unwrap().headers().contains_key("triton-tombstone"));
    assert_eq!(node.client.head(&key("b")).await.unwrap(), None);
    assert_eq!(problem(node.put("a", sent).await).await, (410, "gone".to_owned()));
    let inventory = node.client.inventory(partition("a"), None).await.unwrap();
    assert!(inventory.items.len() == 1 && inventory.items[0].deleted);
    // A node that never had the blob remembers the delete all the same: it must not be pulled later.
    assert_eq!(node.http.delete(node.blob_url("never")).send().await.unwrap().status(), 204);
    assert_eq!(problem(node.put("never", "x").await).await.0, 410);
}

#[tokio::test]
async fn damaged_block_at_the_front_is_an_error_and_then_an_absence() {
    let node = Node::start().await;
    node.put("a", content(4, 2_000_000)).await;
    node.damage("a", 1000);
    assert_eq!(problem(node.get("a").send().await.unwrap()).await, (500, "corrupt".to_owned()));
    assert_eq!(problem(node.get("a").send().await.unwrap()).await, (404, "not-found".to_owned()));
    let info = node.client.info().await.unwrap();
    assert_eq!((info.quarantined, info.blobs), (1, 0));
    assert_eq!(node.put("a", content(4, 2_000_000)).await.status(), 201);
}

#[tokio::test]
async fn damaged_block_in_the_middle_breaks_the_answer_off_before_it() {
    let node = Node::start().await;
    let sent = content(5, 4_000_000);
    node.put("a", sent.clone()).await;
    node.damage("a", 3_000_000);
    let mut answer = node.get("a").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut received = Vec::new();
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => received.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "a damaged answer looked whole");
    assert!(received.len() <= 3_000_000 && sent.starts_with(&received));
    assert_eq!(node.get("a").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn body_that_breaks_off_leaves_no_file() {
    use tokio::io::AsyncWriteExt as _;
    let node = Node::start().await;
    for head in ["content-length: 3000000", "transfer-encoding: chunked"] {
        let mut socket = tokio::net::TcpStream::connect(node.running.address()).await.unwrap();
        let head = format!("PUT /v1/blobs/half HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        // As one chunk, or as the beginning of the body: not a megabyte, so that staging has begun but no batch is full.
        socket.write_all(b"186A0\r\n").await.unwrap();
        socket.write_all(&content(6, 100_000)).await.unwrap();
        eventually(std::time::Duration::from_secs(10), || async { node.temporary_files() == 1 }).await;
        drop(socket);
        eventually(std::time::Duration::from_secs(10), || async { node.temporary_files() == 0 }).await;
        assert_eq!(node.get("half").send().await.unwrap().status(), 404);
    }
}
