//! A typed client of the web service.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{
    Method,
    header::{self, ETAG, IF_MATCH},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Caller, ClientError, VideoEvents};
use crate::{
    Language, NodeId, Page, VideoId,
    caption::{self, Caption, CaptionQuery},
    cluster::{self, Cluster, NewNode, Node, NodeChange},
    job::Job,
    metadata::{self, ImportQuery, MetadataImport},
    rebalance::{ApplyRequest, LossQuery, LostBlob, Rebalance, RebalancePlan},
    video::{self, Video, VideoPatch, VideoQuery},
};

/// The longest wait for an answer that may need a look at every node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A value with the entity tag of its state, in quotes as `If-Match` wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged<T> {
    /// The value.
    pub value: T,
    /// The tag; empty where the server gave none.
    pub tag: String,
}

/// A client of a web service.
#[derive(Debug, Clone)]
pub struct WebClient {
    caller: Caller,
    origin: String,
}

impl WebClient {
    /// A client of the web service at `origin` (`http://host:port`).
    pub fn new(caller: Caller, origin: &str) -> Self {
        Self { caller, origin: origin.trim_end_matches('/').to_owned() }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.origin);
        let mut request = self.caller.request(method, &url).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.caller.json(&url, request).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::POST, path, None::<&()>).await
    }

    /// One page of the catalog.
    pub async fn videos(&self, query: &VideoQuery) -> Result<Page<Video>, ClientError> {
        self.get(&format!("{}?{}", video::route::VIDEOS, pairs(query))).await
    }

    /// One video.
    pub async fn video(&self, id: VideoId) -> Result<Video, ClientError> {
        self.get(&video_path(video::route::VIDEO, id)).await
    }

    /// One video with the tag of its present state.
    pub async fn tagged_video(&self, id: VideoId) -> Result<Tagged<Video>, ClientError> {
        let url = format!("{}{}", self.origin, video_path(video::route::VIDEO, id));
        let request = self.caller.request(Method::GET, &url).timeout(ANSWER_TIMEOUT);
        self.tagged(&url, request).await
    }

    /// Changes what is shown of a video. With `if_match`, only where it is still in the state of that tag.
    ///
    /// # Errors
    /// [`ProblemType::PreconditionFailed`](crate::ProblemType::PreconditionFailed) where it is not: get it again and decide again.
    pub async fn edit(
        &self,
        id: VideoId,
        patch: &VideoPatch,
        if_match: Option<&str>,
    ) -> Result<Tagged<Video>, ClientError> {
        let url = format!("{}{}", self.origin, video_path(video::route::VIDEO, id));
        let mut request = self.caller.request(Method::PATCH, &url).timeout(ANSWER_TIMEOUT).json(patch);
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        self.tagged(&url, request).await
    }

    async fn tagged<T: DeserializeOwned>(
        &self,
        url: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<Tagged<T>, ClientError> {
        let response = self.caller.send(url, request).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Tagged { value: Caller::body(url, response).await?, tag })
    }

    /// Listens to what happens to a video; the first event is its present state.
    pub async fn events(&self, id: VideoId) -> Result<VideoEvents, ClientError> {
        let url = format!("{}{}", self.origin, video_path(video::route::EVENTS, id));
        // No deadline on the whole: a transcode takes as long as it takes. Silence is limited.
        let request = self.caller.request(Method::GET, &url).header(http::header::ACCEPT, "text/event-stream");
        let response = self.caller.send(&url, request).await?;
        Ok(VideoEvents::new(url, response))
    }

    /// Uploads a video; `file` should have a name, which becomes the title unless `title` is given.
    pub async fn upload(&self, title: Option<&str>, file: reqwest::multipart::Part) -> Result<Video, ClientError> {
        let url = format!("{}{}", self.origin, video::route::VIDEOS);
        let mut form = reqwest::multipart::Form::new();
        if let Some(title) = title {
            form = form.text("title", title.to_owned());
        }
        // No deadline on the whole: a large file over a slow line takes hours. The server drops a silent sender.
        let request = self.caller.request(Method::POST, &url).multipart(form.part("file", file));
        self.caller.json(&url, request).await
    }

    /// Tries a failed video again.
    pub async fn retry(&self, id: VideoId) -> Result<Video, ClientError> {
        self.post(&video_path(video::route::RETRY, id)).await
    }

    /// Deletes a video.
    pub async fn delete(&self, id: VideoId) -> Result<(), ClientError> {
        self.send_delete(&video_path(video::route::VIDEO, id)).await
    }

    /// The captions of a video.
    pub async fn captions(&self, id: VideoId) -> Result<Page<Caption>, ClientError> {
        self.get(&video_path(caption::route::CAPTIONS, id)).await
    }

    /// Uploads captions, `WebVTT` or `SubRip`, in place of those that were uploaded in this language before.
    pub async fn put_captions(
        &self,
        id: VideoId,
        language: &Language,
        query: &CaptionQuery,
        file: Bytes,
    ) -> Result<Caption, ClientError> {
        let url = format!("{}{}?{}", self.origin, caption_path(id, language), pairs(query));
        let request = self.caller.request(Method::PUT, &url).timeout(ANSWER_TIMEOUT).body(file);
        self.caller.json(&url, request).await
    }

    /// Deletes uploaded captions.
    pub async fn delete_captions(&self, id: VideoId, language: &Language) -> Result<(), ClientError> {
        self.send_delete(&caption_path(id, language)).await
    }

    async fn send_delete(&self, path: &str) -> Result<(), ClientError> {
        let url = format!("{}{path}", self.origin);
        let request = self.caller.request(Method::DELETE, &url).timeout(ANSWER_TIMEOUT);
        self.caller.send(&url, request).await.map(drop)
    }

    /// The cluster at a glance.
    pub async fn cluster(&self) -> Result<Cluster, ClientError> {
        self.get(cluster::route::CLUSTER).await
    }

    /// The storage nodes.
    pub async fn nodes(&self) -> Result<Page<Node>, ClientError> {
        self.get(cluster::route::NODES).await
    }

    /// Stages a new node.
    pub async fn add_node(&self, node: &NewNode) -> Result<Node, ClientError> {
        self.call(Method::POST, cluster::route::NODES, Some(node)).await
    }

    /// Stages the draining of a node.
    pub async fn drain_node(&self, id: NodeId) -> Result<Node, ClientError> {
        self.post(&node_path(cluster::route::DRAIN, id)).await
    }

    /// Stages another weight or zone of a node.
    pub async fn change_node(&self, id: NodeId, change: &NodeChange) -> Result<Node, ClientError> {
        self.call(Method::PATCH, &node_path(cluster::route::NODE, id), Some(change)).await
    }

    /// Removes an empty node at once, or stages the removal of one that holds content.
    pub async fn remove_node(&self, id: NodeId, force: bool) -> Result<(), ClientError> {
        let query = if force { "?force=true" } else { "" };
        self.send_delete(&format!("{}{query}", node_path(cluster::route::NODE, id))).await
    }

    /// What adding a node would do.
    pub async fn plan_add_node(&self, node: &NewNode) -> Result<RebalancePlan, ClientError> {
        self.call(Method::POST, &dry(cluster::route::NODES), Some(node)).await
    }

    /// What draining a node would do.
    pub async fn plan_drain_node(&self, id: NodeId) -> Result<RebalancePlan, ClientError> {
        self.post(&dry(&node_path(cluster::route::DRAIN, id))).await
    }

    /// What another weight or zone of a node would do.
    pub async fn plan_change_node(&self, id: NodeId, change: &NodeChange) -> Result<RebalancePlan, ClientError> {
        self.call(Method::PATCH, &dry(&node_path(cluster::route::NODE, id)), Some(change)).await
    }

    /// What removing a node would do.
    pub async fn plan_remove_node(&self, id: NodeId, force: bool) -> Result<RebalancePlan, ClientError> {
        let path = format!("{}&force={force}", dry(&node_path(cluster::route::NODE, id)));
        self.call(Method::DELETE, &path, None::<&()>).await
    }

    /// What applying exactly this would do; refused like [`Self::rebalance_apply`].
    pub async fn plan_apply(&self, apply: ApplyRequest) -> Result<RebalancePlan, ClientError> {
        self.call(Method::POST, &dry(cluster::route::REBALANCE_APPLY), Some(&apply)).await
    }

    /// One page of what would be lost.
    pub async fn rebalance_losses(&self, query: &LossQuery) -> Result<Page<LostBlob>, ClientError> {
        self.get(&format!("{}?{}", cluster::route::REBALANCE_LOSSES, pairs(query))).await
    }

    /// How the migration stands.
    pub async fn rebalance(&self) -> Result<Rebalance, ClientError> {
        self.get(cluster::route::REBALANCE).await
    }

    /// What applying the staged changes would do.
    pub async fn rebalance_plan(&self) -> Result<RebalancePlan, ClientError> {
        self.post(cluster::route::REBALANCE_PLAN).await
    }

    /// Begins the migration.
    pub async fn rebalance_apply(&self, apply: ApplyRequest) -> Result<Rebalance, ClientError> {
        self.call(Method::POST, cluster::route::REBALANCE_APPLY, Some(&apply)).await
    }

    /// Holds the migration.
    pub async fn rebalance_pause(&self) -> Result<Rebalance, ClientError> {
        self.post(cluster::route::REBALANCE_PAUSE).await
    }

    /// Goes on with the migration.
    pub async fn rebalance_resume(&self) -> Result<Rebalance, ClientError> {
        self.post(cluster::route::REBALANCE_RESUME).await
    }

    /// Goes back to the committed epoch, or drops what is staged.
    pub async fn rebalance_abort(&self) -> Result<Rebalance, ClientError> {
        self.post(cluster::route::REBALANCE_ABORT).await
    }

    /// The metadata as a file: its lines, for [`crate::metadata::Reader`] to check.
    pub async fn export_metadata(
        &self,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + 'static, ClientError> {
        let url = format!("{}{}", self.origin, metadata::route::METADATA);
        // No deadline on the whole. The server breaks off what is not read.
        let response = self.caller.send(&url, self.caller.request(Method::GET, &url)).await?;
        Ok(response.bytes_stream().map_err(move |error| ClientError::transport(&url, &error)))
    }

    /// Sends such a file, which should be checked before, to become part of this installation.
    pub async fn import_metadata(
        &self,
        query: &ImportQuery,
        file: reqwest::Body,
    ) -> Result<MetadataImport, ClientError> {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        if let Some(nodes) = &query.nodes {
            pairs.append_pair("nodes", nodes);
        }
        pairs.append_pair("without_nodes", if query.without_nodes { "true" } else { "false" });
        let url = format!("{}{}?{}", self.origin, metadata::route::METADATA, pairs.finish());
        // No deadline on the whole: every record is looked at, and written.
        let request = self.caller.request(Method::POST, &url).header(header::CONTENT_TYPE, metadata::MEDIA_TYPE);
        self.caller.json(&url, request.body(file)).await
    }

    /// One page of the jobs.
    pub async fn jobs(&self, cursor: Option<&str>) -> Result<Page<Job>, ClientError> {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        if let Some(cursor) = cursor {
            pairs.append_pair("cursor", cursor);
        }
        self.get(&format!("{}?{}", cluster::route::JOBS, pairs.finish())).await
    }
}

/// The fields of a query as they stand in a URL.
fn pairs(query: &impl Serialize) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(query) {
        for (name, value) in fields {
            pairs.append_pair(&name, value.as_str().map_or(value.to_string(), str::to_owned).as_str());
        }
    }
    pairs.finish()
}

fn dry(path: &str) -> String {
    format!("{path}?dry_run=true")
}

fn video_path(route: &str, id: VideoId) -> String {
    route.replace("{id}", &id.to_string())
}

fn caption_path(id: VideoId, language: &Language) -> String {
    video_path(caption::route::CAPTION, id).replace("{language}", language.as_str())
}

fn node_path(route: &str, id: NodeId) -> String {
    route.replace("{node_id}", &id.to_string())
}
