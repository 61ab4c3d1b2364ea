//! The parts of a command line that every run of ffmpeg and ffprobe shares.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::run::Invocation;
use super::sniff::Demuxer;
use super::source::Source;
use super::{Limits, Pipeline};
use crate::sandbox::{Policy, ProcessLimits};

/// Decoders that may touch a stranger's bytes: what cameras, phones, editors and browsers write, and the subtitles and covers that
/// come along (ffprobe opens a decoder for every stream, and fails if it may not).
const DECODERS: &str = "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,libaom-av1,mpeg4,mpeg1video,mpeg2video,mpegvideo,mjpeg,\
    prores,dnxhd,cfhd,theora,vc1,wmv1,wmv2,wmv3,msmpeg4,msmpeg4v1,msmpeg4v2,h263,h263p,flv,vp6,vp6f,rawvideo,huffyuv,ffvhuff,\
    ffv1,utvideo,dvvideo,qtrle,svq1,svq3,cinepak,\
    aac,aac_latm,mp3,mp3float,mp2,mp2float,mp1,mp1float,ac3,eac3,dca,truehd,mlp,opus,libopus,vorbis,flac,alac,wmav1,wmav2,wmapro,\
    amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,speex,libspeex,nellymoser,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,\
    pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,\
    pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,\
    ass,ssa,srt,subrip,webvtt,mov_text,text,dvdsub,dvbsub,pgssub,xsub,cc_dec,libzvbi_teletextdec,png,bmp,webp";

/// Codecs of pictures that are accepted, as ffprobe names them.
pub(super) const VIDEO_CODECS: [&str; 38] = [
    "h264",
    "hevc",
    "vp8",
    "vp9",
    "av1",
    "mpeg4",
    "mpeg1video",
    "mpeg2video",
    "mjpeg",
    "prores",
    "dnxhd",
    "cfhd",
    "theora",
    "vc1",
    "wmv1",
    "wmv2",
    "wmv3",
    "msmpeg4v1",
    "msmpeg4v2",
    "msmpeg4v3",
    "h263",
    "h263p",
    "flv1",
    "vp6",
    "vp6f",
    "rawvideo",
    "huffyuv",
    "ffvhuff",
    "ffv1",
    "utvideo",
    "dvvideo",
    "qtrle",
    "svq1",
    "svq3",
    "cinepak",
    "mpegvideo",
    "vp6a",
    "msmpeg4",
];

/// Codecs of sound that are accepted, as ffprobe names them; every `pcm_` one is as well.
const AUDIO_CODECS: [&str; 28] = [
    "aac",
    "aac_latm",
    "mp3",
    "mp2",
    "mp1",
    "ac3",
    "eac3",
    "dts",
    "truehd",
    "mlp",
    "opus",
    "vorbis",
    "flac",
    "alac",
    "wmav1",
    "wmav2",
    "wmapro",
    "amr_nb",
    "amr_wb",
    "speex",
    "nellymoser",
    "adpcm_ms",
    "adpcm_ima_wav",
    "adpcm_ima_qt",
    "adpcm_swf",
    "pcm_s16le",
    "pcm_s16be",
    "pcm_u8",
];

/// Whether sound of that codec can be decoded here.
pub(super) fn is_known_audio(codec: &str) -> bool {
    AUDIO_CODECS.contains(&codec)
        || (codec.starts_with("pcm_") && DECODERS.split(',').any(|decoder| decoder.trim() == codec))
}

/// The longest that ffmpeg waits for bytes of the source, to take what it has for all there is.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// Arguments under construction.
#[derive(Debug, Default, Clone)]
pub(super) struct Arguments(Vec<OsString>);

impl Arguments {
    /// Arguments that come in a fixed form, separated by white space.
    pub(super) fn words(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split_whitespace().map(Into::into));
        self
    }

    /// An option and its value.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike, without a & at every call")]
    pub(super) fn option(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.0.extend([name.into(), value.to_string().into()]);
        self
    }

    /// One argument as it is.
    pub(super) fn word(&mut self, word: impl Into<OsString>) -> &mut Self {
        self.0.push(word.into());
        self
    }

    pub(super) fn into_inner(self) -> Vec<OsString> {
        self.0
    }
}

/// Options that go before the input and fence in what it can make ffmpeg do.
pub(super) fn fenced_input(arguments: &mut Arguments, demuxer: Demuxer, limits: &Limits) {
    arguments
        .option("-protocol_whitelist", "http,tcp")
        .option("-format_whitelist", demuxer.whitelist())
        .option("-codec_whitelist", DECODERS.replace(char::is_whitespace, ""))
        .option("-max_pixels", limits.pixels_max)
        .option("-max_streams", limits.streams_max.max(1))
        .option("-rw_timeout", READ_TIME_MAX.as_micros())
        .option("-f", demuxer.ffmpeg_name());
}

impl Pipeline {
    /// An ffmpeg run that reads `source`, reports progress on its standard output and writes below `directory`.
    ///
    /// `seek_seconds` is on the container's own clock. Time stamps are those of the container, and no frame is left out to
    /// make the first one match the seek: that is the filters' work. `more` are further options of the input.
    pub(super) fn ffmpeg_input(
        &self,
        source: &Source,
        demuxer: Demuxer,
        seek_seconds: Option<f64>,
        more: &str,
    ) -> Arguments {
        let mut arguments = self.ffmpeg_alone();
        arguments.words("-copyts");
        fenced_input(&mut arguments, demuxer, &self.settings.limits);
        arguments.option("-threads", self.settings.threads).words("-noaccurate_seek -seek_timestamp 1");
        arguments.words(more);
        if let Some(seconds) = seek_seconds {
            arguments.option("-ss", format!("{seconds:.6}"));
        }
        arguments.option("-i", source.url());
        arguments
    }

    /// An ffmpeg run that reads an MP4 of our own making, in its working directory.
    pub(super) fn ffmpeg_input_of_ours(&self, file: &str) -> Arguments {
        let mut arguments = self.ffmpeg_alone();
        arguments.words("-protocol_whitelist file -threads").word(self.settings.threads.to_string());
        arguments.words("-f mov -i").word(file);
        arguments
    }

    pub(super) fn ffmpeg_alone(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.words("-hide_banner -nostdin -nostats -loglevel warning -progress pipe:1 -stats_period 0.5 -y");
        arguments.option("-filter_complex_threads", self.settings.threads.max(1));
        arguments
    }

    /// Wraps up an ffmpeg run over `media` seconds of video.
    pub(super) fn ffmpeg_run(
        &self,
        source: Option<&Source>,
        arguments: Arguments,
        directory: &Path,
        media: f64,
    ) -> Invocation {
        let limits = &self.settings.limits;
        let media = if media.is_finite() { media.clamp(0.0, 1e6) } else { 0.0 };
        let wall_time_max = limits.encode_time_base + limits.encode_time_per_media_second.mul_f64(media);
        self.limited(&self.tools.ffmpeg, source, arguments, Some(directory), wall_time_max)
    }

    /// Wraps up a run that reads `source`, if it is not one of ours, and writes to `directory` only, if at all.
    pub(super) fn limited(
        &self,
        program: &Path,
        source: Option<&Source>,
        arguments: Arguments,
        directory: Option<&Path>,
        wall_time_max: Duration,
    ) -> Invocation {
        let limits = &self.settings.limits;
        // Wall clock times cores bounds the processor time anyway; this stops what the killer cannot reach.
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let process = ProcessLimits {
            memory_bytes_max: limits.memory_bytes_max,
            file_bytes_max: if directory.is_some() { limits.file_bytes_max } else { 0 },
            cpu_time_max: wall_time_max * cores,
        };
        let sandbox = &self.settings.sandbox;
        let policy = Policy {
            mode: sandbox.mode(),
            limits: process,
            writes: directory.is_some(),
            connect_port: source.and_then(|source| source.url().port_or_known_default()),
        };
        let (program, arguments) = sandbox.command(program, policy, arguments.into_inner());
        Invocation {
            program,
            arguments,
            directory: directory.unwrap_or(Path::new("/")).to_owned(),
            wall_time_max,
            stall_time_max: limits.stall_time_max,
            heartbeat: None,
            source: source.cloned(),
        }
    }
}

/// Reads ffmpeg's `-progress` output: passes on the latest `frame` and `out_time_us`, and tells whether one grew.
#[derive(Debug, Default)]
pub(super) struct ProgressReader {
    line: Vec<u8>,
    /// Frames written so far.
    pub(super) frame: u64,
    /// Media time written so far, in microseconds.
    pub(super) out_time_us: u64,
}

impl ProgressReader {
    /// The longest line that is looked at; ffmpeg's are far shorter.
    const LINE_BYTES_MAX: usize = 256;

    /// Takes a piece of output; `true` if it shows progress.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let before = (self.frame, self.out_time_us);
        for &byte in piece {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < Self::LINE_BYTES_MAX {
                self.line.push(byte);
            }
        }
        self.frame > before.0 || self.out_time_us > before.1
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Some((name, value)) = std::str::from_utf8(&line).ok().and_then(|line| line.split_once('=')) else { return };
        let Ok(value) = value.trim().parse::<u64>() else { return };
        match name {
            "frame" => self.frame = value,
            "out_time_us" => self.out_time_us = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_across_pieces() {
        let mut reader = ProgressReader::default();
        assert!(!reader.push(b"frame=1"));
        assert!(reader.push(b"2\nfps=0.0\nout_time_us=N/A\nprogress=continue\n"));
        assert_eq!((reader.frame, reader.out_time_us), (12, 0));
        assert!(!reader.push(b"frame=12\n"));
        assert!(reader.push(b"out_time_us=400000\n"));
    }

    #[test]
    fn sound_that_cannot_be_decoded_is_not_known() {
        assert!(is_known_audio("aac") && is_known_audio("pcm_s24le"));
        assert!(!is_known_audio("pcm_zork") && !is_known_audio("atrac3"));
    }
}
