//! Quantities as people read them.

use triton_api::id::ParseIdError;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `1.4 GiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if value < 9.95 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// `2:05`, `1:02:03`.
pub(crate) fn clock(duration_ms: u64) -> String {
    let seconds = duration_ms.saturating_add(500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `40 s`, `5 min`, `3 h 20 min`.
pub(crate) fn remaining(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `37%`, of a fraction from 0 to 1.
pub(crate) fn percent(fraction: f32) -> String {
    format!("{:.0}%", f64::from(fraction) * 100.0)
}

/// Parses an id for clap, whose own message for it would only say "invalid value".
pub(crate) fn id<T: std::str::FromStr<Err = ParseIdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseIdError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_two_digits_and_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_200, "10 KiB"),
            (1_048_575, "1.0 MiB"),
            (5_000_000_000, "4.7 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_read_like_a_clock_or_like_words() {
        assert_eq!([clock(0), clock(5_501), clock(3_723_400)], ["0:00", "0:06", "1:02:03"]);
        assert_eq!([remaining(40), remaining(290), remaining(12_000)], ["40 s", "5 min", "3 h 20 min"]);
        assert_eq!(percent(0.374), "37%");
    }
}
