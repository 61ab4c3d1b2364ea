//! The imported file while it is looked at: on disk, for it is read more than once before anything of it is written.

use std::{io::SeekFrom, path::Path};

use axum::body::Body;
use futures_util::TryStreamExt;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter},
};
use tokio_util::io::StreamReader;
use triton_api::metadata::{MetadataFileError, MetadataHeader, MetadataTrailer, Reader};

use super::error::ImportError;

/// The longest file: the records of some hundred thousand videos.
const BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// What is read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that was found whole and unaltered. Its space on the disk goes with it.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    pub(super) header: MetadataHeader,
    pub(super) trailer: MetadataTrailer,
}

/// Receives a file and checks it.
pub(super) async fn receive(dir: &Path, body: Body) -> Result<Spool, ImportError> {
    let dir = dir.to_owned();
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await;
    let file = file.map_err(std::io::Error::other).and_then(|file| file).map_err(ImportError::Spool)?;
    let mut file = BufWriter::new(File::from_std(file));
    // One more than allowed, to tell a file of just the largest size from a longer one.
    let source = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other)).take(BYTES_MAX + 1);
    let (header, mut reader) = Reader::open(BufReader::with_capacity(BUFFER_BYTES, source)).await?;
    let mut bytes = keep(&mut file, reader.line()).await?;
    loop {
        let more = match reader.next().await {
            Err(MetadataFileError::Cut { .. }) if bytes + reader.line().len() as u64 > BYTES_MAX => {
                return Err(ImportError::TooLarge { bytes_max: BYTES_MAX });
            }
            next => next?.is_some(),
        };
        bytes += keep(&mut file, reader.line()).await?;
        if !more {
            break;
        }
    }
    let trailer = reader.trailer().cloned().ok_or(MetadataFileError::Cut { records: reader.records() })?;
    file.flush().await.map_err(ImportError::Spool)?;
    Ok(Spool { file: file.into_inner(), header, trailer })
}

async fn keep(file: &mut BufWriter<File>, line: &[u8]) -> Result<u64, ImportError> {
    file.write_all(line).await.map_err(ImportError::Spool)?;
    Ok(line.len() as u64)
}

impl Spool {
    /// The records from the beginning, checked once more on the way.
    pub(super) async fn records(&mut self) -> Result<Reader<BufReader<&mut File>>, ImportError> {
        self.file.seek(SeekFrom::Start(0)).await.map_err(ImportError::Spool)?;
        let (_, reader) = Reader::open(BufReader::with_capacity(BUFFER_BYTES, &mut self.file)).await?;
        Ok(reader)
    }
}
