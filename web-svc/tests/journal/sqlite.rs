//! The journal of a process that is alone.

use std::sync::Arc;

use serde_json::json;
use web_svc::{
    journal::{Expect, SqliteJournal},
    store::{Durability, Store},
};

use crate::contract::{Fixture, conformance, put};

async fn sqlite() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
    Fixture { journal: Arc::new(SqliteJournal::new(store.clone())), store, keep: Box::new(dir) }
}

conformance!(sqlite);

#[tokio::test]
async fn sqlite_keeps_what_it_committed_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = Store::open(&path, Durability::Full).await.unwrap();
    let revision = put(&SqliteJournal::new(store.clone()), "a", Expect::Absent, json!(1)).await.unwrap();
    store.close().await;
    let store = Store::open(&path, Durability::Full).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision);
    let next = put(&SqliteJournal::new(store.clone()), "a", Expect::At(revision), json!(2)).await.unwrap();
    assert!(next > revision);
}
