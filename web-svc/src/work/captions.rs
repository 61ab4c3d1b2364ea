//! The text tracks of the source as captions. A video without them plays, so they fail quietly.

use triton_api::{BlobHash, caption::CaptionKind};

use super::{WorkError, lease::Leased};
use crate::{
    app::App,
    catalog::{CaptionRecord, JobRecord, Rest},
    pipeline::{PipelineError, Plan, Source, TextTrack},
};

pub(super) async fn make(
    app: &App,
    leased: &Leased,
    plan: &Plan,
    source: &Source,
) -> Result<Vec<CaptionRecord>, WorkError> {
    let texts = app.pipeline.captions(&plan.info, source, &app.work_dir, &leased.cancel).await;
    let texts = match texts {
        Ok(texts) => texts,
        Err(error) if is_in_vain(&error, leased.job.failures) => {
            tracing::warn!(%error, "the captions in the file cannot be read; the video goes without them");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    for (number, (track, text)) in plan.info.captions.iter().zip(texts).enumerate() {
        if let Some(text) = text {
            records.push(put(app, leased, track, number, text).await?);
        }
    }
    Ok(records)
}

/// Whether to do without: another attempt would be pointless, or the job's last, and the whole video would fail with it.
fn is_in_vain(error: &PipelineError, failures: u32) -> bool {
    match error {
        PipelineError::Source(_) => true,
        PipelineError::Transient { .. } | PipelineError::Unfit(_) => failures + 1 >= JobRecord::FAILURES_MAX,
        PipelineError::Cancelled | PipelineError::Environment(_) => false,
    }
}

async fn put(
    app: &App,
    leased: &Leased,
    track: &TextTrack,
    number: usize,
    text: String,
) -> Result<CaptionRecord, WorkError> {
    let file = CaptionRecord::embedded_file(number);
    let job = &leased.job;
    let key = CaptionRecord::blob(job.video_id, job.generation, &file).ok_or(WorkError::Gone)?;
    let blake3 = BlobHash::of(text.as_bytes());
    app.ring.put(&key, text.into()).await?;
    Ok(CaptionRecord {
        language: track.language(),
        label: track.title.clone(),
        kind: if track.hearing_impaired { CaptionKind::Captions } else { CaptionKind::Subtitles },
        file,
        blake3,
        rest: Rest::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::SourceFault;

    #[test]
    fn captions_that_cannot_be_read_do_not_fail_the_video() {
        let transient = PipelineError::Transient { operation: "o".to_owned(), detail: "d".to_owned() };
        assert!(is_in_vain(&SourceFault::Undecodable("x".to_owned()).into(), 0));
        assert!(!is_in_vain(&transient, 0) && is_in_vain(&transient, JobRecord::FAILURES_MAX - 1));
        assert!(!is_in_vain(&PipelineError::Cancelled, JobRecord::FAILURES_MAX));
    }
}
