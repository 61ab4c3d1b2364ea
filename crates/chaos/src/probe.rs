//! Small writes, many a second, to each web service: they tell when writes are possible and what is said when they are not.

use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode, header};
use tokio::task::JoinSet;
use triton_api::{
    VideoId,
    problem::PROBLEM_JSON,
    video::{VideoPatch, route},
};

use crate::{breach::Breach, stage::Stage, visit::reason};

const EVERY: Duration = Duration::from_millis(200);
/// Writes on their way at once to one web service: one that hangs must not hide that others go through.
const AT_ONCE_MAX: usize = 8;

/// Writes until all is healed.
pub(crate) async fn probe(stage: Stage, video: VideoId, web: usize) {
    let mut writes = JoinSet::new();
    let mut number = 0_u64;
    while stage.healed.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        while writes.try_join_next().is_some() {}
        if writes.len() < AT_ONCE_MAX {
            number += 1;
            writes.spawn(write(stage.clone(), video, web, number));
        }
    }
    writes.join_all().await;
}

async fn write(stage: Stage, video: VideoId, web: usize, number: u64) {
    let (began, away, mark) = (Instant::now(), stage.ledger.is_etcd_away(), stage.ledger.mark(web));
    let url = format!("{}{}", stage.origin(web), route::VIDEO.replace("{id}", &video.to_string()));
    let patch = VideoPatch { description: Some(format!("probe {number}")), ..VideoPatch::default() };
    let answer = stage.http.patch(url).json(&patch).send().await;
    if answer.as_ref().is_ok_and(|response| response.status().is_success()) {
        return stage.ledger.wrote(web, began);
    }
    // Only what both began and ended while all of etcd was away tells how that is answered.
    let away = away && stage.ledger.is_etcd_away();
    let excused = stage.ledger.excuses(mark);
    let is_answered = answer.is_ok();
    // Many writes of one record at once, as after a cut: to say that others came first is honest, where there is a quorum.
    let is_conflict = !away && answer.as_ref().is_ok_and(|response| response.status() == StatusCode::CONFLICT);
    let dishonest = dishonesty(answer);
    {
        let mut books = stage.ledger.books();
        match &dishonest {
            None => {
                books.writes.refused += 1;
                books.writes.refused_without_etcd += u64::from(away);
            }
            Some(_) if is_conflict => books.writes.conflicts += 1,
            Some(_) if excused => books.writes.excused += 1,
            Some(_) => books.writes.unanswered += u64::from(!is_answered),
        }
    }
    // Cut off from etcd a web service may need longer than a client waits; it has to answer honestly when it answers.
    if let Some(text) = dishonest.filter(|_| !excused && !is_conflict && (away || is_answered)) {
        stage.ledger.breach(Breach::DishonestOutage, &format!("web-{}: {text}", web + 1));
    }
}

/// What is wrong with an answer to a write that cannot be done.
fn dishonesty(answer: reqwest::Result<Response>) -> Option<String> {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Some(reason(&error)),
    };
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (status, kind, later) = (response.status(), header(header::CONTENT_TYPE), header(header::RETRY_AFTER));
    let honest = status == StatusCode::SERVICE_UNAVAILABLE && kind.starts_with(PROBLEM_JSON) && !later.is_empty();
    (!honest).then(|| format!("{status}, content type {kind:?}, Retry-After {later:?}"))
}
