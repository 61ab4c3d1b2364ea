//! `tritonctl video upload`: streams files from disk and waits until they play.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, multipart::Part};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use triton_api::video::{Video, VideoState};

use crate::{failure::Failure, processing, session::Session, video};

/// What is read from disk and sent at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Uploads one file after the other. The first failure of an upload ends it; a video that cannot be processed does not keep
/// the next file from being sent.
pub(crate) async fn run(session: &Session, files: &[PathBuf], title: Option<&str>, wait: bool) -> Result<(), Failure> {
    if title.is_some() && files.len() > 1 {
        return Err(Failure::Usage("--title is for one file: leave it out, and each file's name is used.".to_owned()));
    }
    let mut failed = Vec::new();
    for path in files {
        let mut video = send(session, path, title).await?;
        if wait {
            video = processing::follow(session, video).await?;
        }
        session.output.show(&video, |video| video::render(session, video))?;
        if video.state == VideoState::Failed {
            let reason = video.reason.as_deref().unwrap_or("the server does not say why");
            failed.push(format!("{}: {reason}", path.display()));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("\n"))) }
}

async fn send(session: &Session, path: &Path, title: Option<&str>) -> Result<Video, Failure> {
    let unreadable = |error: std::io::Error| Failure::Failed(format!("Cannot read {}: {error}.", path.display()));
    let file = File::open(path).await.map_err(unreadable)?;
    let metadata = file.metadata().await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Failure::Failed(format!("{} is not a file.", path.display())));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let bar = bar(metadata.len(), &name);
    let content = Body::wrap_stream(ReaderStream::with_capacity(bar.wrap_async_read(file), CHUNK_BYTES));
    let part = Part::stream_with_length(content, metadata.len()).file_name(name);
    let sent = session.client.upload(title, part).await;
    bar.finish_and_clear();
    Ok(sent?)
}

/// Draws to standard error, and only if that is a terminal.
fn bar(bytes: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template = "{msg} [{bar:24}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> ")).with_message(name.to_owned())
}
