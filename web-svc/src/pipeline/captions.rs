//! The text tracks of a source as captions.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use triton_api::Language;

use super::Pipeline;
use super::chunk::{is_about_the_source, private_directory};
use super::error::{PipelineError, SourceFault};
use super::language::bcp47;
use super::probe::in_words;
use super::report::{Report, Stream};
use super::run::{RunError, run};
use super::source::{Source, SourceInfo, TextTrack};
use crate::captions;

const OPERATION: &str = "read the captions";
/// Codecs that are text, as ffprobe names them; others are pictures of text.
pub(super) const TEXT_CODECS: [&str; 6] = ["subrip", "ass", "ssa", "webvtt", "mov_text", "text"];
/// Tracks beyond these are left out.
const TRACKS_MAX: usize = 32;
/// The longest text that ffmpeg may make of a track, in bytes; longer ones are left out.
const TRACK_BYTES_MAX: u64 = 8 << 20;
/// Added to all times while ffmpeg writes them, for its writer knows none below zero.
const LEAD_MS: u64 = 3_600_000;

impl Report {
    /// The text tracks, one of each language: the first that is for the whole film, and not only for its foreign parts.
    pub(super) fn captions(&self) -> Vec<TextTrack> {
        let mut streams: Vec<&Stream> = self.streams.iter().filter(|stream| stream.is_text()).collect();
        streams.sort_by_key(|stream| stream.has_disposition("forced"));
        let mut tracks: Vec<TextTrack> = Vec::new();
        for stream in streams {
            let language = stream.tag("language").as_deref().and_then(bcp47);
            if tracks.len() < TRACKS_MAX && tracks.iter().all(|track| track.language != language) {
                tracks.push(TextTrack {
                    index: stream.index,
                    codec: stream.codec().to_owned(),
                    language,
                    title: stream.tag("title"),
                    hearing_impaired: stream.has_disposition("hearing_impaired"),
                });
            }
        }
        tracks
    }
}

impl TextTrack {
    /// The language; `und` where the container does not say.
    pub fn language(&self) -> Language {
        self.language.clone().unwrap_or_else(Language::undetermined)
    }
}

impl Pipeline {
    /// `WebVTT` for each text track of a source, in their order, on the clock of the picture; `None` for one that shows
    /// nothing.
    ///
    /// ffmpeg writes them as `SubRip`, as its own writer of `WebVTT` does not escape what is no markup. All are read in one
    /// run, for they lie scattered over the whole file.
    ///
    /// # Errors
    /// [`PipelineError::Source`] where ffmpeg cannot read them.
    pub async fn captions(
        &self,
        info: &SourceInfo,
        source: &Source,
        work_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Vec<Option<String>>, PipelineError> {
        if info.captions.is_empty() {
            return Ok(Vec::new());
        }
        let directory = private_directory(OPERATION, work_dir)?;
        let mut arguments = self.ffmpeg_input(source, info.demuxer, None, "");
        #[expect(clippy::cast_precision_loss, reason = "an hour")]
        let offset_seconds = LEAD_MS as f64 / 1000.0 - info.video.start.seconds();
        for (number, track) in info.captions.iter().enumerate() {
            arguments.option("-map", format!("0:{}", track.index)).words("-c:s srt -f srt -map_metadata -1");
            arguments.option("-output_ts_offset", format!("{offset_seconds:.6}")).option("-fs", TRACK_BYTES_MAX);
            arguments.word(track_file(number));
        }
        let mut invocation =
            self.ffmpeg_run(Some(source), arguments, directory.path(), info.duration().as_secs_f64() / 10.0);
        // Minutes may pass without a word.
        invocation.stall_time_max = invocation.wall_time_max;
        run(&invocation, cancel, &mut |_: &[u8]| Ok(true)).await.map_err(verdict)?;
        let mut texts = Vec::with_capacity(info.captions.len());
        for number in 0..info.captions.len() {
            let path = directory.path().join(track_file(number));
            texts.push(text_of(&path, info.duration_ms()).await?);
        }
        Ok(texts)
    }
}

fn track_file(number: usize) -> String {
    format!("track-{number}.srt")
}

async fn text_of(path: &Path, duration_ms: u64) -> Result<Option<String>, PipelineError> {
    let failed = |error: std::io::Error| PipelineError::transient(OPERATION, format!("no text was made: {error}"));
    if tokio::fs::metadata(path).await.map_err(failed)?.len() >= TRACK_BYTES_MAX {
        return Ok(None);
    }
    let subrip = tokio::fs::read(path).await.map_err(failed)?;
    let task = move || captions::of_track(&subrip, LEAD_MS, duration_ms);
    tokio::task::spawn_blocking(task).await.map_err(|error| PipelineError::transient(OPERATION, error))
}

/// The picture could be read, so nearly everything that is wrong is wrong with the text alone.
fn verdict(error: RunError) -> PipelineError {
    match error {
        RunError::Failed { stderr, .. } if is_about_the_source(&stderr) => {
            SourceFault::Undecodable(in_words(&stderr)).into()
        }
        other => other.during(OPERATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_language_the_first_whole_text_track_is_taken() {
        let report: Report = serde_json::from_str(
            r#"{"streams": [
                {"index": 2, "codec_type": "subtitle", "codec_name": "subrip", "tags": {"language": "eng"}, "disposition": {"forced": 1}},
                {"index": 3, "codec_type": "subtitle", "codec_name": "hdmv_pgs_subtitle", "tags": {"language": "fre"}},
                {"index": 4, "codec_type": "subtitle", "codec_name": "ass", "tags": {"LANGUAGE": "en", "title": "Full"}},
                {"index": 5, "codec_type": "subtitle", "codec_name": "mov_text", "disposition": {"hearing_impaired": 1}},
                {"index": 6, "codec_type": "subtitle", "codec_name": "text", "tags": {"language": "und"}}]}"#,
        )
        .unwrap();
        let tracks = report.captions();
        let found: Vec<(u32, String)> =
            tracks.iter().map(|track| (track.index, track.language().to_string())).collect();
        assert_eq!(found, [(4, "en".to_owned()), (5, "und".to_owned())]);
        assert_eq!(tracks[0].title.as_deref(), Some("Full"));
        assert!(tracks[1].hearing_impaired && !tracks[0].hearing_impaired);
    }
}
