//! A viewer: reads all media of ready videos, one video after the other.

use std::time::Duration;

use m3u8_rs::Playlist;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use triton_api::{
    Page, VideoId,
    video::{Video, VideoState, route},
};

use crate::{breach::Breach, stage::Stage, visit::Visit};

/// The rest between two videos.
const BETWEEN: Duration = Duration::from_millis(50);
/// The rest when there is nothing to watch.
const NOTHING: Duration = Duration::from_millis(500);

/// Watches until the end.
pub(crate) async fn view(stage: Stage, number: usize, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let own = number % stage.site.webs.len().max(1);
    let visit = Visit { stage, own };
    loop {
        let watched = match choose(&visit, &mut rng).await {
            Some(id) => watch(&visit, id, &mut rng).await,
            None => None,
        };
        let rest = if watched.is_some() { BETWEEN } else { NOTHING };
        if !visit.stage.rest(rest).await {
            return;
        }
    }
}

async fn choose(visit: &Visit, rng: &mut StdRng) -> Option<VideoId> {
    let sort = ["newest", "oldest", "title"].choose(rng)?;
    let path = format!("{}?all=true&limit=100&sort={sort}", route::VIDEOS);
    let answer = visit.get(&path, None, Breach::FailedListing).await?;
    visit.stage.ledger.books().listings += 1;
    let page: Page<Video> = serde_json::from_slice(&answer.bytes).ok()?;
    let ready: Vec<_> = page.items.iter().filter(|video| video.state == VideoState::Ready).collect();
    ready.choose(rng).map(|video| video.id)
}

/// Reads everything of one video; some of it in ranges where it was read before.
pub(crate) async fn watch(visit: &Visit, id: VideoId, rng: &mut StdRng) -> Option<()> {
    let at = |route: &str| route.replace("{id}", &id.to_string());
    for still in [route::DASH, route::POSTER, route::STORYBOARD, route::STORYBOARD_SPRITE] {
        visit.read(&at(still)).await?;
    }
    let (master, mut files) = (at(route::HLS), Vec::new());
    for playlist in uris(&visit.read(&master).await?).iter().map(|uri| resolve(&master, uri)) {
        let text = visit.read(&playlist).await?;
        files.extend(uris(&text).iter().map(|uri| resolve(&playlist, uri)));
    }
    if files.is_empty() {
        visit.stage.ledger.breach(Breach::FailedRead, &format!("{master} leads to no media"));
        return None;
    }
    if rng.random_bool(0.2) {
        files.push(at(route::DOWNLOAD));
    }
    for file in files {
        match visit.known(&file).filter(|content| content.len_bytes >= 2 && rng.random_bool(0.3)) {
            Some(known) => visit.read_in_halves(&file, known).await?,
            None => visit.read(&file).await.map(drop)?,
        }
    }
    Some(())
}

/// What a playlist refers to.
fn uris(playlist: &[u8]) -> Vec<String> {
    match m3u8_rs::parse_playlist_res(playlist) {
        Ok(Playlist::MasterPlaylist(master)) => {
            let sound = master.alternatives.into_iter().filter_map(|alternative| alternative.uri);
            master.variants.into_iter().map(|variant| variant.uri).chain(sound).collect()
        }
        Ok(Playlist::MediaPlaylist(media)) => {
            let segments = media.segments.into_iter();
            segments.flat_map(|segment| segment.map.map(|map| map.uri).into_iter().chain([segment.uri])).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// A relative reference next to `base`.
fn resolve(base: &str, uri: &str) -> String {
    let folder = base.rfind('/').and_then(|slash| base.get(..=slash)).unwrap_or("/");
    format!("{folder}{uri}")
}
