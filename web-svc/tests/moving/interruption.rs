use std::{path::Path, time::Duration};

use bytes::BytesMut;
use serde_json::{Value, json};
use triton_api::{
    Generation, VideoId,
    metadata::{FORMAT, MetadataHeader, Order, VERSION, Writer},
};
use triton_testkit::eventually;
use web_svc::{
    journal::{Change, Expect, Journal, RecordKey, SqliteJournal},
    store::Store,
};

use crate::house::House;

const RECORDS: u32 = 20_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// An export of many records, in the order of the file; none of them belongs to a video.
async fn large_export(house: &House, file: &Path) -> Vec<RecordKey> {
    let answer = reqwest::get(format!("{}/api/v1/admin/metadata", house.origin)).await.unwrap().text().await.unwrap();
    let present: MetadataHeader = serde_json::from_str(answer.lines().next().unwrap()).unwrap();
    let id = VideoId::generate();
    let mut keys: Vec<_> = (1..=RECORDS).map(|number| RecordKey::plan(id, Generation::new(number))).collect();
    keys.sort_by_key(|key| Order::of(key.as_str()));
    let (mut writer, mut out) = (Writer::default(), BytesMut::new());
    let header = MetadataHeader { format: FORMAT.to_owned(), v: VERSION, ..present };
    writer.header(&header, &mut out).unwrap();
    for key in &keys {
        writer.record(key.as_str(), &json!({"v": 1, "n": key.as_str()}).to_string(), &mut out).unwrap();
    }
    writer.trailer(&mut out).unwrap();
    std::fs::write(file, &out).unwrap();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_killed_goes_on_and_keeps_what_was_changed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::embedded(&dir.path().join("house"), 0).await;
    let file = dir.path().join("large.jsonl");
    let keys = large_export(&house, &file).await;

    let url = format!("{}/api/v1/admin/metadata", house.origin);
    let body = std::fs::read(&file).unwrap();
    let importing = tokio::spawn(async move { reqwest::Client::new().post(url).body(body).send().await.is_ok() });
    let store = Store::open(&house.dir.join("catalog.db"), web_svc::store::Durability::Full).await.unwrap();
    eventually(DEADLINE, || async { store.get::<Value>(&RecordKey::metadata_import()).await.unwrap().is_some() }).await;
    house.process.kill();
    assert!(!importing.await.unwrap(), "the import had ended before the kill");
    let written = store.list::<Value>("plan/", RECORDS).await.unwrap().len();
    assert!(written > 0 && written < keys.len(), "{written} records were written");

    // Somebody works with what is there already.
    let journal = SqliteJournal::new(store.clone());
    let change = Change::new().put(keys[0].clone(), Expect::Anything, &json!({"v": 1, "n": "changed"})).unwrap();
    journal.commit(change.delete(keys[1].clone(), Expect::Anything)).await.unwrap();
    store.close().await;

    house.restart().await;
    let report: Value =
        serde_json::from_str(&house.ctl_ok(&["--json", "metadata", "import", file.to_str().unwrap()])).unwrap();
    assert_eq!(report, json!({"imported": keys.len() - written, "skipped": written, "nodes_added": 0}));
    let store = Store::open(&house.dir.join("catalog.db"), web_svc::store::Durability::Full).await.unwrap();
    assert_eq!(store.list::<Value>("plan/", RECORDS).await.unwrap().len(), keys.len() - 1);
    assert_eq!(store.get::<Value>(&keys[0]).await.unwrap().unwrap().value["n"], "changed");
    assert!(store.get::<Value>(&RecordKey::metadata_import()).await.unwrap().is_none());
    store.close().await;
}
