//! The same contents for all sides: as files for nginx, as blobs for a node.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use triton_api::{BlobHash, BlobKey, Epoch, client::NodeClient};
use triton_testkit::content;

use crate::harness::Bench;

/// Blobs that are sent to a node at once.
const WRITERS: usize = 16;

/// Contents of one length, numbered from 0.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    pub(crate) count: u32,
    pub(crate) bytes_each: u64,
}

impl Corpus {
    /// The part of path and key before the number.
    pub(crate) fn prefix(&self) -> String {
        format!("bench/{}/", self.bytes_each)
    }

    fn name(&self, number: u32) -> String {
        format!("{}{number:07}", self.prefix())
    }

    /// The key of one of them.
    pub(crate) fn key(&self, number: u32) -> anyhow::Result<BlobKey> {
        Ok(self.name(number).parse()?)
    }

    fn content(&self, number: u32) -> anyhow::Result<Bytes> {
        Ok(content(u64::from(number) + 1, usize::try_from(self.bytes_each)?))
    }

    /// Writes the contents as files; answers the directory that the names are relative to.
    pub(crate) fn write_files(&self, bench: &Bench) -> anyhow::Result<PathBuf> {
        let root = bench.scratch().join("files");
        fs::create_dir_all(root.join(self.prefix()))?;
        for number in 0..self.count {
            fs::write(root.join(self.name(number)), self.content(number)?)?;
        }
        Ok(root)
    }

    /// Puts the contents onto a node.
    pub(crate) async fn put(&self, client: &NodeClient) -> anyhow::Result<()> {
        let puts = (0..self.count).map(|number| async move {
            let (key, body): (BlobKey, _) = (self.name(number).parse()?, self.content(number)?);
            let put = client.put(&key, BlobHash::of(&body), body, Epoch::new(1)).await;
            put.with_context(|| format!("cannot put {key}")).map(drop)
        });
        stream::iter(puts).buffer_unordered(WRITERS).try_collect().await
    }
}
