//! From a source that is readable over HTTP to CMAF segments and the manifests that describe them.
//!
//! The order of work: [`Pipeline::probe`] a [`Source`], make a [`Plan`] from what it found with [`Pipeline::plan`], run
//! [`Pipeline::encode_chunk`] and, where the plan has an extra set, [`Pipeline::encode_extra`] for every chunk and
//! [`Pipeline::encode_audio`] for every track (in any order, on any machine), then describe the results as a [`Presentation`]. Nothing here knows about the database, the ring or who asks.
//!
//! Decisions (sniffing, rate, ladder, grid, filters, manifests) are pure. All I/O is in `run`, `probe`, `encode`,
//! `audio`, `poster`, `storyboard` and `captions`.

use std::path::PathBuf;
use std::time::Duration;

mod audio;
mod captions;
mod chunk;
mod cmaf;
mod command;
mod copy;
mod cut;
mod dash;
mod encoded;
mod encoder;
mod error;
mod extra;
mod feed;
mod film;
mod filters;
mod fragment;
mod frame;
mod grid;
mod hls;
mod ladder;
mod language;
mod movie;
mod packets;
mod plan;
mod poster;
mod presentation;
mod probe;
mod rate;
mod reading;
mod rendition;
mod report;
mod run;
mod sniff;
mod source;
mod storyboard;
mod text_rendition;
mod toolchain;
mod turns;
mod waves;
mod whole;

pub(crate) use command::READ_TIME_MAX;
pub use encoded::{Encoded, INIT_FILE, RenditionOutput, Segment, segment_file};
pub use error::{PipelineError, SourceFault};
pub use grid::{Chunk, Grid};
pub use ladder::{Rung, ladder};
pub use plan::{AudioPlan, Plan};
pub use presentation::{AudioRendition, Growth, Presentation, SegmentInfo, Track, VideoRendition};
pub use rate::{FrameRate, UnknownFrameRate};
pub use rendition::{InvalidRenditionName, RenditionName};
pub use sniff::{Demuxer, SNIFF_BYTES, sniff};
pub use source::{AudioTrack, Break, Colour, NotHttp, Source, SourceInfo, TextTrack, Timestamp, VideoStream};
pub use storyboard::Storyboard;
pub use text_rendition::TextRendition;
pub use toolchain::Toolchain;

use self::turns::Turns;
use crate::sandbox::Sandbox;

/// The media tools of this machine with the limits they run under. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipeline {
    tools: Toolchain,
    http: reqwest::Client,
    settings: Settings,
    probes: Turns,
    scans: Turns,
}

/// How the pipeline encodes and what it refuses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `ffmpeg` program: a name looked up in `PATH`, or a path.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` program.
    pub ffprobe: PathBuf,
    /// Threads of one ffmpeg run for decoding, and for each encoder; 0 lets ffmpeg take every core.
    pub threads: u32,
    /// x264's preset: the trade of processor time against size.
    pub preset: String,
    /// Whether plans get renditions in AV1 beside those in H.264.
    pub av1: bool,
    /// What is refused and when work is given up.
    pub limits: Limits,
    /// How the two programs are confined.
    pub sandbox: Sandbox,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
            threads: 0,
            preset: "veryfast".to_owned(),
            av1: false,
            limits: Limits::default(),
            sandbox: Sandbox::none(),
        }
    }
}

/// Bounds on sources and on the programs that read them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest video accepted.
    pub duration_max: Duration,
    /// Most frames of the picture in one file, whatever its clock says. Where a container does not count them, and of sound alone,
    /// packets.
    pub frames_max: u64,
    /// Most streams (pictures, sound, subtitles, data) in one file.
    pub streams_max: usize,
    /// Most pixels in one picture.
    pub pixels_max: u32,
    /// Longest time for one ffprobe run or one poster; ten times that for a run that reads a whole file.
    pub probe_time_max: Duration,
    /// Most ffprobe runs at once that look at the beginning of a file. More wait.
    pub probes_max: usize,
    /// Most ffprobe runs at once that read a whole file, beside these. More wait.
    pub scans_max: usize,
    /// Longest time for any encoding: this, plus `encode_time_per_media_second` for each second of the media.
    pub encode_time_base: Duration,
    /// See `encode_time_base`.
    pub encode_time_per_media_second: Duration,
    /// An encoder that shows no progress for this long is killed.
    pub stall_time_max: Duration,
    /// Address space of one child process, in bytes.
    pub memory_bytes_max: u64,
    /// Size of any one file that a child process writes, in bytes.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duration_max: Duration::from_secs(12 * 3600),
            // 12 hours of 240 frames per second.
            frames_max: 12 * 3600 * 240,
            streams_max: 64,
            pixels_max: 35_389_440,
            probe_time_max: Duration::from_secs(120),
            probes_max: 16,
            scans_max: 4,
            encode_time_base: Duration::from_secs(300),
            encode_time_per_media_second: Duration::from_secs(60),
            stall_time_max: Duration::from_secs(60),
            memory_bytes_max: 8 << 30,
            file_bytes_max: 16 << 30,
        }
    }
}

impl Pipeline {
    /// Looks at the tools of this machine.
    ///
    /// # Errors
    /// [`PipelineError::Environment`] when ffmpeg or ffprobe is missing or cannot encode H.264 and AAC, or AV1 where plans are to
    /// have that.
    pub async fn detect(settings: Settings) -> Result<Self, PipelineError> {
        let tools = Toolchain::detect(&settings.ffmpeg, &settings.ffprobe, &settings.sandbox).await?;
        if settings.av1 && !tools.av1 {
            let without = format!(
                "--av1 (TRITON_AV1): {} has no libsvtav1 encoder. Leave the flag out, or use an ffmpeg that has it",
                settings.ffmpeg.display()
            );
            return Err(PipelineError::Environment(without));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| PipelineError::Environment(format!("no HTTP client: {error}")))?;
        let (probes, scans) = (Turns::new(settings.limits.probes_max), Turns::new(settings.limits.scans_max));
        Ok(Self { tools, http, settings, probes, scans })
    }

    /// What was found by [`Pipeline::detect`].
    pub fn toolchain(&self) -> &Toolchain {
        &self.tools
    }
}
