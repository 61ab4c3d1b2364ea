//! Jobs without a video that wants them: never leased, and cleaned up.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::{SignedDuration, Timestamp};
use triton_api::{
    Generation, VideoId,
    job::JobState,
    video::{VideoState, Visibility},
};
use web_svc::{
    catalog::{JobKind, JobRecord, Original, Rest, VideoRecord},
    journal::{Change, Expect, Journal as _, RecordKey, SqliteJournal},
    store::{Abilities, Durability, Store},
};

fn video(state: VideoState, generation: u32) -> VideoRecord {
    VideoRecord {
        v: 1,
        id: VideoId::generate(),
        title: "t".into(),
        description: String::new(),
        visibility: Visibility::Public,
        state,
        reason: None,
        created_at: Timestamp::now(),
        original: Original { len_bytes: 1, file_name: String::new() },
        generation: Generation::new(generation),
        published: None,
        captions: Vec::new(),
        uploader: None,
        rest: Rest::new(),
    }
}

fn job(video_id: VideoId, generation: u32) -> JobRecord {
    let now = Timestamp::now() - SignedDuration::from_secs(1);
    JobRecord {
        v: 1,
        video_id,
        generation: Generation::new(generation),
        kind: JobKind::Chunk { index: 0 },
        priority: 0,
        cost_frames: 1,
        state: JobState::Waiting,
        failures: 0,
        lost_leases: 0,
        leases: 0,
        lease: None,
        not_before: now,
        progress: 0.0,
        last_error: None,
        result: None,
        created_at: now,
        rest: Rest::new(),
    }
}

#[tokio::test]
async fn only_jobs_of_the_generation_in_the_making_are_leased_and_those_without_a_video_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
    let journal = SqliteJournal::new(store.clone());
    let wanted = video(VideoState::Queued, 2);
    let others = [video(VideoState::Failed, 1), video(VideoState::Uploading, 1), video(VideoState::Ready, 1)];
    let mut jobs = vec![job(wanted.id, 2), job(wanted.id, 1)];
    jobs.extend(others.iter().map(|video| job(video.id, 1)));
    let gone: Vec<_> = (0..10).map(|_| job(VideoId::generate(), 1)).collect();
    let mut change = Change::new();
    for video in others.iter().chain([&wanted]) {
        change = change.put(RecordKey::video(video.id), Expect::Absent, video).unwrap();
    }
    for job in jobs.iter().chain(&gone) {
        let key = RecordKey::job(job.video_id, job.generation, &job.kind.to_string());
        change = change.put(key, Expect::Absent, job).unwrap();
    }
    journal.commit(change).await.unwrap();
    let runnable = store.runnable_jobs(Timestamp::now(), Abilities { av1: true }, 8).await.unwrap();
    let leased: Vec<_> = runnable.iter().map(|(_, job)| (job.value.video_id, job.value.generation.get())).collect();
    assert_eq!(leased, [(wanted.id, 2)]);
    let idle = store.idle_jobs(Timestamp::now() - SignedDuration::from_hours(1), 100).await.unwrap();
    assert_eq!(idle.len(), gone.len());
}
