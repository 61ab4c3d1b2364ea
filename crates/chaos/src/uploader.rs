//! An uploader: sends clips until they are acknowledged, each attempt to another web service.

use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use triton_api::{BlobHash, video::route};

use crate::{
    breach::Breach,
    clip::Clips,
    ledger::Upload,
    post::{Sent, post},
    stage::Stage,
    tus,
    visit::Visit,
};

/// The rest between two uploads, in milliseconds.
const BETWEEN_MS: std::ops::Range<u64> = 500..4_000;
/// One in so many uploads is no video.
const BAD_EVERY: u64 = 10;
/// Rests while more videos than allowed are unfinished.
const BACKLOG: Duration = Duration::from_millis(300);

/// What an uploader needs.
#[derive(Debug, Clone)]
pub(crate) struct Uploader {
    pub(crate) stage: Stage,
    pub(crate) clips: Clips,
    /// Numbers of different uploaders differ in their remainders by `step`.
    pub(crate) number: u64,
    pub(crate) step: u64,
    /// Videos that may be unfinished at once: transcoding should go on all the time and yet come to an end.
    pub(crate) unfinished_max: usize,
    /// Whether every other upload goes by tus.
    pub(crate) tus: bool,
}

impl Uploader {
    /// Uploads until the end.
    pub(crate) async fn work(self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0.. {
            let rest = Duration::from_millis(rng.random_range(BETWEEN_MS));
            if !self.stage.rest(rest).await {
                return;
            }
            while self.stage.ledger.books().unfinished >= self.unfinished_max {
                if !self.stage.rest(BACKLOG).await {
                    return;
                }
            }
            let number = self.number + round * self.step;
            if number % BAD_EVERY == BAD_EVERY - 1 {
                self.send_bad(number).await;
            } else {
                self.send_good(number, rng.random_range(0..self.stage.site.webs.len().max(1))).await;
            }
        }
    }

    /// Sends one clip until it is acknowledged, or the play is over.
    pub(crate) async fn send_good(&self, number: u64, first_web: usize) {
        let (title, file) = (format!("upload {number}"), self.clips.good(number));
        let how = if self.tus && (number / self.step.max(1)).is_multiple_of(2) { "tus" } else { "form" };
        for attempt in 0.. {
            let web = first_web + attempt;
            let later = match self.attempt(how, web, &title, &file).await {
                Sent::Acknowledged(id) => {
                    self.stage.ledger.attempt("acknowledged");
                    let original = BlobHash::of(&file);
                    self.stage.ledger.books().uploads.push(Upload { id, title, original, how });
                    return self.look_back(web, id).await;
                }
                Sent::Refused(why) => {
                    self.stage.ledger.attempt("refused");
                    return self.stage.ledger.breach(Breach::RefusedUpload, &format!("{title}: {why}"));
                }
                Sent::Later(later) => {
                    self.stage.ledger.attempt("told to come later");
                    later
                }
                Sent::Unknown => {
                    self.stage.ledger.attempt("unknown outcome");
                    Duration::from_millis(200)
                }
            };
            if !self.stage.rest(later).await {
                return self.stage.ledger.attempt("given up at the end");
            }
        }
    }

    async fn attempt(&self, how: &str, web: usize, title: &str, file: &Bytes) -> Sent {
        if how == "tus" {
            return tus::send(&self.stage, web, title, file).await;
        }
        post(&self.stage.http, self.stage.origin(web), title, file.clone()).await
    }

    /// Who was told that a video is there must find it there.
    async fn look_back(&self, web: usize, id: triton_api::VideoId) {
        let own = web % self.stage.site.webs.len().max(1);
        let visit = Visit { stage: self.stage.clone(), own };
        let path = route::VIDEO.replace("{id}", &id.to_string());
        if visit.get(&path, None, Breach::FailedListing).await.is_some() {
            self.stage.ledger.books().listings += 1;
        }
    }

    async fn send_bad(&self, number: u64) {
        let web = usize::try_from(number).unwrap_or_default();
        let sent = post(&self.stage.http, self.stage.origin(web), "no video", Clips::bad(number)).await;
        self.stage.ledger.attempt(match sent {
            Sent::Refused(_) => "refused as meant (no video)",
            Sent::Acknowledged(_) => "accepted though no video",
            Sent::Later(_) | Sent::Unknown => "no answer to what is no video",
        });
    }
}
