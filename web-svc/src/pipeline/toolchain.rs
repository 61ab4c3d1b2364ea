//! Which ffmpeg there is and what it can do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::PipelineError;
use super::run::{Invocation, capture};

/// Listing what ffmpeg can do takes a fraction of a second.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);
const ASK_BYTES_MAX: usize = 1024 * 1024;

/// The programs that the pipeline runs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    pub(super) ffmpeg: PathBuf,
    pub(super) ffprobe: PathBuf,
    /// util-linux's `prlimit`, which sets resource limits before it becomes ffmpeg.
    prlimit: Option<PathBuf>,
    /// Whether the `zscale` and `tonemap` filters are there, for high dynamic range.
    pub(super) tone_mapping: bool,
    version: String,
}

/// Resource limits of a child process, enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Address space in bytes.
    pub memory_bytes_max: u64,
    /// Size in bytes of any file written.
    pub file_bytes_max: u64,
    /// Processor time.
    pub cpu_time_max: Duration,
}

impl Toolchain {
    /// Finds `ffmpeg` and `ffprobe` (names looked up in `PATH`, or paths) and asks what they can do.
    ///
    /// # Errors
    /// [`PipelineError::Environment`] when one is missing or lacks the `libx264` or `aac` encoder.
    pub async fn detect(ffmpeg: &Path, ffprobe: &Path) -> Result<Self, PipelineError> {
        let version = ask(ffmpeg, &["-hide_banner", "-version"]).await?;
        ask(ffprobe, &["-hide_banner", "-version"]).await?;
        let encoders = ask(ffmpeg, &["-hide_banner", "-encoders"]).await?;
        for encoder in ["libx264", "aac", "mjpeg"] {
            if !lists(&encoders, encoder) {
                return Err(PipelineError::Environment(format!("{} has no {encoder} encoder", ffmpeg.display())));
            }
        }
        let filters = ask(ffmpeg, &["-hide_banner", "-filters"]).await?;
        let prlimit = Path::new("prlimit");
        let prlimit = ask(prlimit, &["--version"]).await.is_ok().then(|| prlimit.to_owned());
        Ok(Self {
            ffmpeg: ffmpeg.to_owned(),
            ffprobe: ffprobe.to_owned(),
            prlimit,
            tone_mapping: lists(&filters, "zscale") && lists(&filters, "tonemap"),
            version: version.lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// The first line of `ffmpeg -version`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether children run under [`ProcessLimits`].
    pub fn enforces_limits(&self) -> bool {
        self.prlimit.is_some()
    }

    /// The program and arguments that run `program` under `limits`, where that is possible.
    pub(super) fn limited(
        &self,
        program: &Path,
        limits: &ProcessLimits,
        arguments: Vec<OsString>,
    ) -> (PathBuf, Vec<OsString>) {
        let Some(prlimit) = &self.prlimit else { return (program.to_owned(), arguments) };
        let mut all: Vec<OsString> = vec![
            format!("--as={}", limits.memory_bytes_max).into(),
            format!("--fsize={}", limits.file_bytes_max).into(),
            format!("--cpu={}", limits.cpu_time_max.as_secs().max(1)).into(),
            "--nofile=256".into(),
            "--core=0".into(),
            "--".into(),
            program.into(),
        ];
        all.extend(arguments);
        (prlimit.clone(), all)
    }
}

/// Whether a table of ffmpeg's has `name` in its second column.
fn lists(table: &str, name: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(name))
}

async fn ask(program: &Path, arguments: &[&str]) -> Result<String, PipelineError> {
    let invocation = Invocation {
        program: program.to_owned(),
        arguments: arguments.iter().map(Into::into).collect(),
        directory: std::env::temp_dir(),
        wall_time_max: ASK_TIME_MAX,
        stall_time_max: ASK_TIME_MAX,
        heartbeat: None,
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
        let error = Toolchain::detect(Path::new("/nowhere/ffmpeg"), Path::new("ffprobe")).await.unwrap_err();
        assert!(matches!(&error, PipelineError::Environment(text) if text.contains("/nowhere/ffmpeg")), "{error}");
    }

    #[test]
    fn a_name_counts_only_in_its_column() {
        assert!(lists(" V..... libx264   H.264\n", "libx264"));
        assert!(!lists(" V..... libx264rgb   uses libx264\n", "libx264"));
    }
}
