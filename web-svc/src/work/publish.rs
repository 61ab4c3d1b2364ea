//! The last job of a generation: what was made becomes what plays, in one change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use triton_api::{
    job::JobState,
    video::{Rendition, VideoState},
};

use super::{WorkError, chunk::Encoding, lease::Leased, stills::Stills};
use crate::{
    app::App,
    catalog::{JobKind, JobRecord, Published, Rest, TrackRecord, TrashRecord, VideoRecord},
    journal::{Change, Expect, RecordKey},
    pipeline::{AudioRendition, Growth, Plan, Presentation, RenditionName, Track, VideoRendition},
    store::Stored,
    upload::TRASH_GRACE,
};

/// Publishes the generation and drops the one that played before.
pub(super) async fn publish(app: &App, leased: &Leased, video: Stored<VideoRecord>) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let plan: Plan = app.store.get(&RecordKey::plan(id, generation)).await?.ok_or(WorkError::Gone)?.value;
    let jobs = app.store.jobs_of(id, generation).await?;
    let jobs: Vec<JobRecord> = jobs.into_iter().map(|(_, job)| job.value).collect();
    let (pictures, sound) = renditions(&plan, &jobs);
    let presentation = Presentation::new(generation, Growth::Complete, pictures, sound);
    if !presentation.is_playable() {
        return Err(WorkError::Empty);
    }
    let tracks = tracks(&presentation);
    for track in &tracks {
        let key = RecordKey::track(id, generation, track.position);
        app.journal.commit(Change::new().put(key, Expect::Anything, track)?).await?;
    }
    let stills = jobs.iter().find(|job| job.kind == JobKind::Poster).and_then(result::<Stills>);
    let published = Published {
        generation,
        duration_ms: presentation.duration_ms(),
        width: plan.info.video.width,
        height: plan.info.video.height,
        renditions: presentation.renditions(),
        poster: stills.is_some_and(|stills| stills.poster),
        storyboard: stills.is_some_and(|stills| stills.storyboard),
        rest: Rest::new(),
    };
    let mut change = Change::new();
    if let Some(former) = &video.value.published
        && let Some(trash) = trash_of_former(app, &video.value, former).await?
    {
        change = change.put(RecordKey::trash(id, former.generation), Expect::Anything, &trash)?;
    }
    let record = VideoRecord { state: VideoState::Ready, reason: None, published: Some(published), ..video.value };
    let change = change.put(RecordKey::video(id), Expect::At(video.revision), &record)?;
    leased
        .write(app, change, |job| {
            job.state = JobState::Done;
            job.lease = None;
            job.progress = 1.0;
        })
        .await
}

async fn trash_of_former(app: &App, video: &VideoRecord, former: &Published) -> Result<Option<TrashRecord>, WorkError> {
    let plan = app.store.get::<Plan>(&RecordKey::plan(video.id, former.generation)).await?;
    let not_before = Timestamp::now() + TRASH_GRACE;
    Ok(plan.map(|plan| TrashRecord::of_plan(video.id, former.generation, &plan.value, not_before)))
}

/// The renditions of the plan with all segments that the jobs have made.
fn renditions(plan: &Plan, jobs: &[JobRecord]) -> (Vec<VideoRendition>, Vec<AudioRendition>) {
    let mut tracks: BTreeMap<RenditionName, Track> = BTreeMap::new();
    let made = jobs.iter().filter_map(result::<Encoding>).flat_map(|encoding| encoding.tracks);
    for part in made {
        match tracks.get_mut(&part.name) {
            Some(track) => track.segments.extend(part.segments),
            None => {
                tracks.insert(part.name.clone(), part);
            }
        }
    }
    let pictures = plan.rungs.iter().filter_map(|rung| {
        let track = tracks.get(&rung.name)?.clone();
        Some(VideoRendition { track, width: rung.width, height: rung.height, frame_rate: plan.info.video.frame_rate })
    });
    let pictures = pictures.collect();
    let sound = plan.audio.iter().filter_map(|audio| {
        let track = tracks.get(&audio.name)?.clone();
        Some(AudioRendition { track, language: audio.track.language.clone(), title: audio.track.title.clone() })
    });
    (pictures, sound.collect())
}

fn result<T: serde::de::DeserializeOwned>(job: &JobRecord) -> Option<T> {
    job.result.as_ref().and_then(|result: &Value| serde_json::from_value(result.clone()).ok())
}

fn tracks(presentation: &Presentation) -> Vec<TrackRecord> {
    let pictures = (0..).zip(presentation.video()).map(|(position, rendition)| TrackRecord::video(position, rendition));
    let sound = (100..).zip(presentation.audio()).map(|(position, rendition)| TrackRecord::audio(position, rendition));
    pictures.chain(sound).collect()
}

impl Presentation {
    /// What the API shows of the renditions, best first, sound last.
    fn renditions(&self) -> Vec<Rendition> {
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
