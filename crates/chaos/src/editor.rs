//! Editors: count up one number in one video's description, through all web services at once.
//!
//! Each reads the number and its entity tag and writes the next number on condition of that tag. So the number at the end is that of
//! all acknowledged edits (and perhaps some whose answer was lost); a smaller one means that an edit was overwritten.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use triton_api::{
    VideoId,
    video::{Video, VideoPatch, route},
};

use crate::{breach::Breach, stage::Stage};

const BETWEEN: Duration = Duration::from_millis(150);
const WORD: &str = "edits: ";

/// Edits until the end.
pub(crate) async fn edit(stage: Stage, video: VideoId, number: usize) {
    let mut web = number;
    while stage.rest(BETWEEN).await {
        // Read here and written there, so that each relies on what the other has seen.
        if edit_once(&stage, video, web, web + number + 1).await.is_none() {
            stage.rest(BETWEEN).await;
        }
        web += 1;
    }
}

async fn edit_once(stage: &Stage, video: VideoId, read_from: usize, write_to: usize) -> Option<()> {
    let address = route::VIDEO.replace("{id}", &video.to_string());
    let response = stage.http.get(format!("{}{address}", stage.origin(read_from))).send().await.ok()?;
    let Some(etag) = response.headers().get(header::ETAG).cloned() else {
        stage.ledger.books().edits.without_etag += u64::from(response.status().is_success());
        return None;
    };
    let seen: Video = response.json().await.ok()?;
    let patch = VideoPatch { description: Some(format!("{WORD}{}", number_in(&seen) + 1)), ..VideoPatch::default() };
    let url = format!("{}{address}", stage.origin(write_to));
    let sent = stage.http.patch(url).header(header::IF_MATCH, etag).json(&patch).send().await;
    count(stage, sent);
    Some(())
}

fn count(stage: &Stage, sent: reqwest::Result<Response>) {
    let mut books = stage.ledger.books();
    match sent.map(|response| response.status()) {
        Ok(status) if status.is_success() => books.edits.acknowledged += 1,
        Ok(StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT) => books.edits.conflicts += 1,
        // The service knows that it has written nothing.
        Ok(StatusCode::SERVICE_UNAVAILABLE) => books.edits.refused += 1,
        Ok(_) | Err(_) => books.edits.unknown += 1,
    }
}

fn number_in(video: &Video) -> u64 {
    video.description.strip_prefix(WORD).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Compares the number at the end with what was acknowledged.
pub(crate) fn check(stage: &Stage, seen: &Video) {
    let edits = stage.ledger.books().edits;
    let number = number_in(seen);
    // 503 is refused before anything is written; a write that timed out in etcd may have happened all the same.
    let most = edits.acknowledged + edits.unknown + edits.refused;
    if number < edits.acknowledged {
        let text = format!("{} edits were acknowledged and the video counts {number}", edits.acknowledged);
        stage.ledger.breach(Breach::LostUpdate, &text);
    }
    if number > most {
        stage
            .ledger
            .breach(Breach::LostUpdate, &format!("the video counts {number}, more than the {most} that were sent"));
    }
}
