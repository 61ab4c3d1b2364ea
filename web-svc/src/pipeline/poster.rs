//! A still picture that shows what the video is about.

use std::path::Path;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::chunk::private_directory;
use super::command::Arguments;
use super::error::PipelineError;
use super::filters::still_graph;
use super::reading::{Beside, Reading};
use super::run::RunError;
use super::source::{Source, SourceInfo};

const OPERATION: &str = "make the poster";
const WIDTH_MAX: u32 = 1280;
/// Where to look, as parts of the duration; the first that is bright enough wins.
const PLACES: [f64; 4] = [0.1, 0.3, 0.5, 0.0];
/// Mean luma (of 255) below which a picture counts as black.
const BLACK_BELOW: f64 = 24.0;
/// The most representative of so many frames is taken.
const CANDIDATES: u32 = 50;
const PICTURE_BYTES_MAX: u64 = 16 << 20;
const PICTURE_FILE: &str = "picture.jpg";
const LUMA_FILE: &str = "luma.txt";

impl Pipeline {
    /// A JPEG, at most 1280 pixels wide, of a frame that is not black if there is one.
    ///
    /// # Errors
    /// [`PipelineError::Transient`] where ffmpeg fails.
    pub async fn poster(
        &self,
        info: &SourceInfo,
        source: &Source,
        work_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Bytes, PipelineError> {
        let (width, height) = poster_size(info.video.width, info.video.height);
        let choose = format!("thumbnail=n={CANDIDATES}");
        let measure = format!(",signalstats,metadata=mode=print:key=lavfi.signalstats.YAVG:file={LUMA_FILE}");
        let mut best: Option<(f64, Bytes)> = None;
        for place in PLACES {
            let directory = private_directory(OPERATION, work_dir)?;
            let from_seconds = info.duration().as_secs_f64() * place;
            let seek = (from_seconds > 0.5).then(|| info.video.start.seconds() + from_seconds);
            let media = info.duration().as_secs_f64() / 10.0;
            let Reading { mut input, graph, beside } = self.reading(source, info, seek, directory.path(), media);
            let tone_mapping = self.tools.tone_mapping;
            input.option(
                "-filter_complex",
                still_graph(graph, &info.video, width, height, &choose, &measure, tone_mapping),
            );
            let picture = self.picture(input, beside, OPERATION, directory.path(), media, cancel).await;
            let Ok(picture) = picture.inspect_err(|error| tracing::debug!(%error, place, "no picture here")) else {
                continue;
            };
            let luma = mean_luma(directory.path());
            if best.as_ref().is_none_or(|(brightest, _)| luma > *brightest) {
                best = Some((luma, picture));
            }
            if luma >= BLACK_BELOW {
                break;
            }
        }
        if cancel.is_cancelled() {
            return Err(PipelineError::Cancelled);
        }
        if source.is_broken() {
            // What was found may be dark, and there is better further on.
            return Err(RunError::Broken.during(OPERATION));
        }
        best.map(|(_, picture)| picture).ok_or_else(|| PipelineError::transient(OPERATION, "no picture could be read"))
    }

    /// Runs ffmpeg with inputs and a filter graph whose one picture is labelled `v0`, and answers that as a JPEG.
    pub(super) async fn picture(
        &self,
        mut arguments: Arguments,
        beside: Beside<'_>,
        operation: &'static str,
        directory: &Path,
        media_seconds: f64,
        cancel: &CancellationToken,
    ) -> Result<Bytes, PipelineError> {
        arguments.words("-map [v0] -frames:v 1 -c:v mjpeg -q:v 4 -map_metadata -1 -fflags +bitexact");
        arguments.words("-f image2 -update 1").word(PICTURE_FILE);
        let mut invocation = self.ffmpeg_run(beside.source, arguments, directory, media_seconds);
        // Nothing can be seen of its progress: the picture comes at the end.
        invocation.stall_time_max = invocation.wall_time_max;
        beside.run(&invocation, cancel, &mut |_: &[u8]| Ok(true)).await.map_err(|error| error.during(operation))?;
        let path = directory.join(PICTURE_FILE);
        let failed =
            |error: std::io::Error| PipelineError::transient(operation, format!("no picture was made: {error}"));
        if tokio::fs::metadata(&path).await.map_err(failed)?.len() > PICTURE_BYTES_MAX {
            return Err(PipelineError::transient(operation, "the picture is too large"));
        }
        tokio::fs::read(&path).await.map(Bytes::from).map_err(failed)
    }
}

fn poster_size(width: u32, height: u32) -> (u32, u32) {
    let (width, height) = (width.max(2), height.max(2));
    let target = width.min(WIDTH_MAX);
    let scaled = u64::from(height) * u64::from(target) / u64::from(width);
    (target & !1, u32::try_from(scaled).unwrap_or(WIDTH_MAX).clamp(2, 8192) & !1)
}

/// The mean luma of the picture that was made; black if unknown.
fn mean_luma(directory: &Path) -> f64 {
    let text = std::fs::read_to_string(directory.join(LUMA_FILE)).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("lavfi.signalstats.YAVG="));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posters_are_even_and_at_most_1280_wide() {
        assert_eq!(poster_size(3840, 2160), (1280, 720));
        assert_eq!(poster_size(1080, 1920), (1080, 1920));
        assert_eq!(poster_size(853, 480), (852, 480));
    }
}
