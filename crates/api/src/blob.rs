//! What a blob is called, and what it contains.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::id::{ParseIdError, textual};

/// The key of an immutable blob: `[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*`, no `.` or `..` part, at most 512 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey(String);

/// The longest key, in bytes.
pub const BLOB_KEY_BYTES_MAX: usize = 512;

impl BlobKey {
    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part_is_good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if text.len() > BLOB_KEY_BYTES_MAX || !text.split('/').all(part_is_good) {
            return Err(ParseIdError::new(
                text,
                "a blob key (parts of A-Z a-z 0-9 . _ - joined by /, no `.` or `..` part, at most 512 bytes)",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

textual!(
    BlobKey,
    "A blob key: parts of `A-Za-z0-9._-` joined by `/`, no `.` or `..` part, at most 512 bytes.",
    "v/AZqxJ2QkcYuS5T3mVb0aXw/1/720p/seg-00001.m4s",
    pattern = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"
);

/// The BLAKE3 hash of a blob's whole content, as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash([u8; 32]);

impl BlobHash {
    /// The hash of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for BlobHash {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl From<blake3::Hash> for BlobHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for BlobHash {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)
            .map_err(|_| ParseIdError::new(text, "a BLAKE3 hash (64 hexadecimal digits)"))?;
        Ok(Self(digest))
    }
}

textual!(
    BlobHash,
    "A BLAKE3 hash as 64 hexadecimal digits.",
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    pattern = "^[0-9a-f]{64}$"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blob_key_refuses_what_could_leave_its_directory() {
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/.", "a\\b", "a b", "ä", "a\0", "a%2fb"] {
            assert!(bad.parse::<BlobKey>().is_err(), "{bad:?} was taken");
        }
        assert!("a".repeat(512).parse::<BlobKey>().is_ok());
        assert!("a".repeat(513).parse::<BlobKey>().is_err());
        assert!("...".parse::<BlobKey>().is_ok());
    }

    proptest! {
        #[test]
        fn good_keys_round_trip(key in "[A-Za-z0-9_-]{1,40}(/[A-Za-z0-9_-]{1,40}){0,4}") {
            let parsed: BlobKey = key.parse().unwrap();
            prop_assert_eq!(parsed.to_string(), key);
        }
    }
}
