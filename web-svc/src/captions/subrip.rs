//! `SubRip`: numbers, times, texts.

use super::{
    CaptionError, Cue,
    clock::{Timing, is_timing},
    markup::payload,
};

/// The cues of a `SubRip` file, in the order of their beginnings; without those that show nothing.
///
/// A text goes on to the next line with times, less the number before that: texts with empty lines occur, and so do files
/// without empty lines and without numbers.
pub(super) fn parse(text: &str) -> Result<Vec<Cue>, CaptionError> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| lines.get(at).is_some_and(|line| is_timing(line))).collect();
    let first = starts.first().copied().unwrap_or(lines.len());
    check_head(lines.get(..first).unwrap_or_default(), starts.is_empty())?;
    let mut cues = Vec::with_capacity(starts.len());
    for (number, &at) in starts.iter().enumerate() {
        let line = lines.get(at).copied().unwrap_or_default();
        let Timing { start_ms, end_ms, .. } =
            Timing::parse(line).map_err(|what| CaptionError::Line { line: at + 1, what })?;
        let end = starts.get(number + 1).copied();
        let text = lines.get(at + 1..end.unwrap_or(lines.len())).unwrap_or_default();
        let payload = payload(if end.is_some() { without_number(text) } else { text });
        if start_ms < end_ms && !payload.is_empty() {
            cues.push(Cue { start_ms, end_ms, payload });
        }
    }
    cues.sort_by_key(|cue| cue.start_ms);
    Ok(cues)
}

/// Before the first times there is a number at most.
fn check_head(head: &[&str], is_all: bool) -> Result<(), CaptionError> {
    let stray = head.iter().position(|line| !line.trim().is_empty() && !is_number(line));
    match stray {
        Some(_) if is_all => Err(CaptionError::NoCues),
        Some(at) => {
            let what =
                "a SubRip file begins with a number and times. Take this line out, or begin the file with `WEBVTT`.";
            Err(CaptionError::Line { line: at + 1, what })
        }
        None => Ok(()),
    }
}

/// The text of a cue without the number of the next one.
fn without_number<'a>(text: &'a [&'a str]) -> &'a [&'a str] {
    match text {
        [before @ .., last] if is_number(last) => before,
        _ => text,
    }
}

fn is_number(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}
