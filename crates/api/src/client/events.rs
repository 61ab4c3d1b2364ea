//! Server-sent events, as the WHATWG HTML standard defines them, as far as our own server uses them.

use std::time::Duration;

use reqwest::Response;

use super::ClientError;
use crate::video::VideoEvent;

/// The longest silence; the server sends a comment every 15 s to keep the line open.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest event, in bytes.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The events of one video.
#[derive(Debug)]
pub struct VideoEvents {
    url: String,
    response: Response,
    buffer: Vec<u8>,
}

impl VideoEvents {
    pub(super) fn new(url: String, response: Response) -> Self {
        Self { url, response, buffer: Vec::new() }
    }

    /// The next event; none when the server has ended the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event: what has arrived stays in the buffer.
    pub async fn next(&mut self) -> Result<Option<VideoEvent>, ClientError> {
        loop {
            if let Some(block) = take_block(&mut self.buffer) {
                match data_of(&block) {
                    Some(data) => return serde_json::from_str(&data).map(Some).map_err(|_| self.unexpected()),
                    // A comment, or an event of another name.
                    None => continue,
                }
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(self.unexpected());
            }
            let chunk = tokio::time::timeout(SILENCE_TIMEOUT, self.response.chunk())
                .await
                .map_err(|_| ClientError::Timeout { url: self.url.clone() })?
                .map_err(|error| ClientError::transport(&self.url, &error))?;
            match chunk {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }

    fn unexpected(&self) -> ClientError {
        ClientError::Unexpected { url: self.url.clone(), status: self.response.status() }
    }
}

/// Takes what stands before the first empty line.
fn take_block(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block: Vec<u8> = buffer.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The data of a `video` event.
fn data_of(block: &str) -> Option<String> {
    let values = |field: &'static str| {
        let rest = block.lines().filter_map(move |line| line.strip_prefix(field)?.strip_prefix(':'));
        rest.map(|value| value.strip_prefix(' ').unwrap_or(value))
    };
    if values("event").next_back()? != "video" {
        return None;
    }
    let data: Vec<&str> = values("data").collect();
    (!data.is_empty()).then(|| data.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_at_empty_lines() {
        let mut buffer = b": hello\n\nevent: video\ndata: {\ndata:}\nid: 1\n\nevent: video\nda".to_vec();
        let blocks: Vec<_> = std::iter::from_fn(|| take_block(&mut buffer)).map(|block| data_of(&block)).collect();
        assert_eq!(blocks, [None, Some("{\n}".to_owned())]);
        assert_eq!(buffer, b"event: video\nda", "the rest waits for more");
        assert_eq!(data_of("event: other\ndata: x\n\n"), None);
        assert_eq!(data_of("data: x\n\n"), None);
    }
}
