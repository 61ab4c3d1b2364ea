//! Not written yet.
use std::path::Path;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::encoded::Encoded;
use super::error::PipelineError;
use super::plan::Plan;
use super::source::{Source, SourceInfo};
use super::{Pipeline, Storyboard};

impl Pipeline {
    /// Finds out what a source is.
    pub async fn probe(&self, _source: &Source, _cancel: &CancellationToken) -> Result<SourceInfo, PipelineError> {
        Err(PipelineError::Environment("not built yet".to_owned()))
    }

    /// Encodes all video renditions of one chunk into files below a new private directory in `work_dir`.
    pub async fn encode_chunk(
        &self,
        _plan: &Plan,
        _chunk_index: u32,
        _source: &Source,
        _work_dir: &Path,
        _progress: impl Fn(f32) + Send,
        _cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        Err(PipelineError::Environment("not built yet".to_owned()))
    }

    /// Encodes the whole of audio rendition `position` of the plan.
    pub async fn encode_audio(
        &self,
        _plan: &Plan,
        _position: usize,
        _source: &Source,
        _work_dir: &Path,
        _progress: impl Fn(f32) + Send,
        _cancel: &CancellationToken,
    ) -> Result<Encoded, PipelineError> {
        Err(PipelineError::Environment("not built yet".to_owned()))
    }

    /// A JPEG, at most 1280 pixels wide, of a frame that is not black.
    pub async fn poster(
        &self,
        _info: &SourceInfo,
        _source: &Source,
        _cancel: &CancellationToken,
    ) -> Result<Bytes, PipelineError> {
        Err(PipelineError::Environment("not built yet".to_owned()))
    }

    /// Small pictures at regular intervals.
    pub async fn storyboard(
        &self,
        _info: &SourceInfo,
        _source: &Source,
        _cancel: &CancellationToken,
    ) -> Result<Storyboard, PipelineError> {
        Err(PipelineError::Environment("not built yet".to_owned()))
    }
}
