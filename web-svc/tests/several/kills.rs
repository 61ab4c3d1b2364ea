//! A worker that is killed again and again while it makes one video, and one that hangs and wakes up too late.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use triton_api::{
    VideoId,
    job::{Job, JobState},
    video::{Video, VideoState},
};
use triton_testkit::{WebService, content, eventually};

use crate::{
    READY_DEADLINE, SETTLE_DEADLINE,
    fixture::{click_times, clicks, frame_numbers, make, numbered},
    installation::Installation,
};

const KILLS: u64 = 20;
/// Another seed is another twenty moments.
const SEED: u64 = 5;
/// The latest moment of a kill after the worker has leased a job: about what a chunk takes on a quick machine.
const LIFE_MAX_MS: u64 = 600;
/// Frames of the source at 25 a second: enough chunks that a killed worker finds another one while its lease runs out.
const FRAMES: u32 = 7200;
const PLAIN: &str = "null";
/// So much to tell that every rendition's rate is at its cap.
const NOISY: &str = "noise=alls=40:allf=t";
const SLOT: &[&str] = &["--transcode-slots", "1"];

/// A moment within a worker's life, the same for the same number.
fn moment(kill: u64) -> Duration {
    let bytes = content(SEED * 1000 + kill, 8);
    Duration::from_millis(u64::from_le_bytes(bytes[..].try_into().unwrap()) % LIFE_MAX_MS)
}

async fn upload_numbered(installation: &Installation, frames: u32, filter: &str) -> VideoId {
    let path = installation.dir().join("numbered.mp4");
    let inputs = [numbered("25", frames, "320:240"), clicks(f64::from(frames / 25))].concat();
    let options = format!("-vf {filter} -c:v libx264 -preset ultrafast -bf 2 -g 50 -pix_fmt yuv420p -c:a aac");
    make(&path, &inputs, &options);
    installation.webs[0].upload(&path).await.id
}

async fn jobs(installation: &Installation) -> Vec<Job> {
    installation.webs[0].client().jobs(None).await.unwrap().items
}

/// Waits until a worker that is not among the dead runs a job of that kind, and says which worker and job.
async fn living(installation: &Installation, dead: &BTreeSet<String>, wanted: fn(&Job) -> bool) -> (String, Job) {
    let found = Mutex::new(None);
    eventually(SETTLE_DEADLINE, || async {
        let jobs = jobs(installation).await;
        let finished = jobs.iter().all(|job| job.state == JobState::Done);
        assert!(jobs.is_empty() || !finished, "the video was ready after {} kills: it has to be longer", dead.len());
        let running = jobs.into_iter().filter(|job| job.state == JobState::Running && wanted(job));
        let mut living = running.filter_map(|job| Some((job.worker.clone()?, job)));
        *found.lock().unwrap() = living.find(|(worker, _)| !dead.contains(worker));
        found.lock().unwrap().is_some()
    })
    .await;
    found.into_inner().unwrap().unwrap()
}

/// Decodes every rendition as it is served: each number once and in order, and each click in its place.
async fn assert_whole(web: &WebService, video: &Video, frames: u32) {
    let base = format!("{}/media/{}", web.origin, video.id);
    let master = web.text(&format!("/media/{}/master.m3u8", video.id)).await;
    let playlists: Vec<String> =
        master.lines().filter(|line| line.ends_with("/index.m3u8")).map(|path| format!("{base}/{path}")).collect();
    assert!(playlists.len() >= 2, "{master}");
    let sound = master.lines().find_map(|line| line.split_once("URI=\"")?.1.split('"').next()).unwrap();
    let sound = format!("{base}/{sound}");
    tokio::task::spawn_blocking(move || {
        for playlist in playlists {
            assert_eq!(frame_numbers(&playlist), (0..frames).collect::<Vec<u32>>(), "{playlist}");
        }
        let clicks = click_times(&sound);
        assert_eq!(clicks.len(), frames as usize / 25);
        assert!(
            clicks.iter().zip(0_u32..).all(|(click, second)| (click - f64::from(second)).abs() < 0.02),
            "{clicks:?}"
        );
    })
    .await
    .unwrap();
}

/// How often each job was committed as done, as the logs tell.
fn done(log: &str, job: &Job) -> usize {
    log.lines().filter(|line| line.contains("job ended") && line.contains("done") && line.contains(&job.id)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_twenty_times_in_one_video_loses_twenty_attempts_at_most() {
    let installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let mut worker = WebService::worker(&installation.etcd.url(), SLOT).await;
    let id = upload_numbered(&installation, FRAMES, PLAIN).await;
    let mut dead = BTreeSet::new();
    for kill in 0..KILLS {
        let (name, _) = living(&installation, &dead, |_| true).await;
        // The fault itself: a random moment of the worker's life.
        tokio::time::sleep(moment(kill)).await;
        worker.process.kill();
        dead.insert(name);
        worker.restart().await;
    }
    let video = installation.webs[0].ready(id, READY_DEADLINE).await;
    assert_eq!(dead.len() as u64, KILLS);
    let jobs = jobs(&installation).await;
    let attempts: u64 = jobs.iter().map(|job| u64::from(job.attempt)).sum();
    let counts: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.attempt)).collect();
    assert!(attempts <= jobs.len() as u64 + KILLS, "{attempts} attempts: {counts:?}");
    assert!(attempts >= jobs.len() as u64 + KILLS / 4, "hardly a kill met a job: {counts:?}");
    assert!(jobs.iter().all(|job| job.state == JobState::Done && job.last_error.is_none()), "{jobs:#?}");
    let log = worker.process.log();
    let twice: Vec<_> = jobs.iter().filter(|job| done(&log, job) > 1).map(|job| &job.id).collect();
    assert_eq!(twice, Vec::<&String>::new());
    assert_whole(&installation.webs[0], &video, FRAMES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_and_is_fenced_off_publishes_nothing_when_it_wakes() {
    const FRAMES: u32 = 800;
    let installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let url = installation.etcd.url();
    let hanging = WebService::worker(&url, SLOT).await;
    let id = upload_numbered(&installation, FRAMES, PLAIN).await;
    let (_, job) = living(&installation, &BTreeSet::new(), |job| job.kind == "chunk").await;
    // Its ffmpeg goes on and ends: what it would publish is all there when it wakes.
    hanging.process.suspend();
    let quiet = hanging.process.log().len();
    let other = WebService::worker(&url, SLOT).await;
    let video = installation.webs[0].ready(id, READY_DEADLINE).await;
    let before = installation.webs[0].client().tagged_video(id).await.unwrap();
    let jobs_before = jobs(&installation).await;
    assert_eq!(done(&other.process.log(), &job), 1, "the other worker took the job over");

    hanging.process.resume();
    let ended = || hanging.process.log()[quiet..].lines().any(|line| line.contains("job ended"));
    eventually(SETTLE_DEADLINE, || async { ended() }).await;
    assert_eq!(done(&hanging.process.log(), &job), 0, "a worker without a lease committed its job");
    assert_eq!(jobs(&installation).await, jobs_before);
    assert_eq!(installation.webs[0].client().tagged_video(id).await.unwrap(), before);
    assert_eq!(video.state, VideoState::Ready);
    assert_whole(&installation.webs[0], &video, FRAMES).await;
}

/// Blobs on the nodes, each counted as often as it is kept.
async fn blobs(installation: &Installation) -> u64 {
    let mut blobs = 0;
    for node in &installation.nodes {
        blobs += node.client().info().await.unwrap().blobs;
    }
    blobs
}

/// x264 with several threads does not make the same bytes twice where the rate is at its cap, and a key takes one content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_after_it_has_stored_a_chunk_and_before_it_says_so_leaves_nothing_in_the_way() {
    /// One chunk of one segment.
    const FRAMES: u32 = 100;
    // Slowly, so that etcd is stopped while the chunk is encoded, and not when that has been told.
    let slowly = ["--transcode-slots", "0", "--x264-preset", "medium"];
    let mut installation = Installation::start(1, &slowly).await;
    let id = upload_numbered(&installation, FRAMES, NOISY).await;
    let before = blobs(&installation).await;
    let mut worker = WebService::worker(&installation.etcd.url(), SLOT).await;
    let (_, job) = living(&installation, &BTreeSet::new(), |job| job.kind == "chunk").await;
    // It can store and not commit.
    installation.etcd.member(0).suspend();
    // Init segment and segment of two renditions on three nodes.
    eventually(SETTLE_DEADLINE, || async { blobs(&installation).await >= before + 2 * 2 * 3 }).await;
    worker.process.kill();
    // What the worker has told it waits in its socket, where it would still read it.
    installation.etcd.stop_all();
    installation.etcd.restart_all().await;
    worker.restart().await;
    let video = installation.webs[0].ready(id, READY_DEADLINE).await;
    let again = jobs(&installation).await.into_iter().find(|other| other.id == job.id).unwrap();
    assert_eq!((again.attempt, again.last_error), (2, None));
    assert_whole(&installation.webs[0], &video, FRAMES).await;
}
