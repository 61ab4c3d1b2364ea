//! `tritonctl metadata export`: checks what arrives, and leaves a whole file or none.

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt;
use tokio::{
    fs::{self, File},
    io::{AsyncWrite, AsyncWriteExt, BufReader, BufWriter},
};
use tokio_util::io::StreamReader;
use triton_api::metadata::{MetadataFileError, MetadataTrailer, Reader};

use crate::{failure::Failure, session::Session};

pub(crate) async fn run(session: &Session, file: &Path) -> Result<(), Failure> {
    if super::is_standard_stream(file) {
        let mut out = File::from_std(io::stdout().as_fd().try_clone_to_owned()?.into());
        let trailer = receive(session, &mut out, Failure::from).await?;
        session.output.note(&format!("Exported {} records.", trailer.records));
        return Ok(());
    }
    let part = part_of(file);
    let unwritable = |error: io::Error| Failure::Failed(format!("Cannot write {}: {error}.", part.display()));
    let mut out = BufWriter::new(File::create(&part).await.map_err(unwritable)?);
    let received = receive(session, &mut out, unwritable).await;
    let trailer = match received {
        Ok(trailer) => trailer,
        Err(failure) => {
            drop(out);
            fs::remove_file(&part).await.map_err(unwritable)?;
            return Err(failure);
        }
    };
    out.into_inner().sync_all().await.map_err(unwritable)?;
    fs::rename(&part, file).await.map_err(unwritable)?;
    session.output.show(&trailer, |trailer| format!("Exported {} records to {}.", trailer.records, file.display()))
}

/// A file beside the one that is wanted, so that this one is never half an export.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn receive(
    session: &Session,
    out: &mut (impl AsyncWrite + Unpin),
    unwritable: impl Fn(io::Error) -> Failure,
) -> Result<MetadataTrailer, Failure> {
    let lines = session.client.export_metadata().await?.map_err(io::Error::other);
    let bar = super::spinner("Exporting");
    let (_, mut reader) =
        Reader::open(BufReader::new(StreamReader::new(lines))).await.map_err(|error| unusable(&error))?;
    out.write_all(reader.line()).await.map_err(&unwritable)?;
    loop {
        let more = reader.next().await.map_err(|error| unusable(&error))?.is_some();
        out.write_all(reader.line()).await.map_err(&unwritable)?;
        bar.set_position(reader.records());
        if !more {
            break;
        }
    }
    bar.finish_and_clear();
    out.flush().await.map_err(&unwritable)?;
    reader.trailer().cloned().ok_or_else(|| unusable(&MetadataFileError::Cut { records: reader.records() }))
}

fn unusable(error: &MetadataFileError) -> Failure {
    Failure::Failed(format!("The server's export is no good. {error}"))
}
