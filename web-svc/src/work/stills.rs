//! The still picture, the storyboard, and the captions that come with the file. A video without them plays, so they fail quietly.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{WorkError, captions, lease::Leased};
use crate::{
    app::App,
    catalog::{CaptionRecord, VideoRecord},
    pipeline::{PipelineError, Plan, Source},
};

/// The still picture.
pub(crate) const POSTER: &str = "poster.jpg";
/// The storyboard's sprite.
pub(crate) const SPRITE: &str = "storyboard.jpg";
/// The storyboard's cues.
pub(crate) const CUES: &str = "storyboard.vtt";

/// What the job leaves in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stills {
    pub(super) poster: bool,
    pub(super) storyboard: bool,
    /// A worker of an older version makes none.
    #[serde(default)]
    pub(super) captions: Vec<CaptionRecord>,
}

pub(super) async fn make(app: &App, leased: &Leased, plan: &Plan, source: &Source) -> Result<Value, WorkError> {
    let poster = match unless_impossible(app.pipeline.poster(&plan.info, source, &app.work_dir, &leased.cancel).await)?
    {
        Some(picture) => put(app, leased, POSTER, picture).await.map(|()| true)?,
        None => false,
    };
    leased.progress.send_replace(0.5);
    let storyboard =
        match unless_impossible(app.pipeline.storyboard(&plan.info, source, &app.work_dir, &leased.cancel).await)? {
            Some(board) => {
                put(app, leased, SPRITE, board.sprite.clone()).await?;
                put(app, leased, CUES, board.vtt(SPRITE).into()).await.map(|()| true)?
            }
            None => false,
        };
    let captions = captions::make(app, leased, plan, source).await?;
    serde_json::to_value(Stills { poster, storyboard, captions }).map_err(|error| std::io::Error::other(error).into())
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
