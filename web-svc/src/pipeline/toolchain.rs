//! Which ffmpeg there is and what it can do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::PipelineError;
use super::run::{Invocation, capture};
use super::waves;
use crate::sandbox::{Policy, ProcessLimits, Sandbox};

/// Listing what ffmpeg can do takes a fraction of a second.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);
const ASK_BYTES_MAX: usize = 1024 * 1024;

/// The programs that the pipeline runs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    pub(super) ffmpeg: PathBuf,
    pub(super) ffprobe: PathBuf,
    /// Whether the `zscale` and `tonemap` filters are there, for high dynamic range.
    pub(super) tone_mapping: bool,
    /// Whether the `libsvtav1` encoder is there, for renditions in AV1.
    pub(super) av1: bool,
    /// By how many pictures it draws sound too late.
    pub(super) waves_late: usize,
    version: String,
}

impl Toolchain {
    /// Finds `ffmpeg` and `ffprobe` (names looked up in `PATH`, or paths) and asks what they can do.
    ///
    /// # Errors
    /// [`PipelineError::Environment`] when one is missing or lacks the `libx264` or `aac` encoder.
    pub async fn detect(ffmpeg: &Path, ffprobe: &Path, sandbox: &Sandbox) -> Result<Self, PipelineError> {
        let ask = async |program, arguments: &[&str]| ask(sandbox, program, arguments).await;
        let version = ask(ffmpeg, &["-hide_banner", "-version"]).await?;
        ask(ffprobe, &["-hide_banner", "-version"]).await?;
        let encoders = ask(ffmpeg, &["-hide_banner", "-encoders"]).await?;
        for encoder in ["libx264", "aac", "mjpeg"] {
            if !lists(&encoders, encoder) {
                return Err(PipelineError::Environment(format!("{} has no {encoder} encoder", ffmpeg.display())));
            }
        }
        let filters = ask(ffmpeg, &["-hide_banner", "-filters"]).await?;
        let trial = waves::trial();
        let drawn = ask(ffmpeg, &trial.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap_or_else(|error| {
            // A small build of ffmpeg may lack what draws; it does for everything that has pictures.
            tracing::warn!(%error, "files of sound alone cannot be drawn here");
            String::new()
        });
        Ok(Self {
            ffmpeg: ffmpeg.to_owned(),
            ffprobe: ffprobe.to_owned(),
            tone_mapping: lists(&filters, "zscale") && lists(&filters, "tonemap"),
            av1: lists(&encoders, "libsvtav1"),
            waves_late: waves::late(drawn.as_bytes()),
            version: version.lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// Whether renditions in AV1 can be made.
    pub fn has_av1(&self) -> bool {
        self.av1
    }

    /// The first line of `ffmpeg -version`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Whether a table of ffmpeg's has `name` in its second column.
fn lists(table: &str, name: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(name))
}

/// Confined as they will run, so that what their libraries need and are refused is found out at the start.
async fn ask(sandbox: &Sandbox, program: &Path, arguments: &[&str]) -> Result<String, PipelineError> {
    let limits = ProcessLimits { memory_bytes_max: 8 << 30, file_bytes_max: 0, cpu_time_max: ASK_TIME_MAX };
    let policy = Policy { mode: sandbox.mode(), limits, writes: false, connect_port: None };
    let (started, arguments) = sandbox.command(program, policy, arguments.iter().map(Into::into).collect());
    let invocation = Invocation {
        program: started,
        arguments,
        directory: "/".into(),
        wall_time_max: ASK_TIME_MAX,
        stall_time_max: ASK_TIME_MAX,
        heartbeat: None,
        source: None,
    };
    match capture(&invocation, &CancellationToken::new(), ASK_BYTES_MAX).await {
        Ok((output, _)) => Ok(String::from_utf8_lossy(&output).into_owned()),
        Err(error) => Err(PipelineError::Environment(format!("{} does not run: {error}", program.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_ffmpeg_is_the_environments_fault() {
        let error =
            Toolchain::detect(Path::new("/nowhere/ffmpeg"), Path::new("ffprobe"), &Sandbox::none()).await.unwrap_err();
        assert!(matches!(&error, PipelineError::Environment(text) if text.contains("/nowhere/ffmpeg")), "{error}");
    }

    #[test]
    fn a_name_counts_only_in_its_column() {
        assert!(lists(" V..... libx264   H.264\n", "libx264"));
        assert!(!lists(" V..... libx264rgb   uses libx264\n", "libx264"));
    }
}
