//! One viewer's way to get something: from its own web service, or from another one when its own is harmed.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{StatusCode, header};
use triton_api::BlobHash;

use crate::{breach::Breach, ledger::Content, stage::Stage};

/// How long a viewer goes on asking while all web services that it asks are harmed.
const PATIENCE: Duration = Duration::from_secs(60);
const BEFORE_RETRY: Duration = Duration::from_millis(200);

/// A viewer's connection to the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) stage: Stage,
    /// The web service that it asks first.
    pub(crate) own: usize,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Bytes,
    pub(crate) etag: Option<String>,
    /// Whether another web service than the viewer's own answered.
    elsewhere: bool,
    /// Whether the web service was harmed meanwhile.
    excused: bool,
}

impl Visit {
    /// Gets a path, whole or in part. A failure that nothing excuses is written down as `breach`.
    pub(crate) async fn get(&self, path: &str, part: Option<Range<u64>>, breach: Breach) -> Option<Answer> {
        let (began, ledger) = (Instant::now(), &self.stage.ledger);
        for attempt in 0.. {
            let web = (self.own + attempt) % self.stage.site.webs.len().max(1);
            let mark = ledger.mark(web);
            let failure = match self.once(web, path, part.clone()).await {
                Ok((bytes, etag)) => {
                    let excused = attempt > 0 || ledger.excuses(mark);
                    return Some(Answer { bytes, etag, elsewhere: attempt > 0, excused });
                }
                Err(failure) => failure,
            };
            if !ledger.excuses(mark) || began.elapsed() > PATIENCE {
                let asked = began.elapsed().as_secs_f32();
                ledger.breach(breach, &format!("web-{} {path}, attempt {attempt}, {asked:.1} s: {failure}", web + 1));
                return None;
            }
            if attempt > 0 {
                tokio::time::sleep(BEFORE_RETRY).await;
            }
        }
        None
    }

    async fn once(&self, web: usize, path: &str, part: Option<Range<u64>>) -> Result<(Bytes, Option<String>), String> {
        let mut request = self.stage.http.get(format!("{}{path}", self.stage.origin(web)));
        let expected = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        if let Some(part) = part {
            request = request.header(header::RANGE, format!("bytes={}-{}", part.start, part.end.saturating_sub(1)));
        }
        let response = request.send().await.map_err(|error| reason(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|error| reason(&error))?;
        if status != expected {
            let body: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
            return Err(format!("{status} {body}"));
        }
        let etag =
            headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"').to_owned());
        Ok((bytes, etag))
    }

    /// Reads media whole and compares them with their checksum and with what was read before.
    pub(crate) async fn read(&self, path: &str) -> Option<Bytes> {
        let answer = self.media(path, None).await?;
        let content = content_of(&answer.bytes);
        // The ETag of the original tells which one it is, not what is in it.
        let checksum = answer.etag.filter(|tag| !tag.starts_with("original-"));
        if checksum.is_some_and(|tag| tag != content.whole.to_string()) {
            self.wrong(path, "differs from its ETag");
        }
        let known = self.stage.ledger.books().contents.entry(path.to_owned()).or_insert(content).to_owned();
        if known != content {
            self.wrong(path, &format!("{} bytes differ from the {} seen first", content.len_bytes, known.len_bytes));
        }
        Some(answer.bytes)
    }

    /// Reads media that were read before in two ranges.
    pub(crate) async fn read_in_halves(&self, path: &str, known: Content) -> Option<()> {
        let middle = known.len_bytes / 2;
        for (part, hash) in [0..middle, middle..known.len_bytes].into_iter().zip(known.halves) {
            let answer = self.media(path, Some(part.clone())).await?;
            self.stage.ledger.books().reads.ranges += 1;
            if BlobHash::of(&answer.bytes) != hash {
                self.wrong(path, &format!("bytes {part:?} differ from those seen first"));
            }
        }
        Some(())
    }

    /// What was read of a path before.
    pub(crate) fn known(&self, path: &str) -> Option<Content> {
        self.stage.ledger.books().contents.get(path).copied()
    }

    async fn media(&self, path: &str, part: Option<Range<u64>>) -> Option<Answer> {
        let began = Instant::now();
        let answer = self.get(path, part, Breach::FailedRead).await?;
        let ledger = &self.stage.ledger;
        let mut books = ledger.books();
        books.reads.answered += 1;
        books.reads.bytes += answer.bytes.len() as u64;
        books.reads.on_other += u64::from(answer.elsewhere);
        if !answer.excused {
            let took = began.elapsed();
            if took > books.reads.latencies.max() {
                let during = books.now.as_deref().unwrap_or("nothing");
                books.reads.slowest =
                    format!("web-{} {path}, until {:.1} s, during {during}", self.own + 1, ledger.at().as_secs_f32());
            }
            books.reads.latencies.add(took);
        }
        Some(answer)
    }

    fn wrong(&self, path: &str, how: &str) {
        self.stage.ledger.breach(Breach::WrongBytes, &format!("web-{} {path} {how}", self.own + 1));
    }
}

/// The innermost cause, which says more than "error sending request".
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { format!("timeout ({cause})") } else { cause.to_string() }
}

fn content_of(bytes: &[u8]) -> Content {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let halves = [BlobHash::of(first), BlobHash::of(second)];
    Content { len_bytes: bytes.len() as u64, whole: BlobHash::of(bytes), halves }
}
