//! One upload by the tus protocol 1.0.0, every chunk to another web service (<https://tus.io/protocols/resumable-upload>).

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use triton_api::VideoId;

use crate::{
    post::{Sent, refusal},
    stage::Stage,
};

const PATH: &str = "/api/v1/uploads";
const VERSION: &str = "1.0.0";
const RESUMABLE: &str = "tus-resumable";
const OFFSET: &str = "upload-offset";
const CHUNK_BYTES: usize = 48 * 1024;
/// How long one upload may go on without being acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);
const BEFORE_RETRY: Duration = Duration::from_millis(300);

/// Whether the web services take such uploads.
pub(crate) async fn is_spoken(stage: &Stage) -> bool {
    let asked = stage.http.request(Method::OPTIONS, format!("{}{PATH}", stage.origin(0))).send().await;
    asked.is_ok_and(|response| response.headers().contains_key("tus-version"))
}

/// Creates an upload and sends its chunks until it is acknowledged.
pub(crate) async fn send(stage: &Stage, first_web: usize, title: &str, file: &Bytes) -> Sent {
    let create = stage
        .http
        .post(format!("{}{PATH}", stage.origin(first_web)))
        .header(RESUMABLE, VERSION)
        .header("upload-length", file.len())
        .header(
            "upload-metadata",
            format!("filename {},title {}", STANDARD.encode("clip.mp4"), STANDARD.encode(title)),
        );
    let created = match create.send().await {
        Ok(response) if response.status() == StatusCode::CREATED => response,
        Ok(response) => return refusal(response).await,
        Err(_) => return Sent::Unknown,
    };
    let location = created.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|location| location.rsplit('/').next()?.parse().ok()) {
        Some(id) => Transfer { stage, id, file }.run(first_web + 1).await,
        None => Sent::Refused(format!("created at {location:?}, which names no video")),
    }
}

struct Transfer<'a> {
    stage: &'a Stage,
    id: VideoId,
    file: &'a Bytes,
}

impl Transfer<'_> {
    async fn run(&self, mut web: usize) -> Sent {
        let (began, mut offset) = (Instant::now(), 0);
        while began.elapsed() < PATIENCE {
            let end = (offset + CHUNK_BYTES).min(self.file.len());
            // With nothing left it only asks for the acknowledgement.
            let request = self.request(Method::PATCH, web).header(OFFSET, offset);
            let request = request.header(header::CONTENT_TYPE, "application/offset+octet-stream");
            let sent = request.body(self.file.slice(offset..end)).send().await;
            web += 1;
            match sent {
                Ok(response) if response.status() == StatusCode::NO_CONTENT => {
                    let Some(reached) = reached(&response) else {
                        return Sent::Refused("a chunk was taken without saying how far the upload is".to_owned());
                    };
                    if reached == self.file.len() {
                        return Sent::Acknowledged(self.id);
                    }
                    offset = reached;
                    continue;
                }
                // One that has not heard of the upload yet, or of the chunk before.
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    self.stage.ledger.finding("tus uploads not found at once on the other web service", 1);
                }
                Ok(response) => {
                    if let Sent::Refused(why) = refusal(response).await {
                        return Sent::Refused(why);
                    }
                }
                Err(_) => {}
            }
            self.stage.ledger.finding("tus chunks tried again", 1);
            tokio::time::sleep(BEFORE_RETRY).await;
            offset = self.asked_offset(web).await.unwrap_or(offset);
        }
        Sent::Unknown
    }

    async fn asked_offset(&self, web: usize) -> Option<usize> {
        let response = self.request(Method::HEAD, web).send().await.ok()?;
        if response.status().is_success() { reached(&response) } else { None }
    }

    fn request(&self, method: Method, web: usize) -> RequestBuilder {
        let url = format!("{}{PATH}/{}", self.stage.origin(web), self.id);
        self.stage.http.request(method, url).header(RESUMABLE, VERSION)
    }
}

fn reached(response: &Response) -> Option<usize> {
    response.headers().get(OFFSET)?.to_str().ok()?.parse().ok()
}
