//! A viewer that fetches every segment of a video, as its HLS playlists list them, and compares hashes.

use std::collections::BTreeMap;

use triton_api::{BlobHash, VideoId};

/// Hash by path of everything that a player can fetch.
pub(crate) type Segments = BTreeMap<String, BlobHash>;

pub(crate) struct Viewer {
    http: reqwest::Client,
    origin: String,
}

impl Viewer {
    pub(crate) fn new(origin: &str) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), origin: origin.to_owned() }
    }

    /// The paths of all media files of a video.
    pub(crate) async fn paths(&self, id: VideoId) -> Vec<String> {
        let base = format!("/media/{id}");
        let master = self.text(&format!("{base}/master.m3u8")).await.unwrap();
        let mut paths = Vec::new();
        for playlist in uris(&master) {
            let folder = playlist.rsplit_once('/').unwrap().0;
            let media = self.text(&format!("{base}/{playlist}")).await.unwrap();
            paths.extend(uris(&media).map(|uri| format!("{base}/{folder}/{uri}")));
        }
        paths
    }

    /// Fetches everything once; a failure is an error with its path.
    pub(crate) async fn watch(&self, paths: &[String]) -> Result<Segments, String> {
        let mut segments = Segments::new();
        for path in paths {
            let bytes = self.fetch(path).await.map_err(|error| format!("{path}: {error}"))?;
            segments.insert(path.clone(), BlobHash::of(&bytes));
        }
        Ok(segments)
    }

    async fn fetch(&self, path: &str) -> Result<bytes::Bytes, String> {
        let answer = self.http.get(format!("{}{path}", self.origin)).send().await.map_err(|e| format!("{e:?}"))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|e| format!("{e:?}"))?;
        if status == 200 { Ok(bytes) } else { Err(format!("{status} {}", String::from_utf8_lossy(&bytes))) }
    }

    async fn text(&self, path: &str) -> Result<String, String> {
        self.fetch(path).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Every URI of a playlist: its lines, and those in attributes.
fn uris(playlist: &str) -> impl Iterator<Item = String> + '_ {
    playlist.lines().filter_map(|line| match line.split_once("URI=\"") {
        Some((_, rest)) => rest.split('"').next().map(str::to_owned),
        None if line.is_empty() || line.starts_with('#') => None,
        None => Some(line.to_owned()),
    })
}
