//! The times of a cue, as `SubRip` and `WebVTT` write them.

use std::fmt;

/// A line with times, and what `WebVTT` says behind them about the place of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing<'a> {
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) settings: &'a str,
}

pub(super) const ARROW: &str = "-->";
const UNREADABLE: &str = "the times are not readable. They look like `00:00:01,000 --> 00:00:04,000`.";
const BACKWARDS: &str = "the caption ends before it begins.";

impl<'a> Timing<'a> {
    /// The times of a line that has an arrow; in words, what is wrong with them.
    pub(super) fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (start, rest) = line.split_once(ARROW).ok_or(UNREADABLE)?;
        let rest = rest.trim();
        let (end, settings) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let time = |text| milliseconds(text).ok_or(UNREADABLE);
        let timing = Self { start_ms: time(start.trim())?, end_ms: time(end)?, settings: settings.trim() };
        if timing.end_ms < timing.start_ms { Err(BACKWARDS) } else { Ok(timing) }
    }
}

/// Whether a line is meant to have times: an arrow may also stand in a text.
pub(super) fn is_timing(line: &str) -> bool {
    let before = line.split_once(ARROW).map(|(before, _)| before.trim());
    before.is_some_and(|before| {
        before.starts_with(|first: char| first.is_ascii_digit())
            && before.chars().all(|c| c.is_ascii_digit() || c.is_whitespace() || matches!(c, ':' | ',' | '.' | '-'))
    })
}

/// `01:02:03,004`, `02:03.004`, `2:03`.
fn milliseconds(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once([',', '.']).unwrap_or((text, "0"));
    let fraction_ms = match fraction.len() {
        1..=3 => number(fraction, 3)? * 10_u64.pow(3 - u32::try_from(fraction.len()).ok()?),
        _ => return None,
    };
    let mut parts = clock.rsplit(':');
    let (seconds, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let hours = parts.next().map_or(Some(0), |hours| number(hours, 4))?;
    if seconds > 59 || minutes > 59 || parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction_ms)
}

fn number(text: &str, digits_max: usize) -> Option<u64> {
    let plain = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// A time as `WebVTT` wants it.
pub(super) struct Clock(pub(super) u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        write!(f, "{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_files_have() {
        let times = |line| Timing::parse(line).map(|timing| (timing.start_ms, timing.end_ms));
        assert_eq!(times("00:00:01,000 --> 00:00:04,250"), Ok((1000, 4250)));
        assert_eq!(times("0:00:01.5-->100:00:00.05"), Ok((1500, 360_000_050)));
        assert_eq!(times("  01:02.003 -->  01:03 "), Ok((62_003, 63_000)));
        let placed = Timing::parse("00:01.000 --> 00:02.000 line:0  align:start").unwrap();
        assert_eq!(placed.settings, "line:0  align:start");
        for bad in
            ["1 --> 2", "00:00:61,000 --> 00:02:00,000", "00:00:01,0000 --> 00:00:02,000", "00:01 -->", " --> ", "a"]
        {
            assert_eq!(times(bad), Err(UNREADABLE), "{bad}");
        }
        assert_eq!(times("00:00:02,000 --> 00:00:01,000"), Err(BACKWARDS));
    }

    #[test]
    fn an_arrow_in_a_text_is_no_time() {
        assert!(is_timing("00:01 --> nonsense") && is_timing("00:00:01,000 --> 00:00:02,000"));
        assert!(!is_timing("left --> right") && !is_timing("--> 3") && !is_timing("12:30"));
    }

    proptest! {
        #[test]
        fn a_written_time_is_read_back(ms in 0_u64..400 * 3_600_000) {
            prop_assert_eq!(milliseconds(&Clock(ms).to_string()), Some(ms));
        }
    }
}
