//! Encoding jobs: a chunk of the picture, a track of sound. Their segments go to the ring, their measures to the record.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use triton_api::{BlobKey, storage::BLOB_BYTES_MAX};

use super::{WorkError, lease::Leased};
use crate::{
    app::App,
    catalog::VideoRecord,
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

pub(super) async fn sound(
    app: &App,
    leased: &Leased,
    plan: &Plan,
    source: &Source,
    index: u32,
) -> Result<Value, WorkError> {
    let report = reporter(leased);
    let position = usize::try_from(index).map_err(|_| WorkError::Gone)?;
    let encoded = app.pipeline.encode_audio(plan, position, source, &app.work_dir, report, &leased.cancel).await?;
    store(app, leased, &encoded).await
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
    let mut tracks: Vec<Track> = encoded.renditions.iter().map(Track::of).collect();
    for (output, track) in encoded.renditions.iter().zip(&mut tracks).filter(|(output, _)| !output.segments.is_empty())
    {
        // Every chunk writes the init segment: the ring takes the same content again and refuses another, which proves
        // that the chunks fit together.
        app.ring.put(&key_of(leased, output, INIT_FILE)?, output.init.clone()).await?;
        let writes = output.segments.iter().map(|segment| store_segment(app, leased, output, segment).boxed());
        let stored = stream::iter(writes.collect::<Vec<_>>()).buffered(SEGMENTS_IN_FLIGHT);
        let lengths: Vec<u64> = stored.try_collect().await?;
        for (segment, bytes_len) in track.segments.iter_mut().zip(lengths) {
            segment.bytes_len = bytes_len;
        }
    }
    Ok(serde_json::to_value(Encoding { tracks }).map_err(std::io::Error::other)?)
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
