//! A resumable upload that goes on at another web service.

use triton_testkit::eventually;

use crate::{
    SETTLE_DEADLINE,
    clip::clip,
    installation::Installation,
    tus::{Tus, id_of},
};

/// A part that is stored for good.
const PART: usize = 8 << 20;
/// What one request sends: more than one part is made of, less than a part.
const CHUNK: usize = 3_000_001;

async fn stands_at(tus: &Tus, path: &str, offset: usize) {
    eventually(SETTLE_DEADLINE, || async {
        let head = tus.head(path).await;
        head.status == 200 && head.offset() == offset as u64
    })
    .await;
}

async fn assert_download(origin: &str, id: &str, content: &[u8]) {
    let answer = reqwest::get(format!("{origin}/api/v1/videos/{id}/download")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(*answer.bytes().await.unwrap() == *content, "{origin} has other bytes than were sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_either_web_service_and_survives_the_death_of_one() {
    let mut installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let content = clip(5 * PART / 2 + 4 * CHUNK);
    let both = [Tus::new(&installation.webs[0]), Tus::new(&installation.webs[1])];
    let path = both[0].create(content.len(), &[]).await;
    let mut offset = 0;
    for turn in 0..4 {
        // Each sees what the other one has committed.
        for tus in &both {
            stands_at(tus, &path, offset).await;
        }
        let end = offset + CHUNK;
        let answer = both[(turn + 1) % 2].patch(&path, offset as u64, &content[offset..end]).await;
        assert_eq!((answer.status, answer.offset()), (204, end as u64), "{answer:?}");
        offset = end;
    }
    stands_at(&both[0], &path, offset).await;

    // One of them dies in the middle of a request of which whole parts are stored.
    let mut doomed = both[0].begin_patch(&path, offset as u64, content.len() - offset).await;
    doomed.send(&content[offset..offset + 3 * PART / 2]).await;
    let before = offset as u64;
    eventually(SETTLE_DEADLINE, || async { both[1].head(&path).await.offset() > before }).await;
    installation.webs[0].process.kill();
    drop(doomed);

    let resumed = usize::try_from(both[1].head(&path).await.offset()).unwrap();
    assert!(resumed > offset && resumed < content.len(), "{resumed} of {}", content.len());
    let middle = resumed + CHUNK;
    let answer = both[1].patch(&path, resumed as u64, &content[resumed..middle]).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    installation.webs[0].restart().await;
    stands_at(&both[0], &path, middle).await;
    let answer = both[1].patch(&path, middle as u64, &content[middle..]).await;
    assert_eq!((answer.status, answer.offset()), (204, content.len() as u64), "{answer:?}");
    stands_at(&both[0], &path, content.len()).await;
    let id = id_of(&path);
    assert_download(&installation.webs[1].origin, id, &content).await;
    installation.shows(0, id.parse().unwrap()).await;
    assert_download(&installation.webs[0].origin, id, &content).await;
}
