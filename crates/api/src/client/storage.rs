//! A typed client of one storage node.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use super::{CALL_TIMEOUT, Caller, ClientError, lane::LaneBody};
use crate::{
    BlobHash, BlobKey, Epoch, NodeUrl, Page, PartitionId, ProblemType,
    layout::LayoutRecord,
    storage::{
        BACKGROUND_HEADER, BLOCK_SUMS_HEADER, BlobReceipt, EPOCH_HEADER, HASH_HEADER, InventoryEntry, NodeInfo, Orphan,
        OrphanReport, OrphanRequest, PartitionDigest, PullReport, PullRequest, ReleaseReport, ReleaseRequest,
        Tombstone, TombstoneDigest, route,
    },
};

const BACKGROUND: HeaderName = HeaderName::from_static(BACKGROUND_HEADER);
/// The longest time for one blob to be sent and made durable.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest silence while a blob is read.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest page of an inventory.
const INVENTORY_ENTRIES_MAX: u16 = 1000;
/// The longest time for one bounded step of a pull or a release.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// A client of one storage node.
#[derive(Debug, Clone)]
pub struct NodeClient {
    caller: Caller,
    url: NodeUrl,
    is_background: bool,
}

/// A blob, or a part of it, as it arrives.
#[derive(Debug)]
pub struct BlobRead {
    /// The hash of the whole blob.
    pub hash: BlobHash,
    /// The length of the whole blob in bytes.
    pub total_bytes: u64,
    /// The number of bytes that this answer carries.
    pub len_bytes: u64,
    /// The sum of the block sums, where the answer carries the whole blob and the node told it.
    pub block_sums: Option<u32>,
    url: String,
    body: LaneBody,
}

impl BlobRead {
    /// The bytes. An early end is an error, for the length was declared.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + 'static {
        let url = self.url;
        self.body.map_err(move |error| ClientError::Unreachable { url: url.clone(), reason: error.to_string() })
    }
}

impl NodeClient {
    /// A client of the node at `url`.
    pub fn new(caller: Caller, url: NodeUrl) -> Self {
        Self { caller, url, is_background: false }
    }

    /// The same for reads that yield to those of viewers.
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { is_background: true, ..self }
    }

    fn blob_url(&self, key: &BlobKey) -> String {
        self.url.join(&format!("{}{key}", route::BLOB_PREFIX))
    }

    /// Stores a blob; returns when it is durable there. The node refuses it unless its content has this hash.
    pub async fn put(
        &self,
        key: &BlobKey,
        hash: BlobHash,
        content: Bytes,
        epoch: Epoch,
    ) -> Result<BlobReceipt, ClientError> {
        let url = self.blob_url(key);
        let request = self
            .caller
            .request(Method::PUT, &url)
            .timeout(PUT_TIMEOUT)
            .header(EPOCH_HEADER, epoch.get())
            .header(HASH_HEADER, hash.to_string())
            .body(content);
        self.caller.json(&url, request).await
    }

    /// The headers of a read: which part, and whether it can wait.
    fn wish(&self, part: Option<Range<u64>>) -> HeaderMap {
        let part = part.map(|part| format!("bytes={}-{}", part.start, part.end.saturating_sub(1)));
        let part = part.and_then(|part| HeaderValue::try_from(part).ok());
        let mut headers = HeaderMap::new();
        headers.extend(part.map(|part| (header::RANGE, part)));
        headers.extend(self.is_background.then_some((BACKGROUND, HeaderValue::from_static("1"))));
        headers
    }

    /// Opens a blob for reading, whole or in part; returns when the head of the answer is there.
    pub async fn get(&self, key: &BlobKey, part: Option<Range<u64>>) -> Result<BlobRead, ClientError> {
        let path = format!("{}{key}", route::BLOB_PREFIX);
        let sent = tokio::time::timeout(READ_TIMEOUT, self.caller.read(&self.url, &path, self.wish(part))).await;
        let url = self.url.join(&path);
        let (head, body) = sent.map_err(|_| ClientError::Timeout { url: url.clone() })??;
        let unexpected = || ClientError::Unexpected { url: url.clone(), status: head.status };
        let text = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let hash = text(header::ETAG).and_then(|tag| tag.trim_matches('"').parse().ok()).ok_or_else(unexpected)?;
        let len_bytes = text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok()).ok_or_else(unexpected)?;
        let total_bytes = match text(header::CONTENT_RANGE) {
            Some(range) => range.rsplit('/').next().and_then(|total| total.parse().ok()).ok_or_else(unexpected)?,
            None => len_bytes,
        };
        let block_sums = head.headers.get(BLOCK_SUMS_HEADER).and_then(|value| value.to_str().ok());
        let block_sums = block_sums.and_then(|sums| u32::from_str_radix(sums, 16).ok());
        Ok(BlobRead { hash, total_bytes, len_bytes, block_sums, url, body })
    }

    /// The hash and length of a blob, or `None` where the node says that it has none.
    ///
    /// # Errors
    /// A problem of the type `Gone` where the node says that it was deleted.
    pub async fn head(&self, key: &BlobKey) -> Result<Option<(BlobHash, u64)>, ClientError> {
        let url = self.blob_url(key);
        let request = self.caller.request(Method::HEAD, &url).timeout(CALL_TIMEOUT);
        let response = match self.caller.send(&url, request).await {
            Ok(response) => response,
            Err(error) if error.problem_type() == Some(ProblemType::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let hash = text(header::ETAG).and_then(|tag| tag.trim_matches('"').parse().ok());
        let len_bytes = text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok());
        match (hash, len_bytes) {
            (Some(hash), Some(len_bytes)) => Ok(Some((hash, len_bytes))),
            _ => Err(ClientError::Unexpected { url, status: response.status() }),
        }
    }

    /// Deletes a blob and leaves a tombstone; deleting what is not there is no error.
    pub async fn delete(&self, key: &BlobKey, epoch: Epoch) -> Result<(), ClientError> {
        let url = self.blob_url(key);
        let request = self.caller.request(Method::DELETE, &url).timeout(CALL_TIMEOUT).header(EPOCH_HEADER, epoch.get());
        self.caller.send(&url, request).await.map(drop)
    }

    /// Digests of all partitions that have content or tombstones there.
    pub async fn partitions(&self) -> Result<Vec<PartitionDigest>, ClientError> {
        let url = self.url.join(route::PARTITIONS);
        let request = self.caller.request(Method::GET, &url).timeout(STEP_TIMEOUT);
        let page: Page<PartitionDigest> = self.caller.json(&url, request).await?;
        Ok(page.items)
    }

    /// One page of a partition's inventory, sorted by key.
    pub async fn inventory(
        &self,
        partition: PartitionId,
        cursor: Option<&str>,
    ) -> Result<Page<InventoryEntry>, ClientError> {
        self.inventory_page(partition, cursor, INVENTORY_ENTRIES_MAX).await
    }

    /// The same with at most `limit` entries.
    pub async fn inventory_page(
        &self,
        partition: PartitionId,
        cursor: Option<&str>,
        limit: u16,
    ) -> Result<Page<InventoryEntry>, ClientError> {
        self.page_of(&of_partition(route::PARTITION, partition), Some(limit), cursor).await
    }

    /// Digests of the tombstones of all partitions that have some there.
    pub async fn tombstone_digests(&self) -> Result<Vec<TombstoneDigest>, ClientError> {
        let url = self.url.join(route::TOMBSTONES);
        let request = self.caller.request(Method::GET, &url).timeout(CALL_TIMEOUT);
        let page: Page<TombstoneDigest> = self.caller.json(&url, request).await?;
        Ok(page.items)
    }

    /// One page of a partition's tombstones, sorted by key.
    pub async fn tombstones(
        &self,
        partition: PartitionId,
        cursor: Option<&str>,
    ) -> Result<Page<Tombstone>, ClientError> {
        self.page_of(&of_partition(route::PARTITION_TOMBSTONES, partition), None, cursor).await
    }

    /// One page of the blobs that were moved aside.
    pub async fn orphans(&self, cursor: Option<&str>) -> Result<Page<Orphan>, ClientError> {
        self.page_of(route::ORPHANS, None, cursor).await
    }

    /// Lets the node move blobs aside.
    pub async fn collect_orphans(&self, orphans: &OrphanRequest) -> Result<OrphanReport, ClientError> {
        self.post(route::ORPHANS_COLLECT, orphans).await
    }

    /// Lets the node bring back what it moved aside.
    pub async fn restore_orphans(&self, orphans: &OrphanRequest) -> Result<OrphanReport, ClientError> {
        self.post(route::ORPHANS_RESTORE, orphans).await
    }

    async fn page_of<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        limit: Option<u16>,
        cursor: Option<&str>,
    ) -> Result<Page<T>, ClientError> {
        // The query is part of what is signed, so it must be part of the URL before signing.
        let url = self.url.join(&page_path(path, limit, cursor));
        let request = self.caller.request(Method::GET, &url).timeout(STEP_TIMEOUT);
        self.caller.json(&url, request).await
    }

    /// Lets the node fetch what it lacks of a partition from another holder, in one bounded step.
    pub async fn pull(&self, partition: PartitionId, pull: &PullRequest) -> Result<PullReport, ClientError> {
        self.step(route::PULL, partition, pull).await
    }

    /// Lets the node delete its copies of a partition that it no longer holds.
    pub async fn release(
        &self,
        partition: PartitionId,
        release: &ReleaseRequest,
    ) -> Result<ReleaseReport, ClientError> {
        self.step(route::RELEASE, partition, release).await
    }

    async fn step<T: serde::de::DeserializeOwned>(
        &self,
        route: &str,
        partition: PartitionId,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.post(&route.replace("{partition}", &partition.to_string()), body).await
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let url = self.url.join(path);
        let request = self.caller.request(Method::POST, &url).timeout(STEP_TIMEOUT).json(body);
        self.caller.json(&url, request).await
    }

    /// The layout as the node knows it.
    pub async fn layout(&self) -> Result<Option<LayoutRecord>, ClientError> {
        let url = self.url.join(route::LAYOUT);
        let request = self.caller.request(Method::GET, &url).timeout(CALL_TIMEOUT);
        match self.caller.json(&url, request).await {
            Ok(layout) => Ok(Some(layout)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the node the layout; refused with 409 where it knows a newer one.
    pub async fn put_layout(&self, layout: &LayoutRecord) -> Result<(), ClientError> {
        let url = self.url.join(route::LAYOUT);
        let request = self.caller.request(Method::PUT, &url).timeout(CALL_TIMEOUT).json(layout);
        self.caller.send(&url, request).await.map(drop)
    }

    /// The node about itself.
    pub async fn info(&self) -> Result<NodeInfo, ClientError> {
        let url = self.url.join(route::NODE);
        let request = self.caller.request(Method::GET, &url).timeout(CALL_TIMEOUT);
        self.caller.json(&url, request).await
    }
}

fn of_partition(route: &str, partition: PartitionId) -> String {
    route.replace("{partition}", &partition.to_string())
}

fn page_path(path: &str, limit: Option<u16>, cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(limit.map(|limit| ("limit", limit.to_string())));
    query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
