//! Sound in one format, whatever the source's formats are.
//!
//! Where the sampling rate or the channels change, as in a broadcast before each film, ffmpeg builds its filters anew, and what
//! they remembered is lost, the time above all. So sound takes two runs of it: the first one decodes and brings everything to
//! one format, the second one sees no change and does the rest. Between them is a pipe.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::command::Arguments;
use super::run::{Invocation, RunError, Sink, run, run_on};
use super::sniff::Demuxer;
use super::source::{Source, SourceInfo, Timestamp};

/// The pipe, in the working directory of the first run.
const PIPE: &str = "sound.pipe";
/// What is added to all times on the way: the format between knows none below zero, and sound may begin before the picture.
const AHEAD_SECONDS: u32 = 3600;
/// Sound from before this time there is long over when the picture begins.
const HEARD_SECONDS: u32 = AHEAD_SECONDS - 1;

/// Long holes are filled in pieces of about so many seconds: ffmpeg makes each as a whole in memory.
const FILLED_SECONDS: u32 = 60;
/// What tells a tick from sound: so many samples in one frame, as no codec has.
const TICK_SAMPLES: u32 = 37;

/// How the second run knows when its sound is to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// By the source's time stamps.
    Stamps,
    /// By counting, from the track's first sample: the container has no time stamps, and none that were made up can lead astray.
    Count,
}

/// The first run, and how the second one begins.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) invocation: Invocation,
    /// The second run's arguments up to its input.
    pub(super) input: Arguments,
    clock: Clock,
}

/// Which sound is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) info: &'a SourceInfo,
    /// ffmpeg's index of the track.
    pub(super) index: u32,
    /// Where to begin, on the container's clock; the beginning if there is none.
    pub(super) seek_seconds: Option<f64>,
}

impl Clock {
    fn of(wanted: &Wanted<'_>) -> Self {
        match wanted.info.demuxer {
            Demuxer::Mp3 | Demuxer::Wav | Demuxer::Flac | Demuxer::Aac if wanted.seek_seconds.is_none() => Self::Count,
            _ => Self::Stamps,
        }
    }
}

impl Pipeline {
    /// Both ends of a pipe in `directory`, for `media_seconds` of sound.
    pub(super) fn feed(&self, source: &Source, wanted: Wanted<'_>, directory: &Path, media_seconds: f64) -> Feed {
        let clock = Clock::of(&wanted);
        let Wanted { info, index, seek_seconds } = wanted;
        let mut arguments = self.ffmpeg_input(source, info.demuxer, seek_seconds, "");
        let Timestamp { ticks, numerator, denominator } = info.video.start;
        let graph = format!(
            "[0:{index}]asetpts=PTS-({ticks}*{numerator}/{denominator}-{AHEAD_SECONDS})/TB,atrim=start={HEARD_SECONDS},\
             aresample=48000,aformat=sample_fmts=flt:sample_rates=48000:channel_layouts=stereo[a0]"
        );
        arguments
            .option("-filter_complex", graph)
            .words("-map [a0] -map_metadata -1 -map_chapters -1 -c:a pcm_f32le -f");
        let mut input = self.ffmpeg_alone();
        input.words("-copyts -protocol_whitelist pipe -threads").word(self.settings.threads.to_string());
        match clock {
            Clock::Stamps => {
                arguments.words("nut");
                input.words("-f nut");
            }
            Clock::Count => {
                arguments.words("f32le");
                input.words("-f f32le -ar 48000 -ac 2");
            }
        }
        arguments.word(PIPE);
        input.words("-i pipe:0");
        let mut invocation = self.ffmpeg_run(Some(source), arguments, directory, media_seconds);
        // It waits while the second run works, and that one is stalled when this one is.
        invocation.stall_time_max = invocation.wall_time_max;
        Feed { invocation, input, clock }
    }
}

impl Feed {
    /// The beginning of the second run's graph: stereo at 48 kHz, time 0 on the first picture, gaps filled with silence; from
    /// time 0 on if it is to `begin_at_zero`.
    pub(super) fn graph(&self, begin_at_zero: bool) -> String {
        // Drift is stretched away a little at a time from 10 ms on; holes of 100 ms and more are filled or cut at once.
        // Resampling is forced: a resampler that comes to be when drift is found (same rates) forgets the time, and begins at 0.
        let first = if begin_at_zero { ":first_pts=0" } else { "" };
        let filled = format!("aresample=48000:flags=res:async=1000:min_comp=0.01:min_hard_comp=0.1{first}");
        match self.clock {
            Clock::Count => format!("[0:0]{filled}"),
            Clock::Stamps => {
                // A few silent samples at fixed times, of which those in holes are left: each ends one piece of filling. They
                // come half a second early, so that what is left of the hole is filled at once and not stretched away. Both
                // inputs count microseconds, as ffmpeg 5.1 interleaves in these and says otherwise.
                let before_all = if begin_at_zero { "isnan(prev_selected_t)+" } else { "" };
                format!(
                    "anullsrc=r=48000:cl=stereo:n={TICK_SAMPLES},asetpts=N/{TICK_SAMPLES}*{FILLED_SECONDS}/TB,\
                     aformat=sample_fmts=flt,asettb=1/1000000[tick];\
                     [0:0]asetpts=PTS-{AHEAD_SECONDS}/TB,asettb=1/1000000[sound];\
                     [sound][tick]ainterleave=duration=first,\
                     aselect='not(eq(samples_n,{TICK_SAMPLES}))+{before_all}gt(t-prev_selected_t,{FILLED_SECONDS}/2)',\
                     asetpts='PTS-eq(NB_SAMPLES,{TICK_SAMPLES})*gt(T,1)*0.5/TB',{filled}"
                )
            }
        }
    }
}

/// Runs both, to the end of the second one.
///
/// # Cancel safety
/// As [`run`].
pub(super) async fn run_fed(
    feed: &Invocation,
    invocation: &Invocation,
    cancel: &CancellationToken,
    sink: &mut impl Sink,
) -> Result<String, RunError> {
    let (pipe, input) = open_pipe(&feed.directory)?;
    let (no_more_wanted, no_more_comes) = (cancel.child_token(), cancel.child_token());
    let feeding = async {
        let ended = run(feed, &no_more_wanted, &mut |_: &[u8]| Ok(true)).await;
        if ended.is_err() {
            // The second run would wait for ever.
            no_more_comes.cancel();
        }
        // Only now is there an end to read: before, nobody knows if what came is all there is.
        drop(pipe);
        ended
    };
    let making = async {
        let made = run_on(input.into(), invocation, &no_more_comes, sink).await;
        no_more_wanted.cancel();
        made
    };
    match tokio::join!(feeding, making) {
        (Ok(said), Ok(more)) => Ok(format!("{said}\n{more}").trim().to_owned()),
        // The first run ended because the second one had all that it wanted, or both had to.
        (Ok(_) | Err(RunError::Cancelled), made) => made,
        (Err(error), _) => Err(error),
    }
}

/// Makes the pipe, and opens both of its ends, which keep it from ending, and the one to read from.
fn open_pipe(directory: &Path) -> Result<(OwnedFd, OwnedFd), RunError> {
    let path = directory.join(PIPE);
    let open = |how| open(&path, how | OFlags::CLOEXEC, Mode::empty());
    let opened = match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        // An earlier attempt left it.
        Ok(()) | Err(Errno::EXIST) => open(OFlags::RDWR).and_then(|both| Ok((both, open(OFlags::RDONLY)?))),
        Err(error) => Err(error),
    };
    opened.map_err(|error| RunError::Start { program: "the pipe for sound".to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str, directory: &Path) -> Invocation {
        Invocation {
            program: "sh".into(),
            arguments: ["-c".into(), script.into()].into(),
            directory: directory.into(),
            wall_time_max: Duration::from_secs(60),
            stall_time_max: Duration::from_secs(60),
            heartbeat: None,
            source: None,
        }
    }

    async fn fed(feed: &str, made: &str) -> Result<String, RunError> {
        let cancel = CancellationToken::new();
        let directory = tempfile::tempdir().unwrap();
        let both = (shell(feed, directory.path()), shell(made, directory.path()));
        let mut sink = |_: &[u8]| Ok(true);
        let run = run_fed(&both.0, &both.1, &cancel, &mut sink);
        tokio::time::timeout(Duration::from_secs(10), run).await.expect("one run waits for the other")
    }

    #[tokio::test]
    async fn what_both_said_is_known() {
        assert_eq!(fed("echo a >&2", "echo b >&2; cat").await.unwrap(), "a\nb");
    }

    #[tokio::test]
    async fn the_second_run_ends_the_first_when_it_has_all() {
        assert_eq!(fed("yes > sound.pipe", "head -c 9 >&2").await.unwrap(), "y\ny\ny\ny\ny");
    }

    #[tokio::test]
    async fn the_second_run_sees_an_end_when_all_has_come() {
        // It begins long after the first one has ended.
        assert_eq!(fed("echo a > sound.pipe", "sleep 0.3; cat >&2; echo b >&2").await.unwrap(), "a\nb");
    }

    #[tokio::test]
    async fn what_the_first_run_failed_of_is_told_and_the_second_does_not_wait() {
        let RunError::Failed { stderr, .. } =
            fed("echo a > sound.pipe; echo damaged >&2; exit 1", "cat").await.unwrap_err()
        else {
            panic!()
        };
        assert_eq!(stderr, "damaged");
        let RunError::Failed { stderr, .. } = fed("sleep 600", "echo no disk >&2; exit 1").await.unwrap_err() else {
            panic!()
        };
        assert_eq!(stderr, "no disk");
    }
}
