//! What the jobs of one generation have made so far.

use jiff::Timestamp;
use serde_json::Value;
use triton_api::{Generation, VideoId, job::JobState, video::Rendition};

use super::{chunk::Encoding, stills::Stills};
use crate::{
    app::App,
    catalog::{JobKind, JobRecord, Published, Rest},
    journal::RecordKey,
    pipeline::{AudioRendition, Growth, Plan, Presentation, RenditionName, Track, VideoRendition},
    store::StoreError,
};

/// The plan of a generation, and how far its jobs are.
#[derive(Debug)]
pub(crate) struct Made {
    generation: Generation,
    plan: Plan,
    jobs: Vec<JobRecord>,
}

impl Made {
    /// As the journal has it; `None` where there is no such generation (any more).
    pub(crate) async fn of(app: &App, id: VideoId, generation: Generation) -> Result<Option<Self>, StoreError> {
        let Some(plan) = app.store.get::<Plan>(&RecordKey::plan(id, generation)).await? else { return Ok(None) };
        let jobs = app.store.jobs_of(id, generation).await?;
        let jobs = jobs.into_iter().map(|(_, job)| job.value).collect();
        Ok(Some(Self { generation, plan: plan.value, jobs }))
    }

    /// Whether playing can begin.
    pub(crate) fn can_begin(&self) -> bool {
        let beginning = self.plan.chunk(0).map_or(0, |chunk| chunk.segments.len());
        has_beginning(self.jobs.iter().map(|job| {
            let told = || result::<Encoding>(job).is_some_and(|told| told.segments() >= beginning);
            (job.kind, job.state == JobState::Done || (matches!(job.kind, JobKind::Audio { .. }) && told()))
        }))
    }

    /// Whether segments that players wait for are still to come. The extra set is not waited for: it is for who begins later.
    pub(crate) fn growth(&self, since: Timestamp, now: Timestamp) -> Growth {
        let is_awaited = |kind| matches!(kind, JobKind::Chunk { .. } | JobKind::Audio { .. });
        let is_open = |job: &JobRecord| is_awaited(job.kind) && job.state != JobState::Done;
        if self.jobs.is_empty() || self.jobs.iter().any(is_open) {
            return Growth::Growing { since, now };
        }
        Growth::Complete
    }

    /// What can be played of it.
    pub(crate) fn presentation(&self, growth: Growth) -> Presentation {
        let (pictures, sound) = self.renditions();
        Presentation::new(self.generation, growth, pictures, sound)
    }

    /// What the catalog says of it while it grows, `since` then; the length is that which it will have.
    pub(crate) fn growing(&self, since: Timestamp) -> Published {
        let presentation = self.presentation(Growth::Growing { since, now: since });
        let seconds = self.plan.info.video.frame_rate.seconds(self.plan.grid.frames());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours in milliseconds")]
        let duration_ms = (seconds * 1000.0).round() as u64;
        Published { duration_ms, growing_since: Some(since), ..self.published(&presentation) }
    }

    /// What the catalog says of it when all is made.
    pub(crate) fn published(&self, presentation: &Presentation) -> Published {
        let stills = self.jobs.iter().find(|job| job.kind == JobKind::Poster).and_then(result::<Stills>);
        let stills = stills.unwrap_or_default();
        Published {
            generation: self.generation,
            duration_ms: presentation.duration_ms(),
            width: self.plan.info.video.width,
            height: self.plan.info.video.height,
            renditions: presentation.renditions(),
            poster: stills.poster,
            storyboard: stills.storyboard,
            captions: stills.captions,
            growing_since: None,
            rest: Rest::new(),
        }
    }

    /// The renditions of the plan with all segments that the jobs have made.
    fn renditions(&self) -> (Vec<VideoRendition>, Vec<AudioRendition>) {
        let mut made = Encoding { tracks: Vec::new() };
        let parts = self.jobs.iter().filter_map(result::<Encoding>).flat_map(|encoding| encoding.tracks);
        parts.for_each(|part| made.append(part));
        let track = |name: &RenditionName| made.tracks.iter().find(|track| track.name == *name).cloned();
        let pictures = self.plan.pictures().filter_map(|rung| {
            let track = track(&rung.name)?;
            Some(VideoRendition {
                track,
                width: rung.width,
                height: rung.height,
                frame_rate: self.plan.info.video.frame_rate,
            })
        });
        let pictures = pictures.collect();
        let sound = self.plan.audio.iter().filter_map(|audio| {
            let track = track(&audio.name)?;
            Some(AudioRendition { track, language: audio.track.language.clone(), title: audio.track.title.clone() })
        });
        (pictures, sound.collect())
    }
}

/// Whether the first pictures are there, and the sound that goes with them.
fn has_beginning(jobs: impl Iterator<Item = (JobKind, bool)>) -> bool {
    let is_needed = |kind: JobKind| match kind {
        JobKind::Chunk { index } => index == 0,
        JobKind::Audio { .. } => true,
        JobKind::Extra { .. } | JobKind::Poster | JobKind::Finalize | JobKind::FinalizeExtra => false,
    };
    let mut needed = jobs.filter(|(kind, _)| is_needed(*kind)).peekable();
    needed.peek().is_some() && needed.all(|(_, has_begun)| has_begun)
}

fn result<T: serde::de::DeserializeOwned>(job: &JobRecord) -> Option<T> {
    job.result.as_ref().and_then(|result: &Value| serde_json::from_value(result.clone()).ok())
}

impl Presentation {
    /// What the API shows of the renditions, best first, sound last.
    pub(super) fn renditions(&self) -> Vec<Rendition> {
        let rendition = |track: &Track, width, height| Rendition {
            name: track.name.as_str().to_owned(),
            width,
            height,
            bitrate_bps: track.average_bandwidth_bps(),
            codecs: track.codecs.clone(),
        };
        let pictures = self.video().iter().map(|r| rendition(&r.track, r.width, r.height));
        pictures.chain(self.audio().iter().map(|r| rendition(&r.track, 0, 0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playing_begins_with_the_first_pictures_and_their_sound_in_every_track() {
        let begins = |first, later, sound: &[bool], poster| {
            let chunks = [first, later].into_iter().zip(0..).map(|(there, index)| (JobKind::Chunk { index }, there));
            let sound = sound.iter().zip(0..).map(|(there, index)| (JobKind::Audio { index }, *there));
            has_beginning(chunks.chain(sound).chain([(JobKind::Poster, poster), (JobKind::Finalize, false)]))
        };
        assert!(begins(true, false, &[true, true], false));
        assert!(begins(true, false, &[], false), "a silent film");
        assert!(!begins(false, true, &[true], true));
        assert!(!begins(true, true, &[true, false], true));
        assert!(!has_beginning(std::iter::empty()), "the jobs are gone");
    }
}
