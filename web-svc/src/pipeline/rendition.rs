//! The names of renditions, which are path segments on the ring and in URLs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a rendition, such as `720p`, `720p-av1` or `audio-1`: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RenditionName(String);

/// Text that is not a rendition name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rendition name is 1 to 32 of a-z, 0-9 and -, not {0:?}")]
pub struct InvalidRenditionName(String);

impl RenditionName {
    /// A name that this crate itself spells.
    pub(super) fn known(name: &'static str) -> Self {
        debug_assert!(name.parse::<Self>().is_ok());
        Self(name.to_owned())
    }

    /// The rendition of the audio track at position `position` in the plan, from 0.
    pub(super) fn audio(position: usize) -> Self {
        Self(format!("audio-{position}"))
    }

    /// The rendition of the extra set that shows the same as the ladder's.
    pub(super) fn in_av1(&self) -> Self {
        Self(format!("{self}-av1"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RenditionName {
    type Err = InvalidRenditionName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRenditionName(text.chars().take(64).collect()))
        }
    }
}

impl From<RenditionName> for String {
    fn from(name: RenditionName) -> Self {
        name.0
    }
}

impl TryFrom<String> for RenditionName {
    type Error = InvalidRenditionName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_parse() {
        assert!("1080p".parse::<RenditionName>().is_ok());
        for bad in ["", "..", "a/b", "A", &"a".repeat(33)] {
            assert!(bad.parse::<RenditionName>().is_err(), "{bad}");
        }
    }
}
