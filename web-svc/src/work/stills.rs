//! The still picture, the storyboard, and the captions that come with the file. A video without them plays, so they fail quietly.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{WorkError, captions, lease::Leased};
use crate::{
    app::App,
    catalog::{CaptionRecord, VideoRecord},
    pipeline::{INIT_FILE, PipelineError, Plan, Source, Storyboard, VideoRendition, segment_file},
    ring::RingError,
};

/// The still picture.
pub(crate) const POSTER: &str = "poster.jpg";
/// The storyboard's sprite.
pub(crate) const SPRITE: &str = "storyboard.jpg";
/// The storyboard's cues.
pub(crate) const CUES: &str = "storyboard.vtt";

/// The most that is read for a storyboard: a hundred segments of a smallest rendition, which have some 100 KB each.
const FILM_BYTES_MAX: u64 = 64 << 20;

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

/// Makes the storyboard of a rendition that is stored; answers whether there is one. It fails only where storage is away or the
/// work was cancelled: all the rest of the video is made.
pub(super) async fn storyboard(
    app: &App,
    leased: &Leased,
    rendition: Option<&VideoRendition>,
) -> Result<bool, WorkError> {
    let Some(rendition) = rendition else { return Ok(false) };
    match make_storyboard(app, leased, rendition).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_cancelled() || error.is_storage_outage() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the storyboard cannot be made");
            Ok(false)
        }
    }
}

async fn make_storyboard(app: &App, leased: &Leased, rendition: &VideoRendition) -> Result<(), WorkError> {
    let board = Storyboard::of(rendition);
    // An attempt before this one may have left it, in other bytes: a key has one content for ever.
    if !(leased.job.leases > 1 && is_there(app, leased, SPRITE).await?) {
        let film = film(app, leased, rendition, &board).await?;
        let sprite = app.pipeline.sprite(&board, &film, &app.work_dir, &leased.cancel).await?;
        put(app, leased, SPRITE, sprite).await?;
    }
    put(app, leased, CUES, board.vtt(SPRITE).into()).await
}

/// The segments that hold the storyboard's pictures.
async fn film(
    app: &App,
    leased: &Leased,
    rendition: &VideoRendition,
    board: &Storyboard,
) -> Result<Vec<Bytes>, WorkError> {
    let files = board.segments(&rendition.track).into_iter().map(segment_file);
    let (mut film, mut room) = (Vec::new(), FILM_BYTES_MAX);
    for file in std::iter::once(INIT_FILE.to_owned()).chain(files) {
        let (id, generation) = (leased.job.video_id, leased.job.generation);
        let key = VideoRecord::media_file(id, generation, rendition.track.name.as_str(), &file);
        let content = app.ring.read_all(&key.ok_or(WorkError::Gone)?, room).await?;
        room = room.saturating_sub(content.len() as u64);
        film.push(content);
    }
    Ok(film)
}

async fn is_there(app: &App, leased: &Leased, file: &'static str) -> Result<bool, WorkError> {
    let key = VideoRecord::still_file(leased.job.video_id, leased.job.generation, file);
    match app.ring.head(&key).await {
        Ok(_) => Ok(true),
        Err(RingError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
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
