use std::path::Path;

use futures_util::stream;
use triton_testkit::media;

use crate::house::House;

/// A house with one video that nobody has begun to transcode, and its export.
async fn house_with_export(dir: &Path) -> (House, String) {
    let clip = media::clip(dir, "clip.mp4", 1, "320x180");
    let house = House::embedded(&dir.join("old"), 0).await;
    house.upload(&clip).await;
    let file = dir.join("house.jsonl");
    house.ctl_ok(&["metadata", "export", file.to_str().unwrap()]);
    (house, std::fs::read_to_string(file).unwrap())
}

async fn post(house: &House, body: impl Into<reqwest::Body>) -> (u16, String) {
    let url = format!("{}/api/v1/admin/metadata?without_nodes=true", house.origin);
    let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_whole_and_unaltered_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (old, export) = house_with_export(dir.path()).await;
    let new = House::embedded(&dir.path().join("new"), 0).await;
    let half = &export[..usize::midpoint(export.find('\n').unwrap(), export.len())];
    for (body, words) in [
        (export.replace("\"title\":\"clip\"", "\"title\":\"clap\""), "altered"),
        (half.to_owned(), "was cut"),
        (format!("{half}\n"), "altered"),
        ("#EXTM3U\n".to_owned(), "not metadata exported"),
        (export.replacen("\"v\":1", "\"v\":9", 1), "newer version"),
    ] {
        let (status, problem) = post(&new, body.clone()).await;
        assert!(status == 422 && problem.contains(words), "{words}: {status} {problem}");
        // The command line finds it out before it sends anything.
        let file = dir.path().join("bad.jsonl");
        std::fs::write(&file, body).unwrap();
        let (ok, text) = new.ctl(&["metadata", "import", file.to_str().unwrap(), "--without-nodes"]);
        assert!(!ok && text.contains(words), "{words}: {text}");
    }
    let broken =
        stream::iter([Ok(bytes::Bytes::from(half.to_owned())), Err(std::io::Error::other("the cable was cut"))]);
    let url = format!("{}/api/v1/admin/metadata?without_nodes=true", new.origin);
    let cut = reqwest::Client::new().post(url).body(reqwest::Body::wrap_stream(broken)).send().await;
    assert!(cut.is_err());
    assert_eq!(new.titles().await, Vec::<String>::new());
    assert_eq!(new.client().jobs(None).await.unwrap().items.len(), 0);

    // After all that the true file is taken, and taken again, and changes nothing then.
    let records = export.lines().count() - 2;
    let (status, report) = post(&new, export.clone()).await;
    assert_eq!((status, report), (200, format!(r#"{{"imported":{records},"skipped":0,"nodes_added":0}}"#)));
    let (status, report) = post(&new, export.clone()).await;
    assert_eq!((status, report), (200, format!(r#"{{"imported":0,"skipped":{records},"nodes_added":0}}"#)));
    assert_eq!(new.titles().await, ["clip"]);
    drop(old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_differs_is_named_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (old, export) = house_with_export(dir.path()).await;
    let id = old.client().videos(&triton_api::video::VideoQuery::default()).await.unwrap().items[0].id;
    let url = format!("{}/api/v1/videos/{id}", old.origin);
    let patch = reqwest::Client::new().patch(url).json(&serde_json::json!({"title": "another title"}));
    assert_eq!(patch.send().await.unwrap().status(), 200);
    let (status, problem) = post(&old, export).await;
    assert!(status == 409 && problem.contains(&format!("video/{id}")), "{status} {problem}");
    assert_eq!(old.titles().await, ["another title"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_not_meant_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = house_with_export(dir.path()).await;
    old.stop();
    let new = House::embedded(&dir.path().join("new"), 0).await;
    let other = triton_testkit::StorageNode::start(None).await;
    let file = dir.path().join("house.jsonl").display().to_string();
    for (arguments, words) in [
        (vec!["--node", other.url.as_str()], "none of the nodes of the exported installation"),
        (vec!["--node", "http://127.0.0.1:9"], "does not answer as a storage node"),
        (vec![], "--without-nodes"),
    ] {
        let (ok, text) = new.ctl(&[vec!["metadata", "import", &file], arguments].concat());
        assert!(!ok && text.contains(words), "{words}: {text}");
    }
    assert_eq!((new.titles().await.len(), new.client().nodes().await.unwrap().items.len()), (0, 1));
    assert_eq!(other.client().info().await.unwrap().epoch, None, "the stranger was told a layout");
    new.ctl_ok(&["metadata", "import", &file, "--without-nodes"]);
    assert_eq!(new.titles().await, ["clip"]);
}
