//! From records to what the API shows.

use triton_api::{
    job::{Job, JobState},
    video::{Playback, Video, VideoState, route},
};

use super::{JobKind, JobRecord, Offered, VideoRecord};

/// A video as the API shows it; `jobs` are those of its present generation.
pub fn video(record: &VideoRecord, jobs: &[JobRecord]) -> Video {
    let published = record.published.as_ref();
    let at = |route: &str| route.replace("{id}", &record.id.to_string());
    Video {
        id: record.id,
        title: record.title.clone(),
        description: record.description.clone(),
        state: record.state,
        playable: published.is_some(),
        progress: match record.state {
            VideoState::Ready => 1.0,
            VideoState::Uploading | VideoState::Failed => 0.0,
            VideoState::Queued | VideoState::Processing => progress(jobs),
        },
        reason: record.reason.clone(),
        duration_ms: published.map(|p| p.duration_ms),
        width: published.map(|p| p.width),
        height: published.map(|p| p.height),
        renditions: published.map(|p| p.renditions.clone()).unwrap_or_default(),
        playback: published.map(|p| Playback {
            dash: at(route::DASH),
            hls: at(route::HLS),
            poster: p.poster.then(|| at(route::POSTER)),
            storyboard: p.storyboard.then(|| at(route::STORYBOARD)),
        }),
        captions: Offered::of(record).iter().map(|caption| caption.view(record.id)).collect(),
        visibility: record.visibility,
        created_at: record.created_at,
        original_bytes: record.original.len_bytes,
    }
}

/// The part of a generation's work that is done, from 0 to 1: of what is to be done until the video is ready.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn progress(jobs: &[JobRecord]) -> f32 {
    let awaited = || jobs.iter().filter(|job| !job.kind.is_extra());
    let total: u64 = awaited().map(|job| job.cost_frames).sum();
    let done: f32 = awaited()
        .map(|job| match job.state {
            JobState::Done => job.cost_frames as f32,
            JobState::Running => job.cost_frames as f32 * job.progress.clamp(0.0, 1.0),
            JobState::Waiting | JobState::Failed => 0.0,
        })
        .sum();
    // The last hundredth is the publication.
    (done / total.max(1) as f32).min(0.99)
}

/// What a video's processing waits for, in words; `None` while it does not wait.
pub fn waiting_for(record: &VideoRecord, jobs: &[JobRecord]) -> Option<String> {
    match record.state {
        VideoState::Uploading => Some("the rest of the upload".to_owned()),
        VideoState::Queued => Some("a free transcode slot".to_owned()),
        VideoState::Processing => {
            let awaited = || jobs.iter().filter(|job| !job.kind.is_extra());
            let waiting = || awaited().filter(|job| job.state == JobState::Waiting);
            let runs = awaited().any(|job| job.state == JobState::Running);
            (!runs).then(|| waiting().find_map(|job| waits_for(job, jobs))).flatten()
        }
        VideoState::Ready | VideoState::Failed => None,
    }
}

/// A job as the API shows it; `siblings` are the jobs of the same generation.
pub fn job(record: &JobRecord, siblings: &[JobRecord]) -> Job {
    Job {
        id: record.id(),
        video_id: record.video_id,
        kind: record.kind.label().to_owned(),
        subject: subject(record, siblings),
        state: record.state,
        attempt: u32::try_from(record.leases).unwrap_or(u32::MAX),
        attempts_max: JobRecord::FAILURES_MAX,
        progress: if record.state == JobState::Done { 1.0 } else { record.progress },
        worker: record.lease.as_ref().map(|lease| lease.worker.clone()),
        waits_for: waits_for(record, siblings),
        last_error: record.last_error.clone(),
        created_at: record.created_at,
    }
}

fn subject(record: &JobRecord, siblings: &[JobRecord]) -> String {
    let chunks = siblings.iter().filter(|job| matches!(job.kind, JobKind::Chunk { .. })).count();
    match record.kind {
        JobKind::Chunk { index } => format!("picture, chunk {} of {chunks}", index + 1),
        JobKind::Extra { index } => format!("picture in AV1, chunk {} of {chunks}", index + 1),
        JobKind::Audio { index } => format!("sound, track {}", index + 1),
        JobKind::Poster => "poster and captions".to_owned(),
        JobKind::Finalize => "storyboard and publication".to_owned(),
        JobKind::FinalizeExtra => "publication of AV1".to_owned(),
    }
}

fn waits_for(record: &JobRecord, siblings: &[JobRecord]) -> Option<String> {
    if record.state != JobState::Waiting {
        return None;
    }
    let open = siblings.iter().filter(|other| comes_before(other.kind, record.kind) && other.state != JobState::Done);
    let open = open.count();
    if open > 0 {
        return Some(format!("{open} other jobs of this video"));
    }
    if record.not_before > jiff::Timestamp::now() {
        return Some(format!("another try at {}", record.not_before.strftime("%H:%M:%S UTC")));
    }
    Some(match record.kind {
        JobKind::Extra { .. } => "a free transcode slot of a worker with libsvtav1, after all videos' H.264".to_owned(),
        _ => "a free transcode slot".to_owned(),
    })
}

/// Whether a job of a video has to be done before another one can begin.
fn comes_before(one: JobKind, other: JobKind) -> bool {
    match other {
        JobKind::Finalize => one != JobKind::Finalize && !one.is_extra(),
        JobKind::FinalizeExtra => one == JobKind::Finalize || matches!(one, JobKind::Extra { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(kind: &str, state: &str, cost_frames: u64) -> JobRecord {
        let job = json!({"v": 1, "video_id": "AZkAAAAAcACAAAAAAAAAAQ", "generation": 1, "kind": {"name": kind, "index": 0},
            "priority": 0, "cost_frames": cost_frames, "state": state, "failures": 0, "leases": 0,
            "not_before": "2026-01-02T03:04:05Z", "progress": 0.0, "created_at": "2026-01-02T03:04:05Z"});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn nobody_waits_for_the_extra_set() {
        let video = json!({"v": 1, "id": "AZkAAAAAcACAAAAAAAAAAQ", "title": "t", "description": "", "visibility": "public",
            "state": "processing", "created_at": "2026-01-02T03:04:05Z", "generation": 1,
            "original": {"len_bytes": 1, "file_name": "a.mp4"}});
        let video: VideoRecord = serde_json::from_value(video).unwrap();
        let jobs = |extra, chunk, finalize| {
            [
                one("extra", extra, 100),
                one("chunk", chunk, 50),
                one("finalize", finalize, 0),
                one("finalize-extra", "waiting", 0),
            ]
        };
        let slot = Some("a free transcode slot".to_owned());
        assert_eq!(waiting_for(&video, &jobs("running", "waiting", "waiting")), slot);
        assert_eq!(waiting_for(&video, &jobs("waiting", "done", "waiting")), slot);
        assert_eq!(waiting_for(&video, &jobs("waiting", "running", "waiting")), None);
        assert!(progress(&jobs("waiting", "done", "waiting")) > 0.98);
        let what_waits = |jobs: &[JobRecord], at: usize| waits_for(&jobs[at], jobs);
        let before = |count: usize| Some(format!("{count} other jobs of this video"));
        assert_eq!(what_waits(&jobs("waiting", "running", "waiting"), 2), before(1));
        assert_eq!(what_waits(&jobs("waiting", "done", "waiting"), 2), slot);
        assert_eq!(what_waits(&jobs("waiting", "done", "waiting"), 3), before(2));
        assert_eq!(what_waits(&jobs("done", "done", "done"), 3), slot);
    }
}
