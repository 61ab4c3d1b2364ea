//! Encoding jobs: a chunk of the picture, a track of sound. Their segments go to the ring, their measures to the record.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use triton_api::{BlobKey, job::JobState, storage::BLOB_BYTES_MAX};

use super::{WorkError, lease::Leased, publish};
use crate::{
    app::App,
    catalog::{JobKind, JobRecord, VideoRecord},
    journal::Change,
    pipeline::{Encoded, INIT_FILE, Plan, RenditionOutput, Segment, Source, Track, segment_file},
    ring::RingError,
};

/// Segments on their way to the ring at once: bounds the memory of a job.
const SEGMENTS_IN_FLIGHT: usize = 4;

/// What an encoding job leaves in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Encoding {
    /// Its part of each rendition.
    pub(super) tracks: Vec<Track>,
}

impl Encoding {
    /// Adds what follows in a rendition.
    pub(super) fn append(&mut self, part: Track) {
        match self.tracks.iter_mut().find(|track| track.name == part.name) {
            Some(track) => track.segments.extend(part.segments),
            None => self.tracks.push(part),
        }
    }

    /// Segments in all tracks.
    pub(super) fn segments(&self) -> usize {
        self.tracks.iter().map(|track| track.segments.len()).sum()
    }
}

pub(super) async fn pictures(
    app: &App,
    leased: &Leased,
    plan: &Plan,
    source: &Source,
    index: u32,
) -> Result<Value, WorkError> {
    let report = reporter(leased);
    let encoded = app.pipeline.encode_chunk(plan, index, source, &app.work_dir, report, &leased.cancel).await?;
    store(app, leased, &encoded).await
}

/// The renditions beside the ladder.
pub(super) async fn extra(
    app: &App,
    leased: &Leased,
    plan: &Plan,
    source: &Source,
    index: u32,
) -> Result<Value, WorkError> {
    let jobs = app.store.jobs_of(leased.job.video_id, leased.job.generation).await?;
    let lacks_a_part = |job: &JobRecord| {
        let is_extra = matches!(job.kind, JobKind::Extra { .. });
        is_extra && job.state == JobState::Done && job.result.is_none()
    };
    if jobs.iter().any(|(_, job)| lacks_a_part(&job.value)) {
        // Manifests list no rendition that lacks a part, so the others are not needed either.
        return Ok(Value::Null);
    }
    let report = reporter(leased);
    let encoded = app.pipeline.encode_extra(plan, index, source, &app.work_dir, report, &leased.cancel).await?;
    store(app, leased, &encoded).await
}

/// A track of sound, of which viewers hear the beginning while the rest is made.
pub(super) async fn sound(
    app: &App,
    leased: &Leased,
    plan: &Plan,
    source: &Source,
    index: u32,
) -> Result<Value, WorkError> {
    let report = reporter(leased);
    let position = usize::try_from(index).map_err(|_| WorkError::Gone)?;
    let made = Mutex::new(Encoding { tracks: Vec::new() });
    let take = |output: RenditionOutput| {
        let made = &made;
        async move {
            let track = store_output(app, leased, &output).await?;
            let mut made = made.lock().await;
            made.append(track);
            tell(app, leased, &made).await
        }
        .boxed()
    };
    app.pipeline.encode_audio(plan, position, source, &app.work_dir, report, take, &leased.cancel).await?;
    Ok(serde_json::to_value(made.into_inner()).map_err(std::io::Error::other)?)
}

/// Records what has been made so far, unless a former attempt came further: viewers were told of that.
async fn tell(app: &App, leased: &Leased, made: &Encoding) -> Result<(), WorkError> {
    let result = serde_json::to_value(made).map_err(std::io::Error::other)?;
    leased
        .write(app, Change::new(), |job| {
            let told = job.result.take();
            let told =
                told.filter(|told| Encoding::deserialize(told).is_ok_and(|told| told.segments() > made.segments()));
            job.result = told.or(Some(result));
        })
        .await?;
    publish::let_viewers_begin(app, leased).await;
    Ok(())
}

/// Passes the encoder's progress on to the renewal of the lease.
fn reporter(leased: &Leased) -> impl Fn(f32) + Send + Sync + 'static {
    let progress = leased.progress.clone();
    move |done| {
        progress.send_replace(done);
    }
}

/// Writes all segments to the ring and returns their measures.
async fn store(app: &App, leased: &Leased, encoded: &Encoded) -> Result<Value, WorkError> {
    let mut tracks = Vec::with_capacity(encoded.renditions.len());
    for output in encoded.renditions.iter().filter(|output| !output.segments.is_empty()) {
        tracks.push(store_output(app, leased, output).await?);
    }
    Ok(serde_json::to_value(Encoding { tracks }).map_err(std::io::Error::other)?)
}

/// Writes what was made of a rendition, and answers its measures.
async fn store_output(app: &App, leased: &Leased, output: &RenditionOutput) -> Result<Track, WorkError> {
    // Every part writes the init segment: the ring takes the same content again and refuses another, which proves that the
    // parts fit together.
    app.ring.put(&key_of(leased, output, INIT_FILE)?, output.init.clone()).await?;
    let writes = output.segments.iter().map(|segment| store_segment(app, leased, output, segment).boxed());
    let stored = stream::iter(writes.collect::<Vec<_>>()).buffered(SEGMENTS_IN_FLIGHT);
    let lengths: Vec<u64> = stored.try_collect().await?;
    let mut track = Track::of(output);
    for (segment, bytes_len) in track.segments.iter_mut().zip(lengths) {
        segment.bytes_len = bytes_len;
    }
    Ok(track)
}

/// Writes one segment to the ring, and answers the length of what lies there now.
///
/// An attempt before this one may have left the segment in other bytes: with several threads x264 does not make the same ones
/// twice where the rate is at its cap. What it left is as good, the same pictures under the same init segment; and a key has
/// one content for ever. So it is looked for before anything is written: were it found only in the way, nodes that missed the
/// former write could already have the later one.
async fn store_segment(
    app: &App,
    leased: &Leased,
    output: &RenditionOutput,
    segment: &Segment,
) -> Result<u64, WorkError> {
    let key = key_of(leased, output, &segment_file(segment.number))?;
    let former = if leased.job.leases > 1 { left_before(app, &key).await? } else { None };
    let content = match former {
        Some(content) => content,
        None => tokio::fs::read(&segment.path).await?.into(),
    };
    Ok(app.ring.put(&key, content).await?.len_bytes)
}

/// What another attempt has stored under a key, as far as anybody knows who answers: a node that is away stops no job.
async fn left_before(app: &App, key: &BlobKey) -> Result<Option<Bytes>, WorkError> {
    match app.ring.read_all(key, BLOB_BYTES_MAX).await {
        Ok(content) => Ok(Some(content)),
        Err(RingError::NotFound { .. } | RingError::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn key_of(leased: &Leased, output: &RenditionOutput, file: &str) -> Result<BlobKey, WorkError> {
    let job = &leased.job;
    VideoRecord::media_file(job.video_id, job.generation, output.rendition.as_str(), file).ok_or(WorkError::Gone)
}
