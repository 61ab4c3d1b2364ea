//! Who is served first when there is more to transcode than there are workers.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use triton_api::{Generation, VideoId, job::JobState, video::VideoState};
use web_svc::{
    catalog::{JobKind, JobRecord, VideoRecord},
    journal::{Change, Expect, Journal, RecordKey, SqliteJournal},
    pipeline::{AudioTrack, Colour, Demuxer, FrameRate, Plan, SourceInfo, Timestamp as Ticks, VideoStream},
    store::{Abilities, Durability, Store},
    upload::jobs,
};

const FIRST: Generation = Generation::new(1);

/// The queue of an installation, with a worker that has one slot.
struct Queue {
    store: Store,
    journal: SqliteJournal,
    _dir: tempfile::TempDir,
}

fn plan(seconds: u64) -> Plan {
    let frame_rate: FrameRate = "25".parse().unwrap();
    let video = VideoStream {
        index: 0,
        codec: "h264".to_owned(),
        width: 1280,
        height: 720,
        frame_rate,
        frames: 25 * seconds,
        start: Ticks { ticks: 0, numerator: 1, denominator: 1000 },
        interlaced: false,
        pixel_format: "yuv420p".to_owned(),
        colour: Colour::Bt709,
        drawn: false,
        read_size: None,
    };
    let sound = AudioTrack { index: 1, codec: "aac".to_owned(), language: None, title: None, channels: 2 };
    Plan::new(SourceInfo { demuxer: Demuxer::Mov, video, audio: vec![sound], captions: Vec::new() })
}

impl Queue {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
        Self { journal: SqliteJournal::new(store.clone()), store, _dir: dir }
    }

    /// A video of so many seconds, whose jobs wait.
    async fn upload(&self, seconds: u64) -> VideoId {
        self.upload_as(&plan(seconds)).await
    }

    /// A video with the jobs of a plan.
    async fn upload_as(&self, plan: &Plan) -> VideoId {
        let id = VideoId::generate();
        let record = json!({"v": 1, "id": id, "title": "a title", "description": "", "visibility": "public",
            "state": "processing", "created_at": Timestamp::now(), "original": {"len_bytes": 1, "file_name": "f"},
            "generation": 1});
        let record: VideoRecord = serde_json::from_value(record).unwrap();
        self.journal.commit(Change::new().put(RecordKey::video(id), Expect::Absent, &record).unwrap()).await.unwrap();
        for batch in jobs(id, FIRST, plan).chunks(100) {
            let put = |change: Change, job: &JobRecord| {
                change.put(RecordKey::job(id, FIRST, &job.kind.to_string()), Expect::Absent, job).unwrap()
            };
            self.journal.commit(batch.iter().fold(Change::new(), put)).await.unwrap();
        }
        id
    }

    /// Does the job that comes next; its video is ready when the last one is done that it waits for.
    async fn work(&self) -> (VideoId, JobKind) {
        let abilities = Abilities { av1: true };
        let runnable = self.store.runnable_jobs(Timestamp::now(), abilities, 1).await.unwrap();
        let (key, stored) = runnable.into_iter().next().unwrap();
        let mut job = stored.value;
        job.state = JobState::Done;
        let mut change = Change::new().put(key, Expect::At(stored.revision), &job).unwrap();
        if job.kind == JobKind::Finalize {
            let video = self.store.video(job.video_id).await.unwrap().unwrap().value;
            let ready = VideoRecord { state: VideoState::Ready, ..video };
            change = change.put(RecordKey::video(job.video_id), Expect::Anything, &ready).unwrap();
        }
        self.journal.commit(change).await.unwrap();
        (job.video_id, job.kind)
    }
}

#[tokio::test]
async fn a_long_film_does_not_keep_a_short_clip_waiting() {
    let queue = Queue::new().await;
    let film = queue.upload(3 * 3600).await;
    for _ in 0..20 {
        assert_eq!(queue.work().await.0, film);
    }
    let clip = queue.upload(60).await;
    let mut of_clip = Vec::new();
    while of_clip.last() != Some(&JobKind::Finalize) {
        let (video, kind) = queue.work().await;
        assert_eq!(video, clip, "{kind} of the film came before the clip was ready");
        of_clip.push(kind);
    }
    let beginning = [JobKind::Chunk { index: 0 }, JobKind::Audio { index: 0 }, JobKind::Chunk { index: 1 }];
    assert_eq!(of_clip[..3], beginning);
    assert_eq!(queue.work().await.0, film);
}

#[tokio::test]
async fn of_a_pile_of_videos_all_begin_to_play_before_one_goes_on() {
    let queue = Queue::new().await;
    for _ in 0..10 {
        queue.upload(600).await;
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        order.push(queue.work().await.1);
    }
    assert!(order[..10].iter().all(|kind| *kind == JobKind::Chunk { index: 0 }), "{order:?}");
    assert!(order[10..].iter().all(|kind| *kind == JobKind::Audio { index: 0 }), "{order:?}");
}

#[tokio::test]
async fn the_extra_set_of_one_video_comes_after_the_ladders_of_all() {
    let queue = Queue::new().await;
    let film = queue.upload_as(&plan(60).with_extra()).await;
    let clip = queue.upload(60).await;
    let (mut ladders, mut rest) = (Vec::new(), Vec::new());
    while ladders.iter().filter(|(_, kind)| *kind == JobKind::Finalize).count() < 2 {
        ladders.push(queue.work().await);
    }
    assert!(ladders.iter().all(|(_, kind)| !kind.is_extra()), "{ladders:?}");
    assert!(ladders.contains(&(film, JobKind::Finalize)) && ladders.contains(&(clip, JobKind::Finalize)));
    while rest.last() != Some(&JobKind::FinalizeExtra) {
        let (video, kind) = queue.work().await;
        assert_eq!(video, film);
        rest.push(kind);
    }
    let extra = (0..plan(60).grid.chunks.len()).map(|index| JobKind::Extra { index: u32::try_from(index).unwrap() });
    assert_eq!(rest, extra.chain([JobKind::FinalizeExtra]).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_cannot_encode_av1_leaves_it_to_others_and_what_it_needs_stays() {
    let queue = Queue::new().await;
    let film = queue.upload_as(&plan(60).with_extra()).await;
    while queue.work().await.1 != JobKind::Finalize {}
    let now = Timestamp::now();
    let for_whom = async |av1| queue.store.runnable_jobs(now, Abilities { av1 }, 100).await.unwrap().len();
    assert_eq!((for_whom(false).await, for_whom(true).await), (0, plan(60).grid.chunks.len()));
    let later = now + SignedDuration::from_hours(1);
    let idle = async || queue.store.idle_jobs(later, 100).await.unwrap().len();
    assert_eq!(idle().await, 0, "the publication of the extra set reads what the finished jobs have made");
    while queue.work().await != (film, JobKind::FinalizeExtra) {}
    assert_eq!(idle().await, queue.store.jobs_of(film, FIRST).await.unwrap().len());
}
