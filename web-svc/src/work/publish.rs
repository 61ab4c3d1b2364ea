//! What was made becomes what plays: its beginning as soon as that is there, the whole by the last job of the generation.

use jiff::Timestamp;
use triton_api::video::VideoState;

use super::{WorkError, lease::Leased, made::Made, stills};
use crate::{
    app::App,
    catalog::{Published, TrackRecord, TrashRecord, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    pipeline::{Growth, Plan, Presentation, VideoRendition},
    upload::TRASH_GRACE,
};

/// How often a change of the video's record is tried again that somebody else came before.
const CONFLICTS_MAX: u32 = 5;

/// Lets viewers begin, where what they need has just been made and nothing plays yet; afterwards tells them of pictures and
/// captions that have come.
///
/// Whoever has made something looks. So of two that end at the same time the later one sees both; and where a crash comes in
/// between, the next one mends it.
pub(super) async fn let_viewers_begin(app: &App, leased: &Leased) {
    // What was made is recorded, whatever comes of this.
    if let Err(error) = begin(app, leased).await {
        tracing::warn!(%error, "viewers cannot begin yet; the end of the next job tries again");
    }
}

async fn begin(app: &App, leased: &Leased) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    for _ in 0..CONFLICTS_MAX {
        let Some(video) = app.store.video(id).await? else { return Ok(()) };
        let since = match &video.value.published {
            None => Timestamp::now(),
            Some(Published { generation: growing, growing_since: Some(since), .. }) if *growing == generation => *since,
            // The former generation plays until all of this one is made.
            Some(_) => return Ok(()),
        };
        if video.value.generation != generation || video.value.state != VideoState::Processing {
            return Ok(());
        }
        let Some(made) = Made::of(app, id, generation).await?.filter(Made::can_begin) else { return Ok(()) };
        let published = Some(made.growing(since)).filter(|published| !published.renditions.is_empty());
        let is_told = |before: &Published| {
            let beside = |of: &Published| (of.poster, of.storyboard, of.captions.clone());
            published.as_ref().is_none_or(|now| beside(before) == beside(now))
        };
        if published.is_none() || video.value.published.as_ref().is_some_and(is_told) {
            return Ok(());
        }
        let record = VideoRecord { published, ..video.value };
        let change = Change::new().put(RecordKey::video(id), Expect::At(video.revision), &record)?;
        match app.journal.commit(change).await {
            Ok(_) => return Ok(()),
            Err(JournalError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Publishes the ladder of the generation, whole, and drops the one that played before. The extra set follows when it is made.
pub(super) async fn publish(app: &App, leased: &Leased) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let made = Made::of(app, id, generation).await?.ok_or(WorkError::Gone)?;
    let presentation = made.presentation(Growth::Complete);
    if !presentation.is_playable() {
        return Err(WorkError::Empty);
    }
    let mut published = made.published(&presentation);
    published.storyboard = published.storyboard || stills::storyboard(app, leased, presentation.smallest()).await?;
    let tracks = tracks(&presentation);
    for track in &tracks {
        let key = RecordKey::track(id, generation, track.position);
        app.journal.commit(Change::new().put(key, Expect::Anything, track)?).await?;
    }
    // Read as late as may be: who edits the video meanwhile is not to make all this begin anew.
    let video = app.store.video(id).await?.ok_or(WorkError::Gone)?;
    let mut change = Change::new();
    if let Some(former) = video.value.published_of_another(generation)
        && let Some(trash) = trash_of_former(app, &video.value, former).await?
    {
        change = change.put(RecordKey::trash(id, former.generation), Expect::Anything, &trash)?;
    }
    let record = VideoRecord { state: VideoState::Ready, reason: None, published: Some(published), ..video.value };
    let change = change.put(RecordKey::video(id), Expect::At(video.revision), &record)?;
    leased.finish(app, change, None).await
}

/// Lists the renditions of the extra set, too; nothing changes where they cannot all be made.
pub(super) async fn publish_extra(app: &App, leased: &Leased) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let made = Made::of(app, id, generation).await?.ok_or(WorkError::Gone)?;
    let presentation = made.presentation(Growth::Complete);
    let video = app.store.video(id).await?.ok_or(WorkError::Gone)?;
    let plays = |published: &Published| published.generation == generation && published.growing_since.is_none();
    let mut change = Change::new();
    if let Some(published) = video.value.published.clone().filter(plays)
        && presentation.has_extra()
    {
        // The others' records are there. All of them, of hours of video, may be more than one change takes.
        for (position, rendition) in pictures(&presentation).filter(|(_, rendition)| rendition.is_extra()) {
            let track = TrackRecord::video(position, rendition);
            change = change.put(RecordKey::track(id, generation, position), Expect::Anything, &track)?;
        }
        let published = Published { renditions: presentation.renditions(), ..published };
        let record = VideoRecord { published: Some(published), ..video.value };
        change = change.put(RecordKey::video(id), Expect::At(video.revision), &record)?;
    }
    leased.finish(app, change, None).await
}

async fn trash_of_former(app: &App, video: &VideoRecord, former: &Published) -> Result<Option<TrashRecord>, WorkError> {
    let plan = app.store.get::<Plan>(&RecordKey::plan(video.id, former.generation)).await?;
    let not_before = Timestamp::now() + TRASH_GRACE;
    Ok(plan.map(|plan| TrashRecord::of_plan(video.id, former.generation, &plan.value, not_before)))
}

fn tracks(presentation: &Presentation) -> Vec<TrackRecord> {
    let sound = (100..).zip(presentation.audio()).map(|(position, rendition)| TrackRecord::audio(position, rendition));
    pictures(presentation).map(|(position, rendition)| TrackRecord::video(position, rendition)).chain(sound).collect()
}

/// The renditions of the picture with their places among all.
fn pictures(presentation: &Presentation) -> impl Iterator<Item = (u32, &VideoRendition)> {
    (0..).zip(presentation.video())
}
