//! Encodes a whole audio track: stereo AAC at 48 kHz, cut where the picture's segments begin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::chunk::{fraction, private_directory};
use super::command::ProgressReader;
use super::cut::write_file;
use super::encoded::RenditionOutput;
use super::error::PipelineError;
use super::feed::{Wanted, run_fed};
use super::filters::audio_graph;
use super::fragment::{FragmentError, Recording, unexpected};
use super::plan::{AudioPlan, Plan};
use super::rendition::RenditionName;
use super::run::RunError;
use super::source::Source;

/// Samples per second of every audio rendition, which are also its ticks.
const SAMPLE_RATE: u32 = 48_000;
/// Samples in one block of AAC-LC.
const BLOCK_SAMPLES: u32 = 1024;
/// Blocks that ffmpeg's encoder needs before the first sample comes out.
const PRIMING_BLOCKS: usize = 1;
const BITRATE: &str = "128k";
const RECORDING_FILE: &str = "audio.mp4";

/// How often is looked whether segments are complete: soon at first, as viewers wait; then sound is far ahead of the picture.
const FIRST_LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Pipeline {
    /// Encodes the whole of audio rendition `position` of the plan (an index into [`Plan::audio`]).
    ///
    /// It starts with the picture and ends with it: what the source lacks is silence. Segments begin at the AAC block nearest
    /// to the picture's segments. They are handed to `take` while the rest is encoded, a few at a time, each once and in order;
    /// their files live as long as that call. `progress` is called with 0 to 1.
    ///
    /// # Errors
    /// Those of `take`; [`PipelineError::Transient`] for everything else that goes wrong. That the track is at fault is not told:
    /// the probe has decoded some of it where there is sound alone, and knows its codec otherwise.
    ///
    /// # Cancel safety
    /// Dropping the future kills ffmpeg and removes the files.
    #[expect(clippy::too_many_arguments, reason = "what to encode, where, and whom to tell")]
    pub async fn encode_audio<'a, E: From<PipelineError>>(
        &self,
        plan: &Plan,
        position: usize,
        source: &Source,
        work_dir: &Path,
        progress: impl Fn(f32) + Send + Sync,
        take: impl Fn(RenditionOutput) -> BoxFuture<'a, Result<(), E>>,
        cancel: &CancellationToken,
    ) -> Result<(), E> {
        let operation = format!("encode audio {position}");
        let audio = plan
            .audio
            .get(position)
            .ok_or_else(|| PipelineError::transient(&*operation, "the plan has no such track"))?;
        let directory = private_directory(&operation, work_dir)?;
        let wanted = Wanted { info: &plan.info, index: audio.track.index, seek_seconds: None };
        let media_seconds = plan.info.duration().as_secs_f64();
        let feed = self.feed(source, wanted, directory.path(), media_seconds);
        let mut arguments = feed.input.clone();
        arguments
            .option("-filter_complex", audio_graph(&plan.info, &feed.graph(true)))
            .words("-map [a0] -c:a aac -profile:a aac_low -b:a")
            .word(BITRATE)
            .option("-frames:a", blocks_max(plan.info.duration()))
            .words("-map_metadata -1 -map_chapters -1 -fflags +bitexact")
            .words("-movflags +empty_moov+default_base_moof+skip_trailer -frag_duration 4000000 -f mp4")
            .word(RECORDING_FILE);
        let invocation = self.ffmpeg_run(None, arguments, directory.path(), media_seconds);
        let total_us = plan.info.duration_ms() * 1000;
        let mut reader = ProgressReader::default();
        let mut sink = |piece: &[u8]| {
            let moved = reader.push(piece);
            if moved {
                progress(fraction(reader.out_time_us, total_us));
            }
            Ok(moved)
        };
        let ended = CancellationToken::new();
        let encoding = async {
            let outcome = run_fed(&feed.invocation, &invocation, cancel, &mut sink).await;
            ended.cancel();
            outcome.map(drop).map_err(|error| E::from(error.during(&operation)))
        };
        let cutter = Cutter::new(plan, audio, directory.path())?;
        tokio::try_join!(encoding, hand_over(cutter, source, &ended, take)).map(drop)
    }
}

/// Where encoding stops should the graph not end: a second later than the picture.
fn blocks_max(duration: Duration) -> u64 {
    (duration.as_secs() + 2) * u64::from(SAMPLE_RATE) / u64::from(BLOCK_SAMPLES)
}

/// Hands segments to `take` as they become complete, and what is left when the encoder has ended.
async fn hand_over<'a, E: From<PipelineError>>(
    mut cutter: Cutter,
    source: &Source,
    ended: &CancellationToken,
    take: impl Fn(RenditionOutput) -> BoxFuture<'a, Result<(), E>>,
) -> Result<(), E> {
    let mut pause = FIRST_LOOK_EVERY;
    loop {
        // Cancel safe: a sleep and a token.
        let is_last = tokio::select! {
            () = ended.cancelled() => true,
            () = tokio::time::sleep(pause) => false,
        };
        let operation = format!("cut {} into segments", cutter.name);
        let task = move || cutter.cut(is_last).map(|output| (cutter, output));
        let cut =
            tokio::task::spawn_blocking(task).await.map_err(|error| PipelineError::transient(&*operation, error))?;
        let output;
        (cutter, output) = cut.map_err(|error| PipelineError::transient(&*operation, error))?;
        if source.is_broken() {
            // What was decoded last may be half a block.
            return Err(RunError::Broken.during(&operation).into());
        }
        if let Some(output) = output {
            take(output).await?;
            pause = LOOK_EVERY;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Cuts a track into segments while it is being recorded.
struct Cutter {
    name: RenditionName,
    path: PathBuf,
    folder: PathBuf,
    /// When the picture's segments begin and the last one ends.
    seconds: Vec<f64>,
    recording: Option<Recording>,
    /// Segments cut so far.
    done: usize,
}

impl Cutter {
    fn new(plan: &Plan, audio: &AudioPlan, directory: &Path) -> Result<Self, PipelineError> {
        let rate = plan.info.video.frame_rate;
        let folder = directory.join(audio.name.as_str());
        std::fs::create_dir(&folder).map_err(|error| PipelineError::transient("make a directory for sound", error))?;
        Ok(Self {
            name: audio.name.clone(),
            path: directory.join(RECORDING_FILE),
            folder,
            seconds: plan.grid.boundaries().into_iter().map(|frame| rate.seconds(frame)).collect(),
            recording: None,
            done: 0,
        })
    }

    /// The segments that have become complete; with `is_last`, all that are left.
    fn cut(&mut self, is_last: bool) -> Result<Option<RenditionOutput>, FragmentError> {
        match &mut self.recording {
            Some(recording) => recording.read_on()?,
            None => self.recording = Recording::begun(&self.path)?,
        }
        let recording = match &mut self.recording {
            Some(recording) => recording,
            None if is_last => return Err(unexpected("no moov")),
            None => return Ok(None),
        };
        if recording.timescale != SAMPLE_RATE {
            return Err(unexpected(format!("a timescale of {}", recording.timescale)));
        }
        let made = recording.samples.len().saturating_sub(PRIMING_BLOCKS);
        let boundaries = block_boundaries(&self.seconds, if is_last { made } else { usize::MAX });
        let ranges = boundaries.windows(2).map(|pair| pair[0]..pair[1]);
        let mut segments = Vec::new();
        for (number, range) in (1..).zip(ranges).skip(self.done).take_while(|(_, range)| range.end <= made) {
            let start_ticks = range.start as u64 * u64::from(BLOCK_SAMPLES);
            let samples = range.start + PRIMING_BLOCKS..range.end + PRIMING_BLOCKS;
            segments.push(write_file(recording, &self.folder, samples, number, start_ticks, BLOCK_SAMPLES)?);
        }
        self.done += segments.len();
        let is_empty = segments.is_empty();
        let output = RenditionOutput {
            rendition: self.name.clone(),
            init: recording.init.clone(),
            codecs: recording.codecs.clone(),
            timescale: recording.timescale,
            segments,
        };
        Ok((!is_empty).then_some(output))
    }
}

/// The blocks at which segments begin, given the times at which the picture's do; rising, and at the end the number of blocks.
///
/// The last segment covers the picture's last moment; what the encoder made beyond that is left out.
fn block_boundaries(seconds: &[f64], made: usize) -> Vec<usize> {
    let block = |seconds: f64| seconds * f64::from(SAMPLE_RATE) / f64::from(BLOCK_SAMPLES);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of blocks, small and not negative"
    )]
    let whole = |blocks: f64| blocks.clamp(0.0, 1e12) as usize;
    let (last, starts) = seconds.split_last().unwrap_or((&0.0, &[]));
    // A millionth of a block more than a whole number is rounding, not sound.
    let end = whole((block(*last) - 1e-6).ceil()).min(made);
    let mut boundaries: Vec<usize> =
        starts.iter().map(|&start| whole(block(start).round())).filter(|&start| start < end).collect();
    boundaries.push(end);
    boundaries.dedup();
    boundaries
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sound_that_ends_early_has_no_empty_segment() {
        assert_eq!(block_boundaries(&[0.0, 4.0, 8.0, 8.5], 200), [0, 188, 200]);
        assert_eq!(block_boundaries(&[0.0, 4.0, 8.0], 1000), [0, 188, 375]);
        assert_eq!(block_boundaries(&[0.0, 0.04], 10), [0, 2]);
    }

    proptest! {
        #[test]
        fn boundaries_rise_and_stay_within_a_block_of_the_picture(segments in 1_u32..400, made in 0_usize..80_000) {
            let seconds: Vec<f64> = (0..=segments).map(|index| f64::from(index) * 4.004).collect();
            let boundaries = block_boundaries(&seconds, made);
            prop_assert!(boundaries.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(boundaries.last().is_some_and(|&end| end <= made));
            for (boundary, second) in boundaries.iter().zip(&seconds).take(boundaries.len() - 1) {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let at = *boundary as f64 * 1024.0 / 48_000.0;
                prop_assert!((at - second).abs() <= 0.0107);
            }
        }
    }
}
