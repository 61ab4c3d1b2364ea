//! The still picture, the storyboard, and the captions that come with the file. A video without them plays, so they fail quietly.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{WorkError, captions, lease::Leased};
use crate::{
    app::App,
    catalog::{CaptionRecord, VideoRecord},
    pipeline::{INIT_FILE, PipelineError, Plan, Source, Storyboard, VideoRendition, segment_file},
};

/// The still picture.
pub(crate) const POSTER: &str = "poster.jpg";
/// The storyboard's sprite.
pub(crate) const SPRITE: &str = "storyboard.jpg";
/// The storyboard's cues.
pub(crate) const CUES: &str = "storyboard.vtt";

/// The longest segment of a smallest rendition; they have some 100 KB.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// What the job leaves in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stills {
    pub(super) poster: bool,
    /// An older version made the storyboard in the same job.
    pub(super) storyboard: bool,
    /// A worker of an older version makes none.
    #[serde(default)]
    pub(super) captions: Vec<CaptionRecord>,
}

/// Makes the still picture and finds the captions.
pub(super) async fn make(app: &App, leased: &Leased, plan: &Plan, source: &Source) -> Result<Value, WorkError> {
    let poster = match unless_impossible(app.pipeline.poster(&plan.info, source, &app.work_dir, &leased.cancel).await)?
    {
        Some(picture) => put(app, leased, POSTER, picture).await.map(|()| true)?,
        None => false,
    };
    leased.progress.send_replace(0.5);
    let captions = captions::make(app, leased, plan, source).await?;
    let stills = Stills { poster, storyboard: false, captions };
    serde_json::to_value(stills).map_err(|error| std::io::Error::other(error).into())
}

/// Makes the storyboard of a rendition that is stored; answers whether there is one.
pub(super) async fn storyboard(
    app: &App,
    leased: &Leased,
    rendition: Option<&VideoRendition>,
) -> Result<bool, WorkError> {
    let Some(rendition) = rendition else { return Ok(false) };
    let board = Storyboard::of(rendition);
    let files = board.segments(&rendition.track).into_iter().map(segment_file);
    let mut film = Vec::new();
    for file in std::iter::once(INIT_FILE.to_owned()).chain(files) {
        let (id, generation) = (leased.job.video_id, leased.job.generation);
        let key = VideoRecord::media_file(id, generation, rendition.track.name.as_str(), &file);
        film.push(app.ring.read_all(&key.ok_or(WorkError::Gone)?, SEGMENT_BYTES_MAX).await?);
    }
    match app.pipeline.sprite(&board, &film, &app.work_dir, &leased.cancel).await {
        Ok(sprite) => put(app, leased, SPRITE, sprite).await?,
        Err(PipelineError::Cancelled) => return Err(PipelineError::Cancelled.into()),
        Err(error) => {
            tracing::warn!(%error, "the storyboard cannot be made");
            return Ok(false);
        }
    }
    put(app, leased, CUES, board.vtt(SPRITE).into()).await.map(|()| true)
}

async fn put(app: &App, leased: &Leased, file: &'static str, content: Bytes) -> Result<(), WorkError> {
    let key = VideoRecord::still_file(leased.job.video_id, leased.job.generation, file);
    app.ring.put(&key, content).await?;
    Ok(())
}

/// What cannot be made of this source is left out; everything else is tried again.
fn unless_impossible<T>(made: Result<T, PipelineError>) -> Result<Option<T>, PipelineError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(PipelineError::Source(fault)) => {
            tracing::warn!(%fault, "a still picture cannot be made");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
