//! What an encoder of the picture is told.

use super::Pipeline;
use super::chunk::recording_file;
use super::command::Arguments;
use super::filters::Window;
use super::grid::Chunk;
use super::ladder::Rung;
use super::plan::Plan;

/// x264's constant quality; the bit rate is capped by the rung.
const X264_CRF: u32 = 23;
/// SVT-AV1's constant quality, on a scale of its own; it keeps near the rung's cap, not strictly below it.
const AV1_CRF: u32 = 35;
/// SVT-AV1's trade of processor time against size: this one takes twice to three times as long as x264 by `veryfast`.
const AV1_PRESET: u32 = 10;

/// Who encodes the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoder {
    /// The ladder, in H.264.
    X264,
    /// The extra set, in AV1.
    SvtAv1,
}

/// What one job encodes: the renditions of one encoder, in one chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) plan: &'a Plan,
    pub(super) chunk: &'a Chunk,
    pub(super) encoder: Encoder,
}

impl<'a> Part<'a> {
    /// The rungs that are encoded.
    pub(super) fn rungs(self) -> &'a [Rung] {
        match self.encoder {
            Encoder::X264 => self.plan.encoded_rungs(),
            Encoder::SvtAv1 => &self.plan.extra,
        }
    }

    /// When the chunk's later segments begin, for `-force_key_frames`: a quarter of a frame early, so that the right frame is
    /// hit whether ffmpeg rounds the time to the nearest frame or takes the next one.
    fn keyframe_times(self) -> Option<String> {
        let rate = self.plan.info.video.frame_rate;
        let quarter_of_a_frame = 0.25 / rate.fps();
        let mut frame = 0;
        let time = |frames: &u32| {
            frame += u64::from(*frames);
            format!("{:.6}", rate.seconds(frame) - quarter_of_a_frame)
        };
        let segments = &self.chunk.segments;
        let times: Vec<String> = segments.iter().take(segments.len().saturating_sub(1)).map(time).collect();
        (!times.is_empty()).then(|| times.join(","))
    }
}

impl Pipeline {
    /// The options of one rung's output file.
    pub(super) fn rung_output(
        &self,
        arguments: &mut Arguments,
        index: usize,
        rung: &Rung,
        part: Part<'_>,
        window: Window,
    ) {
        let rate = part.plan.info.video.frame_rate;
        arguments.option("-map", format!("[v{index}]")).words("-fps_mode passthrough");
        match part.encoder {
            Encoder::X264 => {
                let preset = part.plan.preset.as_deref().unwrap_or(&self.settings.preset);
                self.x264(arguments, preset, rate.gop_frames());
            }
            Encoder::SvtAv1 => self.svt_av1(arguments),
        }
        arguments
            .option("-maxrate", rung.maxrate_bps)
            .option("-bufsize", u64::from(rung.maxrate_bps) * 2)
            .option("-g", rate.gop_frames());
        if let Some(times) = part.keyframe_times() {
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

    fn x264(&self, arguments: &mut Arguments, preset: &str, gop_frames: u32) {
        arguments
            .words("-c:v libx264 -profile:v high -sc_threshold 0 -flags +cgop -bf 3")
            .option("-preset", preset)
            .option("-crf", X264_CRF)
            .option("-keyint_min", gop_frames)
            .option("-threads", self.settings.threads);
    }

    /// Closed groups (`irefresh-type`), keyframes where they are asked for and at no change of scene.
    fn svt_av1(&self, arguments: &mut Arguments) {
        let threads = self.settings.threads;
        arguments
            .words("-c:v libsvtav1")
            .option("-preset", AV1_PRESET)
            .option("-crf", AV1_CRF)
            .option("-svtav1-params", format!("irefresh-type=2:scd=0:enable-force-key-frames=1:lp={threads}"));
    }
}
