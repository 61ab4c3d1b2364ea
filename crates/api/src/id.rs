//! Identifiers as types: private fields, fallible parsing, one textual form each.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};
use uuid::Uuid;

/// Why a text is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        // An id in an error is for a person: a megabyte of it helps nobody.
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// Serializes an id as its `Display` text and reads it back through `FromStr`; documents it as a patterned string.
macro_rules! textual {
    ($name:ident, $description:literal, $example:literal $(, format = $format:expr)? $(, pattern = $pattern:literal)?) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .examples([$example])
                    $(.format(Some(SchemaFormat::KnownFormat($format))))?
                    $(.pattern(Some($pattern)))?
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}
pub(crate) use textual;

/// A video: a UUIDv7 written as 22 characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VideoId(Uuid);

impl VideoId {
    /// A new id; ids made later compare greater.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for VideoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for VideoId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new(text, "a video id (22 characters of A-Z, a-z, 0-9, - and _)");
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok()).ok_or_else(error)?;
        Ok(Self(Uuid::from_bytes(bytes)))
    }
}

textual!(
    VideoId,
    "A video id: a UUIDv7 as 22 characters of URL-safe base64.",
    "AZqxJ2QkcYuS5T3mVb0aXw",
    pattern = "^[A-Za-z0-9_-]{22}$"
);

/// A storage node, for its whole life; written into its data directory when that is first used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Uuid);

impl NodeId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// An id with the given bits, for deterministic tests.
    pub fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError::new(text, "a node id (a UUID)"))
    }
}

textual!(NodeId, "A storage node's UUID.", "5b7bcdcb-9f13-4a2b-9a39-0f7b9c1d2e3f", format = KnownFormat::Uuid);

/// Where a storage node answers: `http://host:port`, no path, no trailing slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeUrl(String);

impl NodeUrl {
    /// The URL of `path`, which begins with a slash, on this node.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The text, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `host` or `host:port`.
    pub(crate) fn authority(&self) -> &str {
        self.0.strip_prefix("http://").unwrap_or(&self.0)
    }

    /// Whether it is an address that only the node's own machine can reach.
    pub fn is_loopback(&self) -> bool {
        let host = url::Url::parse(&self.0);
        host.is_ok_and(|url| match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        })
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeUrl {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new(text, "the URL of a node (http://HOST:PORT)");
        let url = url::Url::parse(text).map_err(|_| error())?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "http" || url.host_str().is_none() || !plain || !anonymous {
            return Err(error());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

textual!(NodeUrl, "Where a storage node answers.", "http://127.0.0.1:8091", format = KnownFormat::Uri);

/// Numbers that stay numbers on the wire.
macro_rules! numeric {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| ParseIdError::new(text, "a whole number in range"))
            }
        }
    };
}

numeric!(
    /// The version of the layout: grows by one with each committed change.
    Epoch(u64)
);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

numeric!(
    /// A partition of the key space, from 0 to P - 1.
    PartitionId(u16)
);

numeric!(
    /// One run of the transcode of a video; a re-transcode writes a new generation.
    Generation(u32)
);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_id_has_one_textual_form() {
        let id = VideoId::generate();
        let text = id.to_string();
        assert_eq!(text.len(), 22);
        assert_eq!(text.parse(), Ok(id));
        assert!(format!("{text}=").parse::<VideoId>().is_err());
        // The last character carries two bits only: a sloppy decoder would take four texts for one id.
        assert!("AAAAAAAAAAAAAAAAAAAAAB".parse::<VideoId>().is_err());
    }

    #[test]
    fn node_url_is_an_origin() {
        assert_eq!("http://localhost:80/".parse::<NodeUrl>().unwrap().as_str(), "http://localhost");
        for bad in ["localhost:8090", "https://a", "http://a/b", "http://u:p@a", "http://a?x", "file:///etc/passwd"] {
            assert!(bad.parse::<NodeUrl>().is_err(), "{bad:?} was taken");
        }
    }
}
