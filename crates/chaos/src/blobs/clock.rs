//! Wall clocks that jump: Debian's libfaketime under a process, told by a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;
use triton_testkit::Program;

/// Where Debian's package `faketime` puts the library, by machine.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// The wall clock of one process.
#[derive(Debug)]
pub(super) struct Clock {
    dir: TempDir,
}

impl Clock {
    /// The library, where it is installed.
    pub(super) fn library() -> Option<&'static Path> {
        LIBRARIES.iter().map(Path::new).find(|path| path.is_file())
    }

    /// A clock that shows the right time.
    pub(super) fn new() -> anyhow::Result<Self> {
        let clock = Self { dir: tempfile::tempdir().context("no directory for a clock")? };
        clock.jump(0)?;
        Ok(clock)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("time")
    }

    /// Shows a time that is so many seconds off from now on.
    pub(super) fn jump(&self, seconds: i64) -> anyhow::Result<()> {
        // By a rename: the process reads it at every look at the clock.
        let next = self.dir.path().join("next");
        fs::write(&next, format!("{seconds:+}s\n")).context("the clock cannot be set")?;
        fs::rename(&next, self.file()).context("the clock cannot be set")
    }

    /// The program under this clock. What measures elapsed time is not touched: a real clock's jump does not, either.
    pub(super) fn under(&self, program: Program) -> Program {
        let Some(library) = Self::library() else { return program };
        program
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .env("FAKETIME_DONT_RESET", "1")
    }
}
