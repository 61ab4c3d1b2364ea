//! Encodes one chunk: one ffmpeg run, one decode, all rungs of an encoder.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::command::ProgressReader;
use super::cut::cut_all;
use super::encoded::Encoded;
use super::encoder::{Encoder, Part};
use super::error::PipelineError;
use super::filters::{FRAME_LIST, Window, video_graph};
use super::grid::Chunk;
use super::plan::Plan;
use super::probe::in_words;
use super::reading::Reading;
use super::run::RunError;
use super::source::Source;

/// Where reading starts when the first try came in after the chunk's first frame: this many seconds before it, and then 0.
const LONG_PREROLL_SECONDS: f64 = 40.0;

/// One attempt at reading a chunk.
struct Attempt {
    /// Where to seek on the container's clock, or `None` to read from the start.
    seek_seconds: Option<f64>,
    window: Window,
}

impl Pipeline {
    /// Makes all video renditions of the ladder for one chunk, as files below a new private directory in `work_dir`.
    ///
    /// Every frame of the grid is in the result once and in order, whatever the source's container does when it is sought: the
    /// run lists the frames it saw, and one that began too late is repeated from further back. Where the source ends before the
    /// plan says, the result ends there too; a chunk beyond the end has no segments. `progress` is called with 0 to 1.
    ///
    /// # Errors
    /// [`PipelineError::Source`] when nothing of the first chunk can be decoded; [`PipelineError::Transient`] for
    /// everything that another try may mend, including a run over its limits.
    ///
    /// # Cancel safety
    /// Dropping the future kills ffmpeg and removes the files.
    pub async fn encode_chunk(
        &self,
        plan: &Plan,
        chunk_index: u32,
        source: &Source,
        work_dir: &Path,
        progress: impl Fn(f32) + Send + Sync,
        cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        let (part, directory) = prepared(plan, chunk_index, Encoder::X264, work_dir)?;
        let copied = if plan.copies_top {
            let copying = self.copy_top(plan, part.chunk, source, directory.path());
            // Cancel safe: what was written goes with its directory.
            tokio::select! {
                copied = copying => Some(copied?),
                () = cancel.cancelled() => return Err(PipelineError::Cancelled),
            }
        } else {
            None
        };
        let mut encoded = if part.rungs().is_empty() {
            Encoded { renditions: Vec::new(), source_ended: false, directory }
        } else {
            self.encode_pictures(part, source, directory, &progress, cancel).await?
        };
        // The plan's order: the top rung comes first.
        encoded.renditions.splice(..0, copied);
        Ok(encoded)
    }

    /// Makes the renditions of the extra set for one chunk, in the same way and on the same grid.
    ///
    /// # Errors
    /// As [`Pipeline::encode_chunk`], and [`PipelineError::Environment`] where this ffmpeg cannot encode AV1.
    ///
    /// # Cancel safety
    /// As that.
    pub async fn encode_extra(
        &self,
        plan: &Plan,
        chunk_index: u32,
        source: &Source,
        work_dir: &Path,
        progress: impl Fn(f32) + Send + Sync,
        cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        if !self.tools.av1 {
            return Err(PipelineError::Environment(
                "this worker's ffmpeg has no libsvtav1 encoder, and the video is to have renditions in AV1".to_owned(),
            ));
        }
        let (part, directory) = prepared(plan, chunk_index, Encoder::SvtAv1, work_dir)?;
        self.encode_pictures(part, source, directory, &progress, cancel).await
    }

    /// Encodes the rungs that are no copy, in one run or, where a seek came in late, a few.
    async fn encode_pictures(
        &self,
        part: Part<'_>,
        source: &Source,
        directory: TempDir,
        progress: &(impl Fn(f32) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        let chunk = part.chunk;
        let operation = format!("encode chunk {}", chunk.index);
        for attempt in attempts(part.plan, chunk) {
            let stderr = self.run_attempt(part, &attempt, source, directory.path(), progress, cancel).await;
            let stderr = stderr.map_err(|error| verdict(error, &operation, part))?;
            if part.plan.copies_top && part.encoder == Encoder::X264 && tells_of_damage(&stderr) {
                return Err(PipelineError::Unfit(in_words(&stderr)));
            }
            match first_frame(directory.path()) {
                Some(first) if first <= chunk.start_frame => {}
                None if attempt.seek_seconds.is_none() && chunk.start_frame == 0 => {
                    return Err(part.plan.info.video.undecodable(in_words(&stderr)).into());
                }
                _ if attempt.seek_seconds.is_none() => {}
                found => {
                    tracing::debug!(chunk.index, ?found, "the seek came in late; reading from further back");
                    continue;
                }
            }
            return cut_all(part, directory).await;
        }
        Err(PipelineError::transient(operation, "no attempt was made"))
    }

    async fn run_attempt(
        &self,
        part: Part<'_>,
        attempt: &Attempt,
        source: &Source,
        directory: &Path,
        progress: &(impl Fn(f32) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<String, RunError> {
        let Window { start, end } = attempt.window;
        let info = &part.plan.info;
        // Without a seek everything before the chunk is decoded as well.
        let read_from = if attempt.seek_seconds.is_none() { 0 } else { start };
        let seconds = info.video.frame_rate.seconds(end.saturating_sub(read_from));
        let Reading { input: mut arguments, graph, beside } =
            self.reading(source, info, attempt.seek_seconds, directory, seconds);
        let graph = video_graph(
            graph,
            &info.video,
            part.rungs(),
            attempt.window,
            attempt.seek_seconds.is_none(),
            self.tools.tone_mapping,
        );
        arguments.option("-filter_complex", graph);
        for (index, rung) in part.rungs().iter().enumerate() {
            self.rung_output(&mut arguments, index, rung, part, attempt.window);
        }
        let mut invocation = self.ffmpeg_run(beside.source, arguments, directory, seconds);
        invocation.heartbeat = Some(directory.join(FRAME_LIST));
        let mut reader = ProgressReader::default();
        let frames = end.saturating_sub(start);
        beside
            .run(&invocation, cancel, &mut |piece: &[u8]| {
                let moved = reader.push(piece);
                if moved {
                    progress(fraction(reader.frame, frames));
                }
                Ok(moved)
            })
            .await
    }
}

/// What is to be encoded, and the directory for it.
fn prepared<'a>(
    plan: &'a Plan,
    chunk_index: u32,
    encoder: Encoder,
    work_dir: &Path,
) -> Result<(Part<'a>, TempDir), PipelineError> {
    let operation = format!("encode chunk {chunk_index}");
    let chunk = plan.chunk(chunk_index);
    let chunk = chunk.ok_or_else(|| PipelineError::transient(&*operation, "the plan has no such chunk"))?;
    Ok((Part { plan, chunk, encoder }, private_directory(&operation, work_dir)?))
}

/// Where one rung of the run is written, relative to its directory.
pub(super) fn recording_file(index: usize) -> String {
    format!("rung-{index}.mp4")
}

/// The attempts at a chunk, cheapest first: shortly before it, well before it, from the very start.
fn attempts(plan: &Plan, chunk: &Chunk) -> Vec<Attempt> {
    let video = &plan.info.video;
    // The container's word on its end is not exact, so the last chunk takes what there is, within reason.
    // Sound says it exactly, and the end of what is drawn of it reaches the filters of ffmpeg 7 in wrong units.
    let is_open = plan.grid.is_last(chunk.index) && !video.drawn;
    let grace = if is_open { u64::from(video.frame_rate.gop_frames()) } else { 0 };
    let window = Window { start: chunk.start_frame, end: chunk.start_frame + chunk.frames() + grace };
    let start_seconds = video.frame_rate.seconds(chunk.start_frame);
    // Where the grid is the source's own keyframes, a chunk begins with one; half a frame later, it is not missed.
    let at_keyframe = plan.copies_top.then(|| -0.5 / video.frame_rate.fps());
    let mut attempts: Vec<Attempt> = at_keyframe
        .into_iter()
        .chain([plan.info.demuxer.preroll_seconds(), LONG_PREROLL_SECONDS])
        .filter(|preroll| *preroll < start_seconds)
        .map(|preroll| Attempt { seek_seconds: Some(video.start.seconds() + start_seconds - preroll), window })
        .collect();
    attempts.push(Attempt { seek_seconds: None, window });
    attempts
}

/// The first line of the list of frames: `frame:0    pts:123     pts_time:4.1`.
fn first_frame(directory: &Path) -> Option<u64> {
    let file = std::fs::File::open(directory.join(FRAME_LIST)).ok()?;
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).ok()?;
    let pts = line.split_whitespace().find_map(|word| word.strip_prefix("pts:"))?;
    // Frames before the first one of the plan have negative numbers.
    pts.parse::<i64>().ok().map(|frame| u64::try_from(frame).unwrap_or(0))
}

#[expect(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
pub(super) fn fraction(done: u64, of: u64) -> f32 {
    (done as f32 / of.max(1) as f32).clamp(0.0, 1.0)
}

pub(super) fn private_directory(operation: &str, work_dir: &Path) -> Result<TempDir, PipelineError> {
    let directory = tempfile::Builder::new().prefix("encode-").tempdir_in(work_dir);
    directory.map_err(|error| {
        PipelineError::transient(operation, format!("no directory in {}: {error}", work_dir.display()))
    })
}

/// The first chunk's failure tells about the source, later ones about the circumstances.
fn verdict(error: RunError, operation: &str, part: Part<'_>) -> PipelineError {
    match error {
        RunError::Failed { stderr, .. } if part.chunk.index == 0 && is_about_the_source(&stderr) => {
            part.plan.info.video.undecodable(in_words(&stderr)).into()
        }
        other => other.during(operation),
    }
}

/// Whether ffmpeg's last words blame the bytes and not the way to them.
pub(super) fn is_about_the_source(stderr: &str) -> bool {
    const BYTES: [&str; 6] = [
        "Invalid data found",
        "moov atom not found",
        "Error while decoding",
        "not on whitelist",
        "Could not find codec parameters",
        "Picture size",
    ];
    !names_circumstances(stderr) && BYTES.iter().any(|text| stderr.contains(text))
}

/// Whether something around the source went wrong as well.
fn names_circumstances(stderr: &str) -> bool {
    const CIRCUMSTANCES: [&str; 13] = [
        "Connection refused",
        "Connection reset",
        "Connection timed out",
        "Broken pipe",
        "HTTP error",
        "Server returned",
        "Input/output error",
        "No space left",
        "Cannot allocate memory",
        "Operation not permitted",
        "Permission denied",
        "Resource temporarily unavailable",
        "ends prematurely",
    ];
    CIRCUMSTANCES.iter().any(|text| stderr.contains(text))
}

/// Whether ffmpeg had to make up pictures, and not because their bytes did not come: its decoder does, a player's may stop.
fn tells_of_damage(stderr: &str) -> bool {
    const WORDS: [&str; 7] = [
        "error while decoding MB",
        "concealing",
        "Invalid NAL unit",
        "decode_slice_header error",
        "no frame!",
        "Error while decoding stream",
        "Error splitting the input into NAL units",
    ];
    !names_circumstances(stderr) && WORDS.iter().any(|text| stderr.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_not_the_sources_fault() {
        assert!(is_about_the_source("x.mp4: Invalid data found when processing input"));
        assert!(!is_about_the_source("Connection refused\nInvalid data found when processing input"));
        assert!(!is_about_the_source("something else"));
        assert!(tells_of_damage("Invalid NAL unit size (33 > 20)"));
        assert!(!tells_of_damage("Stream ends prematurely at 9, should be 99\nInvalid NAL unit size (33 > 20)"));
    }
}
