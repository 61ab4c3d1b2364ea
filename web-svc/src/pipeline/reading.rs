//! How a run of ffmpeg comes by the pictures of a source: it reads them, or draws them of the sound it is fed with.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::command::Arguments;
use super::feed::{Wanted, run_fed};
use super::filters::read_pictures;
use super::run::{Invocation, RunError, Sink, run};
use super::source::{Source, SourceInfo};
use super::waves::drawn_pictures;

/// The beginning of a run.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// Arguments up to the input.
    pub(super) input: Arguments,
    /// The beginning of the filter graph: time 0 is the first picture.
    pub(super) graph: String,
    pub(super) beside: Beside<'a>,
}

/// What else there is to a run; nothing where it reads files of our own.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    /// What it may connect to.
    pub(super) source: Option<&'a Source>,
    feed: Option<Invocation>,
}

impl Pipeline {
    /// Reads pictures from `seek_seconds` on, on the container's clock, or from the beginning; `media_seconds` of them.
    pub(super) fn reading<'a>(
        &self,
        source: &'a Source,
        info: &SourceInfo,
        seek_seconds: Option<f64>,
        directory: &Path,
        media_seconds: f64,
    ) -> Reading<'a> {
        let video = &info.video;
        if video.drawn {
            let wanted = Wanted { info, index: video.index, seek_seconds };
            let feed = self.feed(source, wanted, directory, media_seconds);
            let graph = drawn_pictures(video, &feed.graph(seek_seconds.is_none()), self.tools.waves_late);
            let beside = Beside { source: None, feed: Some(feed.invocation) };
            return Reading { input: feed.input, graph, beside };
        }
        let before_input = if video.read_size.is_some() { "-reinit_filter 0" } else { "" };
        let input = self.ffmpeg_input(source, info.demuxer, seek_seconds, before_input);
        Reading { input, graph: read_pictures(video), beside: Beside { source: Some(source), feed: None } }
    }
}

impl Beside<'_> {
    /// Runs it.
    ///
    /// # Cancel safety
    /// As [`run`].
    pub(super) async fn run(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
        sink: &mut impl Sink,
    ) -> Result<String, RunError> {
        match &self.feed {
            Some(feed) => run_fed(feed, invocation, cancel, sink).await,
            None => run(invocation, cancel, sink).await,
        }
    }
}
