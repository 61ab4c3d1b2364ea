//! Finds out what a source is: first bytes, streams, the first decoded frame, and the duration.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::chunk::is_about_the_source;
use super::command::{Arguments, fenced_input};
use super::error::{PipelineError, SourceFault};
use super::frame::Frame;
use super::packets::PacketScan;
use super::report::{Report, Stream};
use super::run::{Invocation, RunError, capture, run};
use super::sniff::{Demuxer, SNIFF_BYTES, sniff};
use super::source::{Colour, Source, SourceInfo, Timestamp, VideoStream};
use super::waves::DRAWN_SIZE;
use super::{FrameRate, Pipeline};

const OPERATION: &str = "probe the source";
/// The pictures that are drawn where there is sound alone.
const DRAWN_RATE: FrameRate = FrameRate::ALL[2];
/// ffprobe's answers are far shorter, even for a file with the most streams allowed.
const REPORT_BYTES_MAX: usize = 4 << 20;

impl Pipeline {
    /// Finds out what a source is and whether it can be encoded.
    ///
    /// # Errors
    /// [`PipelineError::Source`] with a reason for people if it is not a video that is supported; the source's bytes never make
    /// ffmpeg open anything else.
    pub async fn probe(&self, source: &Source, cancel: &CancellationToken) -> Result<SourceInfo, PipelineError> {
        let demuxer = tokio::select! {
            () = cancel.cancelled() => return Err(PipelineError::Cancelled),
            head = self.head(source) => sniff(&head?)?,
        };
        self.check_whole(source, demuxer).await?;
        let streams = self.ffprobe(source, demuxer, cancel, "-show_format -show_streams -of json").await?;
        let streams: Report = parse(&streams)?;
        streams.check(&self.settings.limits)?;
        let video = match streams.picture() {
            Some(picture) => {
                let frame = self.first_frame(source, demuxer, picture, cancel).await?;
                let frame = frame.ok_or_else(|| SourceFault::Undecodable(picture.damage()))?;
                self.video_stream(source, demuxer, &streams, picture, &frame, cancel).await?
            }
            None => self.drawn_stream(source, demuxer, &streams, cancel).await?,
        };
        let info = SourceInfo { demuxer, video, audio: streams.sound(), captions: streams.captions() };
        if info.duration() > self.settings.limits.duration_max {
            return Err(
                SourceFault::TooLong { duration: info.duration(), max: self.settings.limits.duration_max }.into()
            );
        }
        Ok(info)
    }

    /// The pictures that are drawn of the sound of a file that has none.
    async fn drawn_stream(
        &self,
        source: &Source,
        demuxer: Demuxer,
        report: &Report,
        cancel: &CancellationToken,
    ) -> Result<VideoStream, PipelineError> {
        let sound = report.drawn_of()?;
        let no_clock = || SourceFault::Damaged { container: demuxer, detail: "the sound has no clock".to_owned() };
        let start = sound.start(&Frame::default()).ok_or_else(no_clock)?;
        if self.first_frame(source, demuxer, sound, cancel).await?.is_none() {
            return Err(SourceFault::UndecodableSound(sound.damage()).into());
        }
        // What these containers tell may be a guess, or a lie that would be drawn for hours. So all of the sound is read, which
        // takes a moment for most files, and minutes for the largest.
        let scan = self.scan(source, demuxer, sound.index, start, cancel).await?;
        if let Some(fault) = scan.hole() {
            return Err(fault.into());
        }
        let seconds = scan.seconds(start);
        let [width, height] = DRAWN_SIZE;
        Ok(VideoStream {
            index: sound.index,
            codec: sound.codec().to_owned(),
            width,
            height,
            frame_rate: DRAWN_RATE,
            frames: DRAWN_RATE.frames_in(seconds).max(1),
            start,
            interlaced: false,
            pixel_format: "rgba".to_owned(),
            colour: Colour::Bt709,
            drawn: true,
            read_size: None,
        })
    }

    async fn video_stream(
        &self,
        source: &Source,
        demuxer: Demuxer,
        report: &Report,
        picture: &Stream,
        frame: &Frame,
        cancel: &CancellationToken,
    ) -> Result<VideoStream, PipelineError> {
        let damaged = |detail: &str| SourceFault::Damaged { container: demuxer, detail: detail.to_owned() };
        let start = picture.start(frame).ok_or_else(|| damaged("the picture has no clock"))?;
        let seconds = match picture.duration_seconds(demuxer, &report.format, start) {
            Some(seconds) => seconds,
            None => self.scan(source, demuxer, picture.index, start, cancel).await?.seconds(start),
        };
        let frame_rate = picture.frame_rate();
        let (width, height) = picture.shown_size(frame);
        Ok(VideoStream {
            index: picture.index,
            codec: picture.codec().to_owned(),
            width,
            height,
            frame_rate,
            // A single picture may have no duration at all.
            frames: frame_rate.frames_in(seconds).max(1),
            start,
            interlaced: picture.interlaced(frame),
            pixel_format: picture.pixel_format(frame).ok_or_else(|| damaged("the pictures have no known format"))?,
            colour: frame.colour(),
            drawn: false,
            read_size: picture.read_size(frame),
        })
    }

    /// The first bytes of the source, at most [`SNIFF_BYTES`].
    async fn head(&self, source: &Source) -> Result<Vec<u8>, PipelineError> {
        let failed = |error: reqwest::Error| PipelineError::transient(OPERATION, error.without_url());
        let request =
            self.http.get(source.url().clone()).header(http::header::RANGE, format!("bytes=0-{}", SNIFF_BYTES - 1));
        let mut response = request.timeout(Duration::from_secs(60)).send().await.map_err(failed)?;
        // An empty file satisfies no range.
        if response.status() == http::StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(Vec::new());
        }
        if !response.status().is_success() {
            return Err(PipelineError::transient(OPERATION, format!("the source answered {}", response.status())));
        }
        let mut head = Vec::new();
        while head.len() < SNIFF_BYTES
            && let Some(piece) = response.chunk().await.map_err(failed)?
        {
            head.extend_from_slice(&piece);
        }
        head.truncate(SNIFF_BYTES);
        Ok(head)
    }

    /// Decodes the first packets of a stream, which tells more than the container does.
    async fn first_frame(
        &self,
        source: &Source,
        demuxer: Demuxer,
        stream: &Stream,
        cancel: &CancellationToken,
    ) -> Result<Option<Frame>, PipelineError> {
        let what = format!("-select_streams {} -show_frames -read_intervals %+#64 -of json", stream.index);
        let report: Report = parse(&self.ffprobe(source, demuxer, cancel, &what).await?)?;
        Ok(report.frames.into_iter().next())
    }

    /// Reads all packets of a stream, for containers that do not tell its duration.
    async fn scan(
        &self,
        source: &Source,
        demuxer: Demuxer,
        index: u32,
        start: Timestamp,
        cancel: &CancellationToken,
    ) -> Result<PacketScan, PipelineError> {
        let what = format!("-select_streams {index} -show_entries packet=pts_time,duration_time -of csv=p=0");
        let mut invocation = self.ffprobe_run(source, demuxer, &what);
        invocation.wall_time_max = self.settings.limits.probe_time_max * 10;
        let mut scan = PacketScan::default();
        let limits = &self.settings.limits;
        let _turn = self.scans.take(cancel).await?;
        let mut sink = |piece: &[u8]| {
            scan.push(piece);
            if scan.refusal(start, limits).is_some() { Err(RunError::Decided) } else { Ok(true) }
        };
        match run(&invocation, cancel, &mut sink).await {
            Ok(_) | Err(RunError::Decided) => {}
            Err(error) => return Err(verdict(error, demuxer)),
        }
        match scan.refusal(start, limits) {
            Some(fault) => Err(fault.into()),
            None => Ok(scan),
        }
    }

    async fn ffprobe(
        &self,
        source: &Source,
        demuxer: Demuxer,
        cancel: &CancellationToken,
        what: &str,
    ) -> Result<Vec<u8>, PipelineError> {
        let invocation = self.ffprobe_run(source, demuxer, what);
        let _turn = self.probes.take(cancel).await?;
        let mut outcome = capture(&invocation, cancel, REPORT_BYTES_MAX).await;
        let mut in_doubt = outcome.as_ref().is_err_and(is_doubtful);
        if in_doubt {
            outcome = capture(&invocation, cancel, REPORT_BYTES_MAX).await;
            in_doubt = outcome.as_ref().is_err_and(is_doubtful) && self.head(source).await.is_ok();
        }
        match outcome {
            Ok((output, _)) => Ok(output),
            Err(RunError::Failed { stderr, .. }) if in_doubt => {
                Err(SourceFault::Damaged { container: demuxer, detail: in_words(&stderr) }.into())
            }
            Err(error) => Err(verdict(error, demuxer)),
        }
    }

    fn ffprobe_run(&self, source: &Source, demuxer: Demuxer, what: &str) -> Invocation {
        let mut arguments = Arguments::default();
        arguments.words("-hide_banner -loglevel error").words(what);
        fenced_input(&mut arguments, demuxer, &self.settings.limits);
        arguments.option("-i", source.url());
        let time_max = self.settings.limits.probe_time_max;
        self.limited(&self.tools.ffprobe, Some(source), arguments, None, time_max)
    }
}

fn parse(json: &[u8]) -> Result<Report, PipelineError> {
    serde_json::from_slice(json)
        .map_err(|error| PipelineError::transient(OPERATION, format!("ffprobe's answer: {error}")))
}

/// What a failure of ffprobe means: mostly that the file is damaged.
fn verdict(error: RunError, demuxer: Demuxer) -> PipelineError {
    match error {
        RunError::Failed { stderr, .. } if refused_codec(&stderr).is_some() => {
            SourceFault::UnsupportedCodec(refused_codec(&stderr).unwrap_or_default().to_owned()).into()
        }
        RunError::Failed { stderr, .. } if is_about_the_source(&stderr) => {
            SourceFault::Damaged { container: demuxer, detail: in_words(&stderr) }.into()
        }
        RunError::TooMuchOutput => {
            SourceFault::Damaged { container: demuxer, detail: "its description is too long".to_owned() }.into()
        }
        other => other.during(OPERATION),
    }
}

/// Whether nobody can tell from ffprobe's words if the file or the way to it is at fault: it crashed, ran out of memory, or met
/// an end. What happens twice, while the source can be read, is the file's fault.
fn is_doubtful(error: &RunError) -> bool {
    matches!(error, RunError::Failed { stderr, .. } if refused_codec(stderr).is_none() && !is_about_the_source(stderr))
}

/// The codec that ffprobe was not allowed to open: `[gif @ 0x1] Codec (gif) not on whitelist 'h264,...'`.
fn refused_codec(stderr: &str) -> Option<&str> {
    let line = stderr.lines().find(|line| line.contains("not on whitelist"))?;
    line.split_once("Codec (")?.1.split_once(')').map(|(codec, _)| codec)
}

/// The last complaint of ffmpeg or ffprobe without what is nobody's business: addresses in memory and of the source, and what the
/// options of a command line may be good for.
pub(super) fn in_words(stderr: &str) -> String {
    if stderr.contains("moov atom not found") {
        return "the end of the file, which holds its index, is missing".to_owned();
    }
    let line = stderr.lines().rfind(|line| !line.contains("Output file is empty")).unwrap_or("it cannot be read");
    let line = line.rsplit(": ").next().unwrap_or("it cannot be read");
    line.rsplit("] ").next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_index_is_told_in_words() {
        assert!(in_words("[mov @ 0x1] moov atom not found\nhttp://x/y: Invalid data").contains("index"));
        assert_eq!(
            in_words("http://127.0.0.1:9/secret: Invalid data found when processing input"),
            "Invalid data found when processing input"
        );
        assert_eq!(in_words("x\n[h264 @ 0x5581] no frame!"), "no frame!");
        let advice = "Output file is empty, nothing was encoded (check -ss / -t / -frames parameters if used)";
        assert_eq!(in_words(&format!("[aac @ 0x5581] no frame!\n{advice}\n[out#0/mp4 @ 0x1] {advice}\n")), "no frame!");
        assert_eq!(in_words(advice), "it cannot be read");
    }
}
