//! The end of a run: everything healed, waiting until the fleet is at rest, then looking at everything.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use triton_api::{
    BlobHash, VideoId,
    client::ClientError,
    video::{Video, VideoState, route},
};

use crate::{
    admin::Admin,
    breach::Breach,
    editor,
    harm::Kind,
    latency::median,
    observer,
    replicas::{Replicas, census},
    searcher::{all_videos, is_unfinished},
    stage::Stage,
    viewer::watch,
    visit::Visit,
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long writes may be away when the leader of etcd is killed, as the median of all kills.
const LEADER_KILL_MEDIAN_MAX: Duration = Duration::from_secs(5);

/// What is known at the end beside the books.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ending {
    pub(crate) settled_after: Duration,
    pub(crate) videos: HashMap<&'static str, usize>,
    pub(crate) verified: usize,
    /// Jobs by kind and state, and how many needed more than one attempt.
    pub(crate) jobs: BTreeMap<String, u64>,
    pub(crate) replicas: Replicas,
}

/// Waits for the fleet to settle, at most `deadline`, and judges.
pub(crate) async fn judge(stage: &Stage, mut admin: Admin, edited: VideoId, deadline: Duration) -> Ending {
    let began = Instant::now();
    let visit = |own| Visit { stage: stage.clone(), own };
    let mut ending = Ending::default();
    let mut videos = Vec::new();
    while began.elapsed() < deadline {
        // An unanswered list is no list without unfinished videos.
        let listed = all_videos(&visit(0)).await;
        let is_listed = listed.is_some();
        videos = listed.unwrap_or(videos);
        let at_rest = is_listed && admin.settle().await && !videos.iter().any(is_unfinished);
        ending.replicas = census(stage).await.unwrap_or_else(|error| Replicas {
            missing: vec![format!("the nodes could not be asked: {error}")],
            ..Replicas::default()
        });
        if at_rest && ending.replicas.missing.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    ending.settled_after = began.elapsed();
    if !admin.settle().await {
        stage.ledger.breach(Breach::MissingReplica, "the migration has not come to an end");
    }
    for missing in &ending.replicas.missing {
        stage.ledger.breach(Breach::MissingReplica, missing);
    }
    judge_videos(stage, &videos, &mut ending);
    ending.jobs = jobs(stage).await.unwrap_or_default();
    for web in 0..stage.site.webs.len() {
        ending.verified += verify_uploads(&visit(web)).await;
    }
    match videos.iter().find(|video| video.id == edited) {
        Some(video) => editor::check(stage, video),
        None => stage.ledger.breach(Breach::LostUpdate, "the video that was edited is not there to be looked at"),
    }
    observer::look(stage).await;
    judge_layouts(stage);
    judge_writes(stage);
    ending
}

fn judge_videos(stage: &Stage, videos: &[Video], ending: &mut Ending) {
    let acknowledged: Vec<_> = stage.ledger.books().uploads.iter().map(|upload| upload.id).collect();
    for video in videos {
        let (word, stuck) = match video.state {
            VideoState::Ready => ("ready", false),
            // All that is no video is refused, so nothing of what is accepted may fail.
            VideoState::Failed => ("failed", true),
            // Begun by an uploader that went elsewhere; it expires.
            VideoState::Uploading => ("uploading", acknowledged.contains(&video.id)),
            VideoState::Queued => ("queued", true),
            VideoState::Processing => ("processing", true),
        };
        *ending.videos.entry(word).or_default() += 1;
        if stuck {
            let text = format!("{} {:?} is {word}: {:?}", video.id, video.title, video.reason);
            stage.ledger.breach(Breach::StuckVideo, &text);
        }
    }
}

/// Every acknowledged upload has to play through this web service, and to come back as it was sent.
async fn verify_uploads(visit: &Visit) -> usize {
    let (ledger, mut whole) = (&visit.stage.ledger, 0);
    let mut rng = StdRng::seed_from_u64(0);
    let uploads = ledger.books().uploads.clone();
    for upload in uploads {
        let at = |route: &str| route.replace("{id}", &upload.id.to_string());
        let lost = |why: &str| {
            let text =
                format!("{} {:?} ({}) through web-{}: {why}", upload.id, upload.title, upload.how, visit.own + 1);
            ledger.breach(Breach::LostUpload, &text);
        };
        if visit.get(&at(route::VIDEO), None, Breach::LostUpload).await.is_none() {
            continue;
        }
        if watch(visit, upload.id, &mut rng).await.is_none() {
            lost("does not play");
            continue;
        }
        match visit.read(&at(route::DOWNLOAD)).await {
            Some(bytes) if BlobHash::of(&bytes) == upload.original => whole += 1,
            Some(_) => lost("its download differs from what was sent"),
            None => lost("cannot be downloaded"),
        }
    }
    whole
}

async fn jobs(stage: &Stage) -> Result<BTreeMap<String, u64>, ClientError> {
    let (mut counts, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = stage.web(0).jobs(cursor.as_deref()).await?;
        for job in page.items {
            let again = if job.attempt > 1 { ", at a further attempt" } else { "" };
            *counts.entry(format!("jobs: {} {:?}{again}", job.kind, job.state)).or_default() += 1;
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(counts),
        }
    }
}

fn judge_layouts(stage: &Stage) {
    let epochs = stage.ledger.books().epochs.clone();
    for (epoch, digests) in epochs.iter().filter(|(_, digests)| digests.len() > 1) {
        stage.ledger.breach(Breach::TwoLayouts, &format!("epoch {epoch} was seen with {digests:?}"));
    }
}

fn judge_writes(stage: &Stage) {
    let away = stage.ledger.books().outages_of(Kind::EtcdLeaderKilled);
    if median(&away) > LEADER_KILL_MEDIAN_MAX {
        let text = format!("the median after {} kills of etcd's leader is {:?}", away.len(), median(&away));
        stage.ledger.breach(Breach::LateWrites, &text);
    }
}
