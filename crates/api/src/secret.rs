//! The cluster secret: how services recognise each other.
//!
//! A request carries a keyed BLAKE3 MAC over method, path with query, time and a nonce; the secret itself never travels.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use thiserror::Error;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "triton-signature";

/// How far the clocks of two services may differ, in seconds.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 300;

/// The fewest characters of a secret.
pub const SECRET_CHARS_MIN: usize = 16;

/// The key that all services of one cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret([u8; 32]);

/// The secret is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a cluster secret has at least {SECRET_CHARS_MIN} characters; `openssl rand -hex 32` makes a good one")]
pub struct WeakSecretError;

impl FromStr for ClusterSecret {
    type Err = WeakSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.chars().count() < SECRET_CHARS_MIN {
            return Err(WeakSecretError);
        }
        Ok(Self(blake3::derive_key("tritontube 2026-11 cluster request signature", text.as_bytes())))
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

/// Why a request's signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The header is absent or not of the form `seconds.nonce.mac`.
    #[error("the request is not signed with the cluster secret")]
    Missing,
    /// Signed with another secret, or for another request.
    #[error("the request's signature is wrong: is TRITON_CLUSTER_SECRET the same on both sides?")]
    Wrong,
    /// Signed too long ago, or by a clock that is off.
    #[error("the request's signature is too old or from the future: do the clocks agree?")]
    Stale,
}

impl ClusterSecret {
    /// The value of [`SIGNATURE_HEADER`] for a request; `target` is the path with its query.
    pub fn sign(&self, method: &str, target: &str, now: Timestamp) -> String {
        let (seconds, nonce) = (now.as_second(), uuid::Uuid::new_v4().simple().to_string());
        let mac = self.mac(method, target, seconds, &nonce);
        format!("{seconds}.{nonce}.{}", mac.to_hex())
    }

    /// Checks a signature; the MACs are compared in constant time.
    pub fn verify(
        &self,
        method: &str,
        target: &str,
        header: Option<&str>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let mut parts = header.ok_or(SignatureError::Missing)?.splitn(3, '.');
        let (Some(seconds), Some(nonce), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SignatureError::Missing);
        };
        let seconds: i64 = seconds.parse().map_err(|_| SignatureError::Missing)?;
        let mac = blake3::Hash::from_hex(mac).map_err(|_| SignatureError::Missing)?;
        if self.mac(method, target, seconds, nonce) != mac {
            return Err(SignatureError::Wrong);
        }
        if (now.as_second() - seconds).abs() > CLOCK_SKEW_SECONDS_MAX {
            return Err(SignatureError::Stale);
        }
        Ok(())
    }

    fn mac(&self, method: &str, target: &str, seconds: i64, nonce: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [method, target, &seconds.to_string(), nonce] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_holds_for_one_request_for_a_while() {
        let secret: ClusterSecret = "correct horse battery".parse().unwrap();
        let now = Timestamp::now();
        let header = secret.sign("PUT", "/v1/blobs/a", now);
        let check = |secret: &ClusterSecret, method, target, at| secret.verify(method, target, Some(&header), at);
        assert_eq!(check(&secret, "PUT", "/v1/blobs/a", now), Ok(()));
        assert_eq!(check(&secret, "GET", "/v1/blobs/a", now), Err(SignatureError::Wrong));
        assert_eq!(check(&secret, "PUT", "/v1/blobs/b", now), Err(SignatureError::Wrong));
        let later = Timestamp::from_second(now.as_second() + CLOCK_SKEW_SECONDS_MAX + 1).unwrap();
        assert_eq!(check(&secret, "PUT", "/v1/blobs/a", later), Err(SignatureError::Stale));
        let other: ClusterSecret = "another secret, as long".parse().unwrap();
        assert_eq!(check(&other, "PUT", "/v1/blobs/a", now), Err(SignatureError::Wrong));
        assert_eq!(secret.verify("PUT", "/", None, now), Err(SignatureError::Missing));
    }

    #[test]
    fn short_secret_is_refused() {
        assert_eq!("short".parse::<ClusterSecret>(), Err(WeakSecretError));
    }
}
