//! Runs ffmpeg and ffprobe: in a process group of their own that dies whole, under limits, with bounded output.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::error::PipelineError;
use super::source::{Break, Source};

/// What is kept of a program's standard error: its last words.
const STDERR_BYTES_MAX: usize = 8 * 1024;
/// How often a silent program is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// One program to run, with everything that bounds it.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    /// The program, and its arguments.
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Its working directory: private, and the only place it writes to.
    pub(super) directory: PathBuf,
    /// Killed after this time in any case.
    pub(super) wall_time_max: Duration,
    /// Killed when neither its output nor `heartbeat` grows for this long.
    pub(super) stall_time_max: Duration,
    /// A file that grows while the program works silently.
    pub(super) heartbeat: Option<PathBuf>,
    /// What it reads, if that is not ours: killed when that breaks, as it would take the end for the whole.
    pub(super) source: Option<Source>,
}

/// Why a program did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("{program} could not be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("its output could not be read: {0}")]
    Read(#[from] io::Error),
    #[error("cancelled")]
    Cancelled,
    #[error("the source could not be read to its end")]
    Broken,
    #[error("it took longer than {} s", .0.as_secs())]
    WallTime(Duration),
    #[error("it made no progress for {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("it wrote more than expected")]
    TooMuchOutput,
    #[error("what it wrote so far is enough")]
    Decided,
    #[error("it ended with {status}: {stderr}")]
    Failed { status: ExitStatus, stderr: String },
}

impl RunError {
    /// The meaning for a task whose source has already been probed: nearly everything is worth another try.
    pub(super) fn during(self, operation: &str) -> PipelineError {
        match self {
            Self::Cancelled => PipelineError::Cancelled,
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                PipelineError::Environment(format!("{operation}: {source}; is ffmpeg installed?"))
            }
            other => PipelineError::transient(operation, other),
        }
    }
}

/// What to do with a piece of standard output: `Ok(true)` if it shows progress.
pub(super) trait Sink: FnMut(&[u8]) -> Result<bool, RunError> + Send {}
impl<F: FnMut(&[u8]) -> Result<bool, RunError> + Send> Sink for F {}

/// Runs a program to its end and returns the last part of its standard error.
///
/// # Cancel safety
/// Dropping the future kills the whole process group.
pub(super) async fn run(
    invocation: &Invocation,
    cancel: &CancellationToken,
    sink: &mut impl Sink,
) -> Result<String, RunError> {
    run_on(Stdio::null(), invocation, cancel, sink).await
}

/// The same with an input.
pub(super) async fn run_on(
    input: Stdio,
    invocation: &Invocation,
    cancel: &CancellationToken,
    sink: &mut impl Sink,
) -> Result<String, RunError> {
    if cancel.is_cancelled() {
        return Err(RunError::Cancelled);
    }
    let mut child = spawn(input, invocation)?;
    let mut group = ProcessGroup::of(&child);
    let outcome = watch(invocation, &mut child, cancel, sink).await;
    group.kill();
    // Unconfined it may have left its group. An error: it has ended.
    child.start_kill().ok();
    let status = child.wait().await?;
    group.disarm();
    if let Some(source) = &invocation.source {
        if status.success() && outcome.as_ref().is_ok_and(|stderr| tells_of_a_break(stderr)) {
            source.set_broken(Break::Other);
        }
        if source.is_broken() {
            return Err(RunError::Broken);
        }
    }
    let stderr = outcome?;
    if status.success() { Ok(stderr) } else { Err(RunError::Failed { status, stderr }) }
}

/// Whether the connection to the source ended on its way, in a run that calls itself well.
fn tells_of_a_break(stderr: &str) -> bool {
    const WORDS: [&str; 4] = ["ends prematurely", "Connection timed out", "Connection reset", "Connection refused"];
    WORDS.iter().any(|words| stderr.contains(words))
}

/// Runs a program and returns its standard output, at most `bytes_max` of it.
pub(super) async fn capture(
    invocation: &Invocation,
    cancel: &CancellationToken,
    bytes_max: usize,
) -> Result<(Vec<u8>, String), RunError> {
    let mut output = Vec::new();
    let mut sink = |piece: &[u8]| {
        if output.len() + piece.len() > bytes_max {
            return Err(RunError::TooMuchOutput);
        }
        output.extend_from_slice(piece);
        Ok(true)
    };
    let stderr = run(invocation, cancel, &mut sink).await?;
    Ok((output, stderr))
}

fn spawn(input: Stdio, invocation: &Invocation) -> Result<Child, RunError> {
    Command::new(&invocation.program)
        .args(&invocation.arguments)
        .current_dir(&invocation.directory)
        // No proxy settings, report files or secrets of ours reach a program that parses strangers' bytes.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .envs([("LC_ALL", "C"), ("SVT_LOG", "1")]) // SVT-AV1 would fill the standard error with its settings.
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| RunError::Start { program: invocation.program.display().to_string(), source })
}

/// Reads both pipes until they close, and gives up on cancellation or a limit.
async fn watch(
    invocation: &Invocation,
    child: &mut Child,
    cancel: &CancellationToken,
    sink: &mut impl Sink,
) -> Result<String, RunError> {
    let closed = || RunError::Read(io::ErrorKind::BrokenPipe.into());
    let mut stdout = child.stdout.take().ok_or_else(closed)?;
    let mut stderr = child.stderr.take().ok_or_else(closed)?;
    let (mut stdout_open, mut stderr_open) = (true, true);
    let (mut stdout_buffer, mut stderr_buffer) = (vec![0; 16 * 1024], vec![0; 4 * 1024]);
    let mut last_words = LastWords::default();
    let deadline = Instant::now() + invocation.wall_time_max;
    let mut pulse = Pulse::new(invocation);
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stdout_open || stderr_open {
        tokio::select! {
            () = cancel.cancelled() => return Err(RunError::Cancelled),
            () = broken(invocation) => return Err(RunError::Broken),
            () = tokio::time::sleep_until(deadline) => return Err(RunError::WallTime(invocation.wall_time_max)),
            _ = ticks.tick() => pulse.check().await?,
            read = stdout.read(&mut stdout_buffer), if stdout_open => match read? {
                0 => stdout_open = false,
                count => if sink(stdout_buffer.get(..count).unwrap_or_default())? { pulse.beat(); },
            },
            read = stderr.read(&mut stderr_buffer), if stderr_open => match read? {
                0 => stderr_open = false,
                count => last_words.push(stderr_buffer.get(..count).unwrap_or_default()),
            },
        }
    }
    Ok(last_words.into_text())
}

async fn broken(invocation: &Invocation) {
    match &invocation.source {
        Some(source) => source.broken().await,
        None => std::future::pending().await,
    }
}

/// When the program last showed a sign of work.
struct Pulse<'a> {
    stall_time_max: Duration,
    heartbeat: Option<&'a Path>,
    heartbeat_bytes: u64,
    last: Instant,
}

impl<'a> Pulse<'a> {
    fn new(invocation: &'a Invocation) -> Self {
        Self {
            stall_time_max: invocation.stall_time_max,
            heartbeat: invocation.heartbeat.as_deref(),
            heartbeat_bytes: 0,
            last: Instant::now(),
        }
    }

    fn beat(&mut self) {
        self.last = Instant::now();
    }

    async fn check(&mut self) -> Result<(), RunError> {
        if let Some(path) = self.heartbeat
            && let Ok(metadata) = tokio::fs::metadata(path).await
            && metadata.len() != self.heartbeat_bytes
        {
            self.heartbeat_bytes = metadata.len();
            self.beat();
        }
        if self.last.elapsed() > self.stall_time_max { Err(RunError::Stalled(self.stall_time_max)) } else { Ok(()) }
    }
}

/// The end of a stream of bytes.
#[derive(Default)]
struct LastWords(Vec<u8>);

impl LastWords {
    fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
        let excess = self.0.len().saturating_sub(STDERR_BYTES_MAX);
        self.0.drain(..excess);
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

/// Kills every process of a group when dropped, unless disarmed.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that `child` leads.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn kill(&mut self) {
        // An error means that nothing of the group is left, which is what is wanted.
        self.0.and_then(|group| kill_process_group(group, Signal::KILL).ok());
    }

    /// The leader has been reaped, so its number may soon belong to another process.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests;
