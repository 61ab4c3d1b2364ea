//! Chunks with a checksum: kept in a file until they are known to be what was declared.

use std::{str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use tokio::{
    fs::File,
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
};
use tokio_util::io::ReaderStream;
use triton_api::upload::{CHECKED_CHUNK_BYTES_MAX, TUS_CHECKSUM_ALGORITHMS};

use super::TusError;
use crate::{app::App, upload::receive::unless_silent};

/// How much is read from the file at once, in bytes.
const READ_BYTES: usize = 1024 * 1024;

/// The declared checksum of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

/// Reads `Upload-Checksum`: the algorithm, a space, and the digest in base64.
impl FromStr for Checksum {
    type Err = TusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, digest) = text.trim().split_once(' ').unwrap_or((text, ""));
        let (algorithm, len) = match name {
            "sha1" => (Algorithm::Sha1, 20),
            "sha256" => (Algorithm::Sha256, 32),
            _ => {
                let detail = format!("Upload-Checksum names an algorithm that is none of {TUS_CHECKSUM_ALGORITHMS}.");
                return Err(TusError::Header(detail));
            }
        };
        let digest = STANDARD.decode(digest.trim()).ok().filter(|digest| digest.len() == len);
        let unreadable = || TusError::Header(format!("Upload-Checksum has no base64 of {len} bytes."));
        Ok(Self { algorithm, digest: digest.ok_or_else(unreadable)? })
    }
}

enum Hasher {
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Box::default()),
            Algorithm::Sha256 => Self::Sha256(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
        }
    }
}

impl Checksum {
    /// Receives a chunk of at most `bytes_max` bytes into a file and hands it out when it is what was declared.
    ///
    /// The file has no name, so that nothing of it stays after a crash.
    pub(super) async fn verify<S>(
        &self,
        app: &App,
        mut body: S,
        bytes_max: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, TusError>>, TusError>
    where
        S: Stream<Item = Result<Bytes, TusError>> + Unpin + Send,
    {
        let room = Arc::clone(&app.uploads.checked_chunks).try_acquire_owned().map_err(|_| TusError::Busy)?;
        let dir = Arc::clone(&app.work_dir);
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(&*dir)).await;
        let mut file = File::from_std(file.map_err(TusError::Panicked)?.map_err(TusError::Aside)?);
        let (mut hasher, mut len_bytes) = (Hasher::new(self.algorithm), 0);
        while let Some(chunk) = unless_silent(body.next()).await? {
            let chunk = chunk?;
            len_bytes += chunk.len() as u64;
            if len_bytes > bytes_max {
                return Err(TusError::BeyondLength { len_bytes: bytes_max });
            }
            if len_bytes > CHECKED_CHUNK_BYTES_MAX {
                return Err(TusError::CheckedChunkTooLarge);
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(TusError::Aside)?;
        }
        if hasher.finish() != self.digest {
            return Err(TusError::Checksum);
        }
        file.flush().await.map_err(TusError::Aside)?;
        file.rewind().await.map_err(TusError::Aside)?;
        let chunk = ReaderStream::with_capacity(file, READ_BYTES).map_err(TusError::Aside);
        // The room is free again when the file is.
        Ok(chunk.inspect(move |_| _ = &room).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read() {
        assert!("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=".parse::<Checksum>().is_ok());
        for bad in
            ["", "sha1", "sha1 !", "sha1 AAAA", "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0="]
        {
            assert!(matches!(bad.parse::<Checksum>(), Err(TusError::Header(_))), "{bad}");
        }
    }
}
