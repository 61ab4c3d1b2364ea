//! Originals as ffmpeg reads them.

use tokio_util::sync::CancellationToken;
use triton_api::VideoId;
use triton_testkit::Fault;
use web_svc::catalog::VideoRecord;
use web_svc::source::{OpenSource, Sources};

use crate::cluster::{Cluster, MIB, content};

async fn read(source: &OpenSource) -> reqwest::Result<usize> {
    let answer = reqwest::get(source.source().url().clone()).await.unwrap();
    answer.bytes().await.map(|bytes| bytes.len())
}

#[tokio::test]
async fn an_original_that_the_ring_cannot_give_whole_breaks_its_source() {
    let cluster = Cluster::start(1, 1).await;
    let id = VideoId::generate();
    cluster.put_everywhere(&VideoRecord::original_part(id, 0), &content(1, 2 * MIB)).await;
    let (sources, listener) = Sources::bind(cluster.ring.clone()).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(sources.clone().serve(listener, stop.clone()));
    let _stop = stop.drop_guard();
    let source = sources.open(id, 2 * MIB as u64);
    assert_eq!(read(&source).await.unwrap(), 2 * MIB);
    assert!(!source.source().is_broken());
    cluster.nodes[0].proxy.fault(Fault::CutAfter(700_000));
    read(&source).await.unwrap_err();
    assert!(source.source().is_broken() && source.source().is_away());
    assert!(!sources.open(id, 2 * MIB as u64).source().is_broken());
}
