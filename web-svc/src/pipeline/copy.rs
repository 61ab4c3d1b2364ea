//! The top rendition as a copy of the source's own bitstream, where that conforms: half the work, and no loss.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::cmaf::{TRACK_ID, segment_head};
use super::encoded::{RenditionOutput, Segment, segment_file};
use super::error::PipelineError;
use super::film::{Film, begins_with_idr, consists_of_units, span};
use super::grid::{Chunk, Grid};
use super::movie::Picture;
use super::plan::Plan;
use super::sniff::Demuxer;
use super::source::{Source, SourceInfo};
use super::whole::{Next, next};

const OPERATION: &str = "read the source's own pictures";
/// An index of six hours has some 20 MB.
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Indexes in memory at once.
static INDEXES: Semaphore = Semaphore::const_new(2);
/// What is read of a keyframe: messages of an encoder come before the picture.
const HEAD_BYTES: u64 = 4096;
/// Requests for the heads of keyframes at once.
const HEADS_AT_ONCE: usize = 8;
/// Box heads looked at before the index.
const BOXES_MAX: usize = 64;
const READ_TIME_MAX: Duration = Duration::from_secs(120);

impl Pipeline {
    /// The plan for a probed source: where its own bitstream conforms, that is the top rendition, and its keyframes are the grid.
    ///
    /// # Errors
    /// [`PipelineError::Transient`] where the source cannot be read; [`PipelineError::Cancelled`].
    pub async fn plan(
        &self,
        info: SourceInfo,
        source: &Source,
        cancel: &CancellationToken,
    ) -> Result<Plan, PipelineError> {
        let plan = self.plan_of_encoded(info);
        let plan = if self.settings.av1 { plan.with_extra() } else { plan };
        let found = tokio::select! {
            found = self.conforming_grid(&plan, source) => found?,
            () = cancel.cancelled() => return Err(PipelineError::Cancelled),
        };
        match found {
            Ok(boundaries) => {
                let grid = Grid::from_boundaries(&boundaries, plan.info.video.frames);
                Ok(Plan { grid, copies_top: true, ..plan })
            }
            Err(doubt) => {
                tracing::debug!(doubt, "the top rendition is encoded");
                Ok(plan)
            }
        }
    }

    /// The plan for a probed source of which every rendition is encoded, in H.264 alone.
    pub fn plan_of_encoded(&self, info: SourceInfo) -> Plan {
        Plan { preset: Some(self.settings.preset.clone()), ..Plan::new(info) }
    }

    /// Where the segments of a conforming source begin, or why it does not conform.
    async fn conforming_grid(
        &self,
        plan: &Plan,
        source: &Source,
    ) -> Result<Result<Vec<u64>, &'static str>, PipelineError> {
        let Some(rung) = plan.rungs.first() else { return Ok(Err("there is no rendition")) };
        let film = match self.film(plan, source).await? {
            Ok(film) => film,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let boundaries = match film.boundaries(rung) {
            Ok(boundaries) => boundaries,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let heads = boundaries.iter().filter_map(|&frame| {
            let sample = film.samples(frame..frame + 1).first()?;
            Some(sample.offset..sample.end().min(sample.offset.saturating_add(HEAD_BYTES)))
        });
        let heads = heads.map(|range| self.part(source, range)).collect::<Vec<_>>();
        let heads: Result<Vec<Bytes>, _> = stream::iter(heads).buffer_unordered(HEADS_AT_ONCE).try_collect().await;
        let Ok(heads) = heads else { return Ok(Err("its keyframes cannot be read")) };
        if heads.iter().all(|head| begins_with_idr(head, film.length_bytes())) {
            Ok(Ok(boundaries))
        } else {
            Ok(Err("some of its keyframes are not IDR pictures"))
        }
    }

    /// The segments of the top rendition in one chunk, as files below `directory`.
    pub(super) async fn copy_top(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        source: &Source,
        directory: &Path,
    ) -> Result<RenditionOutput, PipelineError> {
        let failed = |error: String| PipelineError::transient(OPERATION, error);
        let rung = plan.rungs.first().ok_or_else(|| failed("the plan has no rendition".to_owned()))?;
        let film = self.film(plan, source).await?.map_err(|doubt| PipelineError::Unfit(doubt.to_owned()))?;
        let folder = directory.join(rung.name.as_str());
        tokio::fs::create_dir(&folder).await.map_err(|error| failed(error.to_string()))?;
        let mut segments = Vec::with_capacity(chunk.segments.len());
        let mut start = chunk.start_frame;
        for (number, &frames) in (chunk.first_segment..).zip(&chunk.segments) {
            let end = start + u64::from(frames);
            let path = folder.join(segment_file(number));
            let bytes_len = self.copy_segment(&film, start..end, number, source, &path, plan).await?;
            let duration_ticks = u64::from(frames) * u64::from(plan.info.video.frame_rate.frame_ticks());
            segments.push(Segment { number, path, bytes_len, duration_ticks });
            start = end;
        }
        Ok(RenditionOutput {
            rendition: rung.name.clone(),
            init: film.init().map_err(|error| failed(error.to_string()))?,
            codecs: film.codecs(),
            timescale: plan.info.video.frame_rate.timescale(),
            segments,
        })
    }

    /// Writes one segment to a file; answers its size in bytes.
    async fn copy_segment(
        &self,
        film: &Film,
        frames: Range<u64>,
        number: u32,
        source: &Source,
        path: &Path,
        plan: &Plan,
    ) -> Result<u64, PipelineError> {
        let failed = |error: String| PipelineError::transient(OPERATION, error);
        let mut samples = film.samples(frames.clone()).to_vec();
        let span = span(&samples);
        let media = self.part(source, span.clone()).await?;
        for sample in &mut samples {
            // What the index calls a keyframe may be a recovery point, at which no player can begin.
            let at = usize::try_from(sample.offset - span.start).unwrap_or(usize::MAX);
            sample.is_sync &= media.get(at..).is_some_and(|bytes| begins_with_idr(bytes, film.length_bytes()));
        }
        let ticks = plan.info.video.frame_rate.frame_ticks();
        let media_len: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        let head = segment_head(TRACK_ID, &samples, number, frames.start * u64::from(ticks), ticks, media_len);
        let mut content = head.map_err(|error| failed(error.to_string()))?;
        for sample in &samples {
            let at = usize::try_from(sample.offset - span.start).unwrap_or(usize::MAX);
            let bytes = media.get(at..).and_then(|rest| rest.get(..usize::try_from(sample.size).ok()?));
            let bytes = bytes.ok_or_else(|| failed("the source ends before its index does".to_owned()))?;
            if !consists_of_units(bytes, film.length_bytes()) {
                return Err(PipelineError::Unfit(format!("a picture of segment {number} is damaged")));
            }
            content.extend_from_slice(bytes);
        }
        tokio::fs::write(path, &content).await.map_err(|error| failed(error.to_string()))?;
        Ok(content.len() as u64)
    }

    /// The source's picture as its index has it, or why it is not the top rendition.
    async fn film(&self, plan: &Plan, source: &Source) -> Result<Result<Film, &'static str>, PipelineError> {
        let info = &plan.info;
        if info.demuxer != Demuxer::Mov || info.video.codec != "h264" {
            return Ok(Err("it is not H.264 in MP4"));
        }
        let Some(rung) = plan.rungs.first().cloned() else { return Ok(Err("there is no rendition")) };
        // Indexes are large; who comes later waits.
        let _turn = INDEXES.acquire().await;
        let Some((index, file_bytes)) = self.index(source).await? else {
            return Ok(Err("it has no index, or one that is too long"));
        };
        let info = info.clone();
        let task = move || Film::of(Picture::of(&index)?, file_bytes, &info, &rung);
        // A stranger's bytes: where reading them panics, the source does not conform.
        Ok(tokio::task::spawn_blocking(task).await.unwrap_or(Err("its index cannot be read")))
    }

    /// The box `moov` with its head, and the length of the file.
    async fn index(&self, source: &Source) -> Result<Option<(Bytes, u64)>, PipelineError> {
        let mut at = 0;
        for _ in 0..BOXES_MAX {
            let Some((head, file_bytes)) = self.box_head(source, at).await? else { return Ok(None) };
            let (end, is_last) = match next(at, &head, file_bytes) {
                Next::Box(end) => (end, false),
                Next::End => (file_bytes, true),
                Next::Missing(_) => return Ok(None),
            };
            if head.get(4..8) == Some(b"moov") && end - at <= INDEX_BYTES_MAX {
                return self.part(source, at..end).await.map(|index| Some((index, file_bytes)));
            }
            if is_last {
                return Ok(None);
            }
            at = end;
        }
        Ok(None)
    }

    /// Some bytes of the source.
    async fn part(&self, source: &Source, range: Range<u64>) -> Result<Bytes, PipelineError> {
        let failed = |error: reqwest::Error| PipelineError::transient(OPERATION, error.without_url());
        let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let request = self.http.get(source.url().clone()).header(http::header::RANGE, value);
        let response = request.timeout(READ_TIME_MAX).send().await.map_err(failed)?;
        if response.status() != http::StatusCode::PARTIAL_CONTENT {
            return Err(PipelineError::transient(OPERATION, format!("the source answered {}", response.status())));
        }
        let bytes = response.bytes().await.map_err(failed)?;
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            Err(PipelineError::transient(OPERATION, "the source ends before its index does"))
        }
    }
}
