//! Checksums of chunks, and partial uploads that are joined.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::{
    assert_download, assert_nothing_left, assert_parts_only,
    client::{Tus, UPLOADS, id_of, metadata},
    clip, service,
};

const PART: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_with_another_checksum_is_refused_whole_and_may_be_sent_again() {
    let (web, content) = (service().await, clip(PART + 200_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let (first, second) = content.split_at(PART + 100_000);
    let sha1 = |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    let sha256 = |bytes: &[u8]| format!("sha256 {}", STANDARD.encode(Sha256::digest(bytes)));
    for wrong in [sha1(second), sha256(second)] {
        let answer = tus.patch_with(&path, 0, &[("upload-checksum", &wrong)], first).await;
        assert_eq!(answer.status, 460, "{answer:?}");
        assert_eq!(answer.problem.unwrap()["type"], "urn:tritontube:problem:checksum-mismatch");
        assert_eq!(tus.head(&path).await.offset(), 0);
    }
    assert_eq!(web.node().info().await.unwrap().blobs, 0);
    assert_eq!(tus.patch_with(&path, 1, &[("upload-checksum", &sha1(first))], first).await.status, 409);
    assert_eq!(tus.patch_with(&path, 0, &[("upload-checksum", &sha1(first))], first).await.status, 204);
    let at = first.len() as u64;
    assert_eq!(tus.patch_with(&path, at, &[("upload-checksum", &sha256(second))], second).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;
    assert_parts_only(&web, content.len()).await;

    // With the creation: nothing is left of an upload whose address nobody knows.
    let len = content.len().to_string();
    let headers = [
        ("upload-length", &*len),
        ("content-type", "application/offset+octet-stream"),
        ("upload-checksum", &sha1(second)),
    ];
    assert_eq!(tus.send("POST", UPLOADS, &headers, content.clone()).await.status, 460);
    assert_eq!(web.videos().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_uploads_are_joined_byte_for_byte_and_go() {
    let (web, content) = (service().await, clip(3 * PART + 12_345));
    let tus = Tus::new(&web);
    let partial = [("upload-concat", "partial")];
    let borders = [0, 1_000_000, 2 * PART, 2 * PART + 5, content.len()];
    let mut paths = Vec::new();
    for pair in borders.windows(2) {
        let piece = &content[pair[0]..pair[1]];
        let path = tus.create(piece.len(), &partial).await;
        // In two requests, so that a tail is carried on.
        let half = piece.len() / 2;
        assert_eq!(tus.patch(&path, 0, &piece[..half]).await.status, 204);
        assert_eq!(tus.patch(&path, half as u64, &piece[half..]).await.status, 204);
        let head = tus.head(&path).await;
        assert_eq!((head.header("upload-concat"), head.offset()), (Some("partial"), piece.len() as u64));
        paths.push(path);
    }
    assert!(web.videos().await.is_empty(), "a part is no video");

    // Absolute and relative addresses.
    let joined = format!("final;{}{} {}", web.origin, paths[0], paths[1..].join(" "));
    let described = metadata(&[("title", "joined"), ("filename", "x.mp4")]);
    let length = [("upload-concat", &*joined), ("upload-length", "5")];
    assert_eq!(tus.send("POST", UPLOADS, &length, Vec::new()).await.status, 400);
    let headers = [("upload-concat", &*joined), ("upload-metadata", &described)];
    let answer = tus.send("POST", UPLOADS, &headers, Vec::new()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = answer.header("location").unwrap().to_owned();
    let head = tus.head(&path).await;
    assert_eq!(head.header("upload-concat"), Some(&*joined.replace(&web.origin, "")));
    assert_eq!(
        (head.offset(), head.header("upload-length")),
        (content.len() as u64, Some(&*content.len().to_string()))
    );
    assert_eq!(tus.patch(&path, content.len() as u64, &[]).await.status, 403);
    assert_eq!(web.videos().await[0].title, "joined");
    assert_download(&web, id_of(&path), &content).await;
    assert_parts_only(&web, content.len()).await;
    for path in &paths {
        assert!(matches!(tus.head(path).await.status, 404 | 410));
    }
    assert_eq!(tus.send("POST", UPLOADS, &headers, Vec::new()).await.status, 409);
    assert_eq!(tus.send("DELETE", &path, &[], Vec::new()).await.status, 204);
    assert_nothing_left(&web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_joined_is_refused() {
    let (web, content) = (service().await, clip(100_000));
    let tus = Tus::new(&web);
    let whole = tus.create(content.len(), &[]).await;
    let partial = tus.create(100_000, &[("upload-concat", "partial")]).await;
    assert_eq!(tus.patch(&partial, 0, &content[..10]).await.status, 204);
    for path in [&whole, &partial] {
        let joined = format!("final;{path}");
        let answer = tus.send("POST", UPLOADS, &[("upload-concat", &joined)], Vec::new()).await;
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    assert_eq!(tus.send("POST", UPLOADS, &[("upload-concat", "final;")], Vec::new()).await.status, 400);
    let text = b"no video ".repeat(20);
    let piece = tus.create(text.len(), &[("upload-concat", "partial")]).await;
    assert_eq!(tus.patch(&piece, 0, &text).await.status, 204);
    let joined = format!("final;{piece}");
    let answer = tus.send("POST", UPLOADS, &[("upload-concat", &joined)], Vec::new()).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    for path in [&whole, &partial, &piece] {
        assert_eq!(tus.send("DELETE", path, &[], Vec::new()).await.status, 204);
    }
    assert_nothing_left(&web).await;
}
