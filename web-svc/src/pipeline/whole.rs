//! Whether an MP4 is all there: its top-level boxes say how long they are (ISO/IEC 14496-12, section 4.2).
//!
//! ffmpeg plays a file whose index comes first and whose pictures are cut off, and a video would silently end too early.

use std::time::Duration;

use super::Pipeline;
use super::error::{PipelineError, SourceFault};
use super::sniff::Demuxer;
use super::source::Source;

const OPERATION: &str = "look for the file's end";
/// Box heads looked at. Fragmented files have thousands of boxes, and those play up to where they end.
const BOXES_MAX: usize = 64;
/// A box head with a 64-bit length.
const HEAD_BYTES: u64 = 16;

/// What is known after one box head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next box begins here.
    Box(u64),
    /// The file ends where it should, or nobody can tell.
    End,
    /// The box should end here, beyond the file's end.
    Missing(u64),
}

/// Where the box whose head is `head` leads, in a file of `file_bytes`.
pub(super) fn next(at: u64, head: &[u8], file_bytes: u64) -> Next {
    let number = |range: std::ops::Range<usize>| {
        head.get(range).map(|bytes| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let len_bytes = match number(0..4) {
        // "To the end of the file".
        Some(0) => return Next::End,
        Some(1) => number(8..16),
        short => short,
    };
    match len_bytes.map(|len_bytes| (len_bytes, at.saturating_add(len_bytes))) {
        Some((_, end)) if end > file_bytes => Next::Missing(end),
        Some((_, end)) if end == file_bytes => Next::End,
        Some((len_bytes, end)) if len_bytes >= 8 => Next::Box(end),
        // Rubbish after the last box, which players ignore.
        _ => Next::End,
    }
}

impl Pipeline {
    /// Refuses an MP4 that was cut off.
    ///
    /// # Errors
    /// [`SourceFault::Damaged`] where the file ends before its last box does.
    pub(super) async fn check_whole(&self, source: &Source, demuxer: Demuxer) -> Result<(), PipelineError> {
        if demuxer != Demuxer::Mov {
            return Ok(());
        }
        let mut at = 0;
        for _ in 0..BOXES_MAX {
            let Some((head, file_bytes)) = self.box_head(source, at).await? else { return Ok(()) };
            match next(at, &head, file_bytes) {
                Next::Box(next) => at = next,
                Next::End => return Ok(()),
                Next::Missing(end) => {
                    let detail =
                        format!("it has {file_bytes} bytes and should have at least {end}. Upload the whole file");
                    return Err(SourceFault::Damaged { container: demuxer, detail }.into());
                }
            }
        }
        Ok(())
    }

    /// The first bytes of the box at `at`, with the length of the file; `None` where it has ended.
    pub(super) async fn box_head(&self, source: &Source, at: u64) -> Result<Option<(Vec<u8>, u64)>, PipelineError> {
        let failed = |error: reqwest::Error| PipelineError::transient(OPERATION, error.without_url());
        let range = format!("bytes={at}-{}", at + HEAD_BYTES - 1);
        let request = self.http.get(source.url().clone()).header(http::header::RANGE, range);
        let response = request.timeout(Duration::from_secs(60)).send().await.map_err(failed)?;
        if response.status() != http::StatusCode::PARTIAL_CONTENT {
            return Ok(None);
        }
        let total = response.headers().get(http::header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let total = total.and_then(|range| range.rsplit('/').next()?.parse().ok());
        let Some(total) = total else { return Ok(None) };
        Ok(Some((response.bytes().await.map_err(failed)?.to_vec(), total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_leads_to_the_next_one_or_beyond_the_end() {
        let short = [0, 0, 0, 24, b'f', b't', b'y', b'p', 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(next(0, &short, 100), Next::Box(24));
        assert_eq!(next(76, &short, 100), Next::End);
        assert_eq!(next(77, &short, 100), Next::Missing(101));
        let long = [0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(next(10, &long, 1 << 33), Next::Box((1 << 32) + 10));
        assert_eq!(next(10, &long, 1 << 32), Next::Missing((1 << 32) + 10));
        assert_eq!(next(0, &[0; 16], 100), Next::End);
        assert_eq!(next(90, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0], 100), Next::End);
        assert_eq!(next(98, &[0, 0], 100), Next::End);
    }
}
