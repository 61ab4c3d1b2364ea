//! One upload as a browser's form or curl sends it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Response, StatusCode, header,
    multipart::{Form, Part},
};
use triton_api::{
    VideoId,
    video::{Video, route},
};

use crate::visit::reason;

/// The longest that an upload of a small clip may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest rest before another attempt, whatever Retry-After says.
const LATER_MAX: Duration = Duration::from_secs(3);

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The service has it for good.
    Acknowledged(VideoId),
    /// It will never take it.
    Refused(String),
    /// It cannot take it now.
    Later(Duration),
    /// Nobody knows whether it has it.
    Unknown,
}

/// Sends a file in a multipart form.
pub(crate) async fn post(http: &reqwest::Client, origin: &str, title: &str, file: Bytes) -> Sent {
    let form = Form::new().text("title", title.to_owned()).part("file", Part::stream(file).file_name("clip.mp4"));
    let sent = http.post(format!("{origin}{}", route::VIDEOS)).timeout(TIMEOUT).multipart(form).send().await;
    let Ok(response) = sent else { return Sent::Unknown };
    if response.status() != StatusCode::ACCEPTED {
        return refusal(response).await;
    }
    // The status is the acknowledgement; without the body the video's address is unknown.
    response.json::<Video>().await.map_or(Sent::Unknown, |video| Sent::Acknowledged(video.id))
}

/// What an answer means that is not the one hoped for.
pub(crate) async fn refusal(response: Response) -> Sent {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.text().await.unwrap_or_else(|error| reason(&error));
    let passing =
        [StatusCode::CONFLICT, StatusCode::LOCKED, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    if status.is_client_error() && !passing.contains(&status) {
        return Sent::Refused(format!("{status} {body}"));
    }
    Sent::Later(Duration::from_secs(retry_after.unwrap_or(1)).min(LATER_MAX))
}
