//! `WebVTT` as people send it: its times are checked, the rest stays.

use super::{
    CaptionError,
    clock::{ARROW, Clock, Timing},
};

const SIGNATURE: &str = "WEBVTT";
/// A header of segments cut for HLS: it would move the times of a file that is whole.
const TIMESTAMP_MAP: &str = "X-TIMESTAMP-MAP";

/// Whether the first line says so.
pub(super) fn is_webvtt(text: &str) -> bool {
    let rest = text.lines().next().and_then(|line| line.strip_prefix(SIGNATURE));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// The same file with times in their full form. What the standard's parser would silently leave out is an error here.
pub(super) fn normalise(text: &str) -> Result<String, CaptionError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = blocks(&lines);
    let mut out = String::with_capacity(text.len() + 64);
    let mut cues = 0;
    if let Some((_, head)) = blocks.next() {
        for line in head.iter().filter(|line| !line.starts_with(TIMESTAMP_MAP)) {
            push(&mut out, line);
        }
    }
    for (first, block) in blocks {
        out.push('\n');
        cues += usize::from(push_block(&mut out, first, block)?);
    }
    if cues == 0 { Err(CaptionError::NoCues) } else { Ok(out) }
}

/// The parts between empty lines, each with the number of its first line. What follows the head without an empty line
/// is a part of its own if it has times.
fn blocks<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a [&'a str])> {
    let head = lines.iter().position(|line| line.is_empty() || line.contains(ARROW)).unwrap_or(lines.len());
    let (head, body) = lines.split_at(head);
    let first = head.len() + 1;
    let parts = body.split(|line| line.is_empty()).scan(first, |next, part| {
        let number = *next;
        *next += part.len() + 1;
        Some((number, part))
    });
    std::iter::once((1, head)).chain(parts.filter(|(_, part)| !part.is_empty()))
}

/// Writes a block; whether it is a cue.
fn push_block(out: &mut String, first: usize, block: &[&str]) -> Result<bool, CaptionError> {
    let Some(at) = block.iter().take(2).position(|line| line.contains(ARROW)) else {
        return push_other(out, first, block).map(|()| false);
    };
    let (before, rest) = block.split_at(at);
    let (timing, text) = rest.split_first().unwrap_or((&"", &[]));
    let bad = |line: usize, what: &'static str| CaptionError::Line { line, what };
    let Timing { start_ms, end_ms, settings } = Timing::parse(timing).map_err(|what| bad(first + at, what))?;
    if let Some(stray) = text.iter().position(|line| line.contains(ARROW)) {
        return Err(bad(first + at + 1 + stray, "an empty line is missing before this caption."));
    }
    push_all(out, before);
    push(out, format!("{} {ARROW} {} {settings}", Clock(start_ms), Clock(end_ms)).trim_end());
    push_all(out, text);
    Ok(true)
}

/// Writes a block that is no cue: a comment, a style, a region.
fn push_other(out: &mut String, first: usize, block: &[&str]) -> Result<(), CaptionError> {
    let name = block.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
    if !matches!(name, "NOTE" | "STYLE" | "REGION") {
        let what =
            "there are no times here. A caption has its times in its first or second line, and no empty line inside.";
        return Err(CaptionError::Line { line: first, what });
    }
    push_all(out, block);
    Ok(())
}

fn push_all(out: &mut String, lines: &[&str]) {
    for line in lines {
        push(out, line);
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}
