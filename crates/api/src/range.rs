//! Byte ranges of an immutable content (RFC 9110, section 14), as pure arithmetic.

use std::ops::Range;

/// What a `Range` header asks of a content of a known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeRequest {
    /// No range, several ranges or another unit: answer the whole content (a server may ignore `Range`).
    Whole,
    /// Answer these bytes with 206.
    Part(Range<u64>),
    /// Answer 416.
    Unsatisfiable,
}

/// Resolves a `Range` header's value against a content of `len_bytes`.
pub fn resolve(header: Option<&str>, len_bytes: u64) -> RangeRequest {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else { return RangeRequest::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return RangeRequest::Whole };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    match (first, last) {
        ("", suffix) => match number(suffix) {
            _ if suffix.is_empty() => RangeRequest::Whole,
            None => RangeRequest::Whole,
            Some(0) => RangeRequest::Unsatisfiable,
            Some(_) if len_bytes == 0 => RangeRequest::Unsatisfiable,
            Some(count) => RangeRequest::Part(len_bytes.saturating_sub(count)..len_bytes),
        },
        (first, "") => match number(first) {
            None => RangeRequest::Whole,
            Some(start) if start >= len_bytes => RangeRequest::Unsatisfiable,
            Some(start) => RangeRequest::Part(start..len_bytes),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(start), Some(end)) if start <= end => {
                if start >= len_bytes {
                    RangeRequest::Unsatisfiable
                } else {
                    RangeRequest::Part(start..end.saturating_add(1).min(len_bytes))
                }
            }
            _ => RangeRequest::Whole,
        },
    }
}

/// What a `Range` header's value asks for, where that can be told without the content's length: all but a suffix. The end
/// may lie beyond that of the content; [`resolve`] against the length gives the same part or finds it unsatisfiable.
pub fn absolute(header: &str) -> Option<Range<u64>> {
    match resolve(Some(header), u64::MAX) {
        RangeRequest::Part(part)
            if header.trim().strip_prefix("bytes=").is_some_and(|spec| !spec.trim().starts_with('-')) =>
        {
            Some(part)
        }
        _ => None,
    }
}

/// The value of `Content-Range` for a part of a content of `len_bytes`.
pub fn content_range(part: &Range<u64>, len_bytes: u64) -> String {
    format!("bytes {}-{}/{len_bytes}", part.start, part.end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_a_suffix_is_absolute() {
        assert_eq!(absolute("bytes=0-0"), Some(0..1));
        assert_eq!(absolute("bytes=5-"), Some(5..u64::MAX));
        for other in ["bytes=-5", "bytes= -5", "bytes=1-2,4-5", "bytes=7-6", "lines=1-2", ""] {
            assert_eq!(absolute(other), None, "{other}");
        }
    }

    #[test]
    fn ranges_resolve_as_rfc_9110_says() {
        use RangeRequest::{Part, Unsatisfiable, Whole};
        for (header, expected) in [
            (None, Whole),
            (Some("bytes=0-0"), Part(0..1)),
            (Some("bytes=0-99"), Part(0..10)),
            (Some("bytes=5-"), Part(5..10)),
            (Some("bytes=-3"), Part(7..10)),
            (Some("bytes=-30"), Part(0..10)),
            (Some("bytes=10-"), Unsatisfiable),
            (Some("bytes=10-11"), Unsatisfiable),
            (Some("bytes=-0"), Unsatisfiable),
            (Some("bytes=99999999999999999999-"), Unsatisfiable),
            (Some("bytes=0-99999999999999999999"), Part(0..10)),
            (Some("bytes=3-2"), Whole),
            (Some("bytes=0-1,4-5"), Whole),
            (Some("bytes=-"), Whole),
            (Some("bytes=+1-2"), Whole),
            (Some("lines=1-2"), Whole),
        ] {
            assert_eq!(resolve(header, 10), expected, "{header:?}");
        }
        assert_eq!(resolve(Some("bytes=0-"), 0), Unsatisfiable);
    }
}
