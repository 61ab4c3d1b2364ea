//! A searcher: lists and searches on every web service in turn, and looks how many videos are unfinished.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use triton_api::{
    Page,
    video::{Video, VideoState, route},
};

use crate::{breach::Breach, stage::Stage, visit::Visit};

const BETWEEN: Duration = Duration::from_millis(250);

/// Searches until the end.
pub(crate) async fn search(stage: Stage, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut own = 0;
    while stage.rest(BETWEEN).await {
        let visit = Visit { stage: stage.clone(), own };
        if let Some(videos) = all_videos(&visit).await {
            let unfinished = videos.iter().filter(|video| is_unfinished(video)).count();
            stage.ledger.books().unfinished = unfinished;
            if !videos.is_empty() {
                let video = videos.get(rng.random_range(0..videos.len()));
                find(&visit, video).await;
            }
        }
        own = (own + 1) % stage.site.webs.len().max(1);
    }
}

/// Whether a video is still on its way.
pub(crate) fn is_unfinished(video: &Video) -> bool {
    matches!(video.state, VideoState::Queued | VideoState::Processing)
}

/// Every page of the catalog.
pub(crate) async fn all_videos(visit: &Visit) -> Option<Vec<Video>> {
    let (mut videos, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{}?all=true&limit=100&sort=oldest{cursor}", route::VIDEOS);
        let answer = visit.get(&path, None, Breach::FailedListing).await?;
        visit.stage.ledger.books().listings += 1;
        let page: Page<Video> = serde_json::from_slice(&answer.bytes).ok()?;
        videos.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(videos),
        }
    }
}

/// Searches for a video by its title, as long as that is what it was called when it was uploaded.
async fn find(visit: &Visit, video: Option<&Video>) {
    let Some(video) = video else { return };
    let path = format!("{}?all=true&q={}", route::VIDEOS, video.title.replace(' ', "%20"));
    let Some(answer) = visit.get(&path, None, Breach::FailedListing).await else { return };
    visit.stage.ledger.books().listings += 1;
    let found = serde_json::from_slice::<Page<Video>>(&answer.bytes)
        .is_ok_and(|page| page.items.iter().any(|found| found.id == video.id));
    // Editors change titles between the list and the search.
    if !found && video.title.starts_with("upload ") {
        visit.stage.ledger.finding("searches that did not find a video of the list", 1);
    }
}
