//! The web service against nginx: from its hot cache, and relaying from a storage node.

use std::path::Path;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use triton_api::{BlobHash, BlobKey};
use triton_testkit::{StorageNode, WebService, content, media};

use crate::{
    corpus::Corpus,
    harness::{Bench, Side, compare},
    nginx::Nginx,
    report::Outcome,
    wrk::Wrk,
};

/// Segments that are asked for: more than what lies in the processor's own caches.
const SEGMENTS: u32 = 64;
/// How long the one short clip may take until it plays.
const READY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
const WRITERS: usize = 8;
const HOT: &str = "web-svc, hot cache";
const RELAY: &str = "web-svc + storage-svc";

pub(super) fn hot_one_mib(bench: &Bench) -> anyhow::Result<Outcome> {
    hot(bench, 1024 * 1024, 16, ["web-hot-sendfile-1m", "web-hot-proxy-cache-1m"])
}

pub(super) fn hot_two_hundred_kib(bench: &Bench) -> anyhow::Result<Outcome> {
    hot(bench, 200 * 1024, 64, ["web-hot-sendfile-200k", "web-hot-proxy-cache-200k"])
}

pub(super) fn relay_one_mib(bench: &Bench) -> anyhow::Result<Outcome> {
    relay(bench, 1024 * 1024, 16, "relay-1m")
}

pub(super) fn relay_two_hundred_kib(bench: &Bench) -> anyhow::Result<Outcome> {
    relay(bench, 200 * 1024, 64, "relay-200k")
}

fn hot(bench: &Bench, bytes_each: u64, connections: u32, goals: [&'static str; 2]) -> anyhow::Result<Outcome> {
    let corpus = Corpus { count: SEGMENTS, bytes_each };
    let files = Nginx::sendfile(bench, &corpus.write_files(bench)?)?;
    let cache = Nginx::proxy_cache(bench, &authority(&files))?;
    let stage = bench.runtime.block_on(Stage::start(&corpus, 512 * 1024 * 1024))?;
    let load = |prefix| Wrk::whole(prefix, SEGMENTS, connections, bytes_each).load(bench);
    let mut outcome = Outcome::default();
    for (goal, name, nginx) in [(goals[0], "nginx sendfile", &files), (goals[1], "nginx proxy_cache", &cache)] {
        let sides = vec![
            Side { name, pids: vec![nginx.pid()], load: load(format!("{}/{}", nginx.origin(), corpus.prefix()))? },
            Side { name: HOT, pids: vec![stage.web.process.pid()], load: load(stage.prefix())? },
        ];
        let title = format!("Hot segments of {} KiB, {connections} connections, {name}", bytes_each / 1024);
        outcome.extend(Outcome::of(goal, compare(bench, &title, sides)?, HOT));
    }
    Ok(outcome)
}

fn relay(bench: &Bench, bytes_each: u64, connections: u32, goal: &'static str) -> anyhow::Result<Outcome> {
    let corpus = Corpus { count: SEGMENTS, bytes_each };
    let files = Nginx::sendfile(bench, &corpus.write_files(bench)?)?;
    let proxy = Nginx::proxy(bench, &authority(&files))?;
    let stage = bench.runtime.block_on(Stage::start(&corpus, 0))?;
    let load = |prefix| Wrk::whole(prefix, SEGMENTS, connections, bytes_each).load(bench);
    let sides = vec![
        Side {
            name: "nginx proxy_pass",
            pids: vec![proxy.pid(), files.pid()],
            load: load(format!("{}/{}", proxy.origin(), corpus.prefix()))?,
        },
        Side {
            name: RELAY,
            pids: vec![stage.web.process.pid(), stage.node.process.pid()],
            load: load(stage.prefix())?,
        },
    ];
    let title = format!(
        "Relayed segments of {} KiB, {connections} connections, nothing cached by the relays",
        bytes_each / 1024
    );
    Ok(Outcome::of(goal, compare(bench, &title, sides)?, RELAY))
}

/// `host:port` of an nginx.
fn authority(nginx: &Nginx) -> String {
    nginx.origin().replacen("http://", "", 1)
}

/// A web service with one node and one video that plays, whose segments are a corpus.
struct Stage {
    node: StorageNode,
    web: WebService,
    /// `/media/{id}/{generation}/{rendition}`.
    folder: String,
}

impl Stage {
    async fn start(corpus: &Corpus, cache_bytes: u64) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let clip = media::clip(dir.path(), "clip.mp4", 1, "320x180");
        let node = StorageNode::start(None).await;
        let cache = cache_bytes.to_string();
        let web = WebService::start_on(std::slice::from_ref(&node.url), &["--cache-bytes", &cache]).await;
        let id = web.upload(&clip).await.id;
        web.ready(id, READY_DEADLINE).await;
        let master = web.text(&format!("/media/{id}/master.m3u8")).await;
        let playlist = master
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .context("a playlist of a rendition")?;
        let rendition = Path::new(playlist).parent().and_then(Path::to_str).context("its folder")?;
        let stage = Self { node, web, folder: format!("/media/{id}/{rendition}") };
        stage.put(corpus).await?;
        Ok(stage)
    }

    /// Puts the corpus where the segments of the video lie.
    async fn put(&self, corpus: &Corpus) -> anyhow::Result<()> {
        let client = self.node.client();
        let epoch = client.layout().await?.context("the node has no layout")?.write_epoch();
        let len = usize::try_from(corpus.bytes_each)?;
        let puts = (0..corpus.count).map(|number| {
            let (client, path) = (client.clone(), format!("{}/{number:07}", self.folder));
            async move {
                let key: BlobKey = path.replacen("/media/", "v/", 1).parse()?;
                let body = content(u64::from(number) + 1, len);
                client.put(&key, BlobHash::of(&body), body, epoch).await.map(drop).map_err(anyhow::Error::from)
            }
        });
        stream::iter(puts).buffer_unordered(WRITERS).try_collect().await
    }

    /// What the paths of the corpus begin with, before the number.
    fn prefix(&self) -> String {
        format!("{}{}/", self.web.origin, self.folder)
    }
}
