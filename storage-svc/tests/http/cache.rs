//! Reading from memory: the same answers as from the disk, and nothing that the disk has no more.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use triton_api::secret::ClusterSecret;
use triton_testkit::content;

use super::*;

/// What a piece of the cache has: a border that answers must not show.
const PIECE: usize = 1024 * 1024;

type Answer = (u16, BTreeMap<String, String>, Bytes);

async fn answer(node: &Node, key: &str, headers: &[(&str, String)]) -> Answer {
    let request = headers.iter().fold(node.get(key), |request, (name, value)| request.header(*name, value));
    let response = request.send().await.unwrap();
    let own = |name: &str| !matches!(name, "date" | "x-request-id");
    let head = response.headers().iter().filter(|(name, _)| own(name.as_str()));
    let head = head.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (response.status().as_u16(), head, response.bytes().await.unwrap())
}

fn without_cache(mut config: Config) -> Config {
    config.cache_bytes = Some(0);
    config
}

#[tokio::test]
async fn answers_from_memory_equal_those_from_the_disk() {
    let (cached, uncached) = (Node::start().await, Node::start_with(without_cache).await);
    for len in [0, 1, 65_536, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 70_000] {
        let (key, sent) = (format!("v/x/{len}"), content(len as u64, len));
        for node in [&cached, &uncached] {
            assert_eq!(node.put(&key, sent.clone()).await.status(), 201);
        }
        let tag = format!("\"{}\"", BlobHash::of(&sent));
        let mut wishes =
            vec![vec![], vec![("if-none-match", tag.clone())], vec![("if-none-match", "\"x\"".to_owned())]];
        let ranges = [
            "0-",
            "0-0",
            "-5",
            "-0",
            "7-70000",
            "1048575-1048576",
            "1048576-",
            "1048576-2097151",
            "600000-2600000",
            "9-3",
        ];
        wishes.extend(ranges.iter().map(|range| vec![("range", format!("bytes={range}"))]));
        for if_range in [tag, "\"other\"".to_owned()] {
            wishes.push(vec![("range", "bytes=1-2".to_owned()), ("if-range", if_range)]);
        }
        // The second time what can be in memory is there, the third time what is wanted again.
        for round in 0..3 {
            for wish in &wishes {
                let (from_memory, from_disk) = (answer(&cached, &key, wish).await, answer(&uncached, &key, wish).await);
                // A problem names its request.
                let same = from_memory.2 == from_disk.2 || from_memory.0 >= 400;
                assert!(same, "{len} bytes, {wish:?}, round {round}: other content");
                assert_eq!(
                    (from_memory.0, from_memory.1),
                    (from_disk.0, from_disk.1),
                    "{len} bytes, {wish:?}, round {round}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_blob_is_forgotten_before_the_delete_is_answered() {
    let node = Node::start().await;
    for round in 0..20 {
        // One that is answered from memory alone, and one that is held open while it is sent.
        let len = if round % 2 == 0 { 50_000 } else { 2 * PIECE + 1 };
        let (gone, sent) = (format!("a/{round}"), content(round, len));
        let neighbour =
            (0..100_000).map(|n| format!("b/{round}/{n}")).find(|n| partition(n) == partition(&gone)).unwrap();
        for key in [&gone, &neighbour] {
            assert_eq!(node.put(key, sent.clone()).await.status(), 201);
        }
        let is_deleted = AtomicBool::new(false);
        let read = async || {
            loop {
                let must_be_gone = is_deleted.load(Ordering::SeqCst);
                let response = node.get(&gone).send().await.unwrap();
                match response.status().as_u16() {
                    // Who has begun to read reads on.
                    200 if !must_be_gone => assert!(response.bytes().await.unwrap() == sent),
                    404 if must_be_gone => return,
                    404 => {}
                    status => panic!("{status}, deleted: {must_be_gone}, round {round}"),
                }
            }
        };
        let delete = async {
            assert!(node.get(&gone).send().await.unwrap().bytes().await.unwrap() == sent);
            assert!(node.get(&neighbour).send().await.unwrap().bytes().await.unwrap() == sent);
            assert_eq!(node.http.delete(node.blob_url(&gone)).send().await.unwrap().status(), 204);
            is_deleted.store(true, Ordering::SeqCst);
        };
        tokio::join!(delete, read(), read(), read());
        assert!(node.get(&neighbour).send().await.unwrap().bytes().await.unwrap() == sent);
    }
}

#[tokio::test]
async fn what_lies_in_memory_is_for_signed_requests_only() {
    let secret: ClusterSecret = "correct horse battery".parse().unwrap();
    let node = Node::start_with(|config| Config { secret: Some(secret.clone()), ..config }).await;
    let client = NodeClient::new(Caller::untraced(Some(secret)).unwrap(), node.url.clone());
    let sent = content(3, 5000);
    client.put(&key("a"), BlobHash::of(&sent), sent.clone(), Epoch::new(1)).await.unwrap();
    for _ in 0..3 {
        client.get(&key("a"), None).await.unwrap();
        assert_eq!(node.get("a").send().await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn damaged_copy_is_not_kept_in_memory() {
    let node = Node::start().await;
    let sent = content(1, 2 * PIECE);
    node.put("a", sent.clone()).await;
    // Its first half is in memory when the second turns out damaged.
    let half = node.get("a").header("range", format!("bytes=0-{}", PIECE - 1)).send().await.unwrap();
    assert!(half.bytes().await.unwrap() == sent[..PIECE]);
    node.damage("a", PIECE + 1);
    let half = node.get("a").header("range", format!("bytes={PIECE}-")).send().await.unwrap();
    assert_eq!(problem(half).await, (500, "corrupt".to_owned()));
    for range in [format!("bytes=0-{}", PIECE - 1), "bytes=0-".to_owned()] {
        let answer = node.get("a").header("range", range).send().await.unwrap();
        assert_eq!(answer.status(), 404, "nothing of it comes from memory");
    }
    // A good copy is served again.
    assert_eq!(node.put("a", sent.clone()).await.status(), 201);
    assert!(node.get("a").send().await.unwrap().bytes().await.unwrap() == sent);
}

#[tokio::test]
async fn damaged_copy_is_found_when_it_is_read_again() {
    let node = Node::start().await;
    for at in [0, 99_999, 100_010] {
        let key = format!("b/{at}");
        node.put(&key, content(2, 100_000)).await;
        node.damage(&key, at);
        assert_eq!(problem(node.get(&key).send().await.unwrap()).await, (500, "corrupt".to_owned()));
        assert_eq!(node.get(&key).send().await.unwrap().status(), 404);
    }
}
