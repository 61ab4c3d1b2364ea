//! `tritonctl metadata import`: checks the whole file, then sends it.

use std::{
    io::{self, SeekFrom},
    os::fd::AsFd as _,
    path::Path,
};

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Body;
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt, BufReader},
};
use tokio_util::io::ReaderStream;
use triton_api::metadata::{ImportQuery, MetadataImport, Reader};

use crate::{failure::Failure, session::Session};

/// What is read from disk and sent at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

pub(crate) async fn run(session: &Session, path: &Path, query: &ImportQuery) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::Failed(format!("Cannot read {}: {error}.", path.display()));
    let mut file = if super::is_standard_stream(path) {
        keep_standard_input().await.map_err(unreadable)?
    } else {
        File::open(path).await.map_err(unreadable)?
    };
    check(&mut file).await.map_err(|reason| Failure::Failed(format!("{}: {reason}", path.display())))?;
    file.seek(SeekFrom::Start(0)).await.map_err(unreadable)?;
    let bytes = file.metadata().await.map_err(unreadable)?.len();
    let bar = bar(bytes);
    let content = ReaderStream::with_capacity(bar.wrap_async_read(file), CHUNK_BYTES);
    let sent = session.client.import_metadata(query, Body::wrap_stream(content)).await;
    bar.finish_and_clear();
    session.output.show(&sent?, render)
}

/// Standard input can be read only once, but the file is read twice.
async fn keep_standard_input() -> io::Result<File> {
    let mut file = File::from_std(tempfile::tempfile()?);
    let mut input = File::from_std(io::stdin().as_fd().try_clone_to_owned()?.into());
    tokio::io::copy(&mut input, &mut file).await?;
    file.flush().await?;
    file.seek(SeekFrom::Start(0)).await?;
    Ok(file)
}

async fn check(file: &mut File) -> Result<(), triton_api::metadata::MetadataFileError> {
    let bar = super::spinner("Checking");
    let (_, mut reader) = Reader::open(BufReader::with_capacity(CHUNK_BYTES, file)).await?;
    while reader.next().await?.is_some() {
        bar.set_position(reader.records());
    }
    bar.finish_and_clear();
    Ok(())
}

fn bar(bytes: u64) -> ProgressBar {
    let template = "Importing [{bar:24}] {binary_bytes} of {binary_total_bytes}, {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("=> "))
}

fn render(report: &MetadataImport) -> String {
    let MetadataImport { imported, skipped, nodes_added } = *report;
    let present = if skipped > 0 { format!("; {skipped} were here already") } else { String::new() };
    let counted = format!("Imported {imported} records{present}.");
    if nodes_added == 0 {
        return counted;
    }
    format!(
        "{counted}\nStorage nodes that came along: {nodes_added}. Everything plays from them at once, and moves to the nodes \
         here by itself. When `tritonctl node list` shows 0 blobs for one of them, `tritonctl node remove` takes it out."
    )
}
