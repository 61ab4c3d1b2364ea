//! Encodes one chunk: one ffmpeg run, one decode, all rungs.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::command::{Arguments, ProgressReader};
use super::cut::cut_all;
use super::encoded::Encoded;
use super::error::{PipelineError, SourceFault};
use super::filters::{FRAME_LIST, Window, video_graph};
use super::grid::Chunk;
use super::ladder::Rung;
use super::plan::Plan;
use super::probe::in_words;
use super::run::{RunError, run};
use super::source::Source;

/// x264's constant quality; the bit rate is capped by the rung.
const CRF: u32 = 23;
/// Where reading starts when the first try came in after the chunk's first frame: this many seconds before it, and then 0.
const LONG_PREROLL_SECONDS: f64 = 40.0;

/// One attempt at reading a chunk.
struct Attempt {
    /// Where to seek on the container's clock, or `None` to read from the start.
    seek_seconds: Option<f64>,
    window: Window,
}

impl Pipeline {
    /// Makes all video renditions of one chunk, as files below a new private directory in `work_dir`.
    ///
    /// Every frame of the grid is in the result once and in order, whatever the source's container does when it is sought: the
    /// run lists the frames it saw, and one that began too late is repeated from further back. Where the source ends before the
    /// plan says, the result ends there too; a chunk beyond the end has no segments. `progress` is called with 0 to 1.
    ///
    /// # Errors
    /// [`PipelineError::Source`] when not one picture of the first chunk can be decoded; [`PipelineError::Transient`] for
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
        let operation = format!("encode chunk {chunk_index}");
        let chunk = plan
            .chunk(chunk_index)
            .ok_or_else(|| PipelineError::transient(&*operation, "the plan has no such chunk"))?;
        let directory = private_directory(&operation, work_dir)?;
        let copied = if plan.copies_top {
            let copying = self.copy_top(plan, chunk, source, directory.path());
            // Cancel safe: what was written goes with its directory.
            tokio::select! {
                copied = copying => Some(copied?),
                () = cancel.cancelled() => return Err(PipelineError::Cancelled),
            }
        } else {
            None
        };
        let mut encoded = if plan.encoded_rungs().is_empty() {
            Encoded { renditions: Vec::new(), source_ended: false, directory }
        } else {
            self.encode_pictures(plan, chunk, source, directory, &progress, cancel).await?
        };
        // The plan's order: the top rung comes first.
        encoded.renditions.splice(..0, copied);
        Ok(encoded)
    }

    /// Encodes the rungs that are no copy, in one run or, where a seek came in late, a few.
    async fn encode_pictures(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        source: &Source,
        directory: TempDir,
        progress: &(impl Fn(f32) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        let operation = format!("encode chunk {}", chunk.index);
        for attempt in attempts(plan, chunk) {
            let stderr = self.run_attempt(plan, &attempt, source, directory.path(), progress, cancel).await;
            let stderr = stderr.map_err(|error| verdict(error, &operation, chunk))?;
            if plan.copies_top && tells_of_damage(&stderr) {
                return Err(PipelineError::Unfit(in_words(&stderr)));
            }
            match first_frame(directory.path()) {
                Some(first) if first <= chunk.start_frame => {}
                None if attempt.seek_seconds.is_none() && chunk.start_frame == 0 => {
                    return Err(SourceFault::Undecodable(in_words(&stderr)).into());
                }
                _ if attempt.seek_seconds.is_none() => {}
                found => {
                    tracing::debug!(chunk.index, ?found, "the seek came in late; reading from further back");
                    continue;
                }
            }
            return cut_all(plan, chunk, directory).await;
        }
        Err(PipelineError::transient(operation, "no attempt was made"))
    }

    async fn run_attempt(
        &self,
        plan: &Plan,
        attempt: &Attempt,
        source: &Source,
        directory: &Path,
        progress: &(impl Fn(f32) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<String, RunError> {
        let Window { start, end } = attempt.window;
        let rate = plan.info.video.frame_rate;
        let graph = video_graph(
            &plan.info.video,
            plan.encoded_rungs(),
            attempt.window,
            attempt.seek_seconds.is_none(),
            self.tools.tone_mapping,
        );
        let mut arguments = self.ffmpeg_input(source, plan.info.demuxer, attempt.seek_seconds);
        arguments.option("-filter_complex", graph);
        for (index, rung) in plan.encoded_rungs().iter().enumerate() {
            self.rung_output(&mut arguments, index, rung, plan, attempt.window);
        }
        // Without a seek everything before the chunk is decoded as well.
        let read_from = if attempt.seek_seconds.is_none() { 0 } else { start };
        let mut invocation =
            self.ffmpeg_run(Some(source), arguments, directory, rate.seconds(end.saturating_sub(read_from)));
        invocation.heartbeat = Some(directory.join(FRAME_LIST));
        let mut reader = ProgressReader::default();
        let frames = end.saturating_sub(start);
        run(&invocation, cancel, &mut |piece: &[u8]| {
            let moved = reader.push(piece);
            if moved {
                progress(fraction(reader.frame, frames));
            }
            Ok(moved)
        })
        .await
    }

    /// The options of one rung's output file.
    fn rung_output(&self, arguments: &mut Arguments, index: usize, rung: &Rung, plan: &Plan, window: Window) {
        let rate = plan.info.video.frame_rate;
        arguments
            .option("-map", format!("[v{index}]"))
            .words("-fps_mode passthrough -c:v libx264 -profile:v high -sc_threshold 0 -flags +cgop -bf 3")
            .option("-preset", &self.settings.preset)
            .option("-crf", CRF)
            .option("-maxrate", rung.maxrate_bps)
            .option("-bufsize", u64::from(rung.maxrate_bps) * 2)
            .option("-g", rate.gop_frames())
            .option("-keyint_min", rate.gop_frames())
            .option("-threads", self.settings.threads);
        if let Some(times) = keyframe_times(plan, window.start) {
            arguments.option("-force_key_frames", times);
        }
        arguments
            .option("-video_track_timescale", rate.timescale())
            // The graph ends there as well, unless a source finds a fault in it.
            .option("-frames:v", window.end.saturating_sub(window.start))
            .words("-map_metadata -1 -map_chapters -1 -fflags +bitexact")
            .words("-movflags +frag_keyframe+empty_moov+default_base_moof+skip_trailer -f mp4")
            .word(recording_file(index));
    }
}

/// Where one rung of the run is written, relative to its directory.
pub(super) fn recording_file(index: usize) -> String {
    format!("rung-{index}.mp4")
}

/// The attempts at a chunk, cheapest first: shortly before it, well before it, from the very start.
fn attempts(plan: &Plan, chunk: &Chunk) -> Vec<Attempt> {
    let video = &plan.info.video;
    // The container's word on its end is not exact, so the last chunk takes what there is, within reason.
    let grace = if plan.grid.is_last(chunk.index) { u64::from(video.frame_rate.gop_frames()) } else { 0 };
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

/// When the chunk's later segments begin, for `-force_key_frames`: a quarter of a frame early, so that the right frame is hit
/// whether ffmpeg rounds the time to the nearest frame or takes the next one.
fn keyframe_times(plan: &Plan, start: u64) -> Option<String> {
    let rate = plan.info.video.frame_rate;
    let chunk = plan.grid.chunks.iter().find(|chunk| chunk.start_frame == start)?;
    let quarter_of_a_frame = 0.25 / rate.fps();
    let mut frame = 0;
    let time = |frames: &u32| {
        frame += u64::from(*frames);
        format!("{:.6}", rate.seconds(frame) - quarter_of_a_frame)
    };
    let times: Vec<String> = chunk.segments.iter().take(chunk.segments.len().saturating_sub(1)).map(time).collect();
    (!times.is_empty()).then(|| times.join(","))
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
fn verdict(error: RunError, operation: &str, chunk: &Chunk) -> PipelineError {
    match error {
        RunError::Failed { stderr, .. } if chunk.index == 0 && is_about_the_source(&stderr) => {
            SourceFault::Undecodable(in_words(&stderr)).into()
        }
        other => other.during(operation),
    }
}

/// Whether ffmpeg's last words blame the bytes and not the way to them.
pub(super) fn is_about_the_source(stderr: &str) -> bool {
    const CIRCUMSTANCES: [&str; 12] = [
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
    ];
    const BYTES: [&str; 6] = [
        "Invalid data found",
        "moov atom not found",
        "Error while decoding",
        "not on whitelist",
        "Could not find codec parameters",
        "Picture size",
    ];
    !CIRCUMSTANCES.iter().any(|text| stderr.contains(text)) && BYTES.iter().any(|text| stderr.contains(text))
}

/// Whether ffmpeg had to make up pictures: its decoder does, a player's may stop.
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
    WORDS.iter().any(|text| stderr.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_not_the_sources_fault() {
        assert!(is_about_the_source("x.mp4: Invalid data found when processing input"));
        assert!(!is_about_the_source("Connection refused\nInvalid data found when processing input"));
        assert!(!is_about_the_source("something else"));
    }
}
