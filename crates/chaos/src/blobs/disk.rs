//! A node's disk: a small tmpfs where this process may mount one, otherwise a directory.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tempfile::TempDir;

/// The size of a disk that can be filled.
const SIZE_MIB: u32 = 384;
/// The folders that a new disk lacks.
const CONTENT: [&str; 3] = ["blobs", "tombstones", "quarantine"];
/// Behind the payload of a blob's file: at least the description.
const FOOTER_BYTES: u64 = 1024 + 4;

/// The place of a node's data directory.
#[derive(Debug)]
pub(super) struct Disk {
    dir: TempDir,
    mounted: bool,
}

impl Disk {
    /// A directory of its own; with `mounted` a file system of its own.
    pub(super) fn new(mounted: bool) -> anyhow::Result<Self> {
        let mut disk = Self { dir: tempfile::tempdir().context("no directory for a disk")?, mounted: false };
        if !mounted {
            return Ok(disk);
        }
        let size = format!("size={SIZE_MIB}m,mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &size, "tritontube-fault"], Some(disk.dir.path()))?;
        disk.mounted = true;
        Ok(disk)
    }

    /// Whether this process may mount file systems.
    pub(super) fn can_be_mounted() -> bool {
        Self::new(true).is_ok()
    }

    /// The node's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Takes all room but so many bytes.
    pub(super) fn fill(&self, leave_bytes: u64) -> anyhow::Result<()> {
        anyhow::ensure!(self.mounted, "only a disk of its own is filled");
        let mut ballast = File::create(self.ballast()).context("no ballast")?;
        let piece = vec![0; 1 << 20];
        loop {
            match ballast.write(&piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("the ballast cannot be written"),
            }
        }
        let len_bytes = ballast.metadata()?.len();
        ballast.set_len(len_bytes.saturating_sub(leave_bytes)).context("the ballast cannot be cut")
    }

    /// Gives the room back.
    pub(super) fn empty(&self) -> anyhow::Result<()> {
        fs::remove_file(self.ballast()).context("the ballast stays")
    }

    /// Turns one bit each in the payload of some blobs; answers how many.
    pub(super) fn rot(&self, count: usize, seed: u64) -> usize {
        let mut blobs = files(&self.data().join("blobs"));
        blobs.sort();
        blobs.shuffle(&mut StdRng::seed_from_u64(seed));
        let mut turned = 0;
        for blob in blobs.iter().take(count) {
            // It may have been deleted meanwhile.
            turned += usize::from(turn_bit(blob).unwrap_or(false));
        }
        turned
    }

    /// Takes all content, as a new disk would; the node keeps its identity. The node must not run.
    pub(super) fn lose(&self) -> anyhow::Result<()> {
        for folder in CONTENT {
            let path = self.data().join(folder);
            if path.exists() {
                fs::remove_dir_all(&path).with_context(|| format!("{} stays", path.display()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && run("umount", &["--lazy"], Some(self.dir.path())).is_err() {
            super::log::line(std::time::Duration::ZERO, "a tmpfs could not be unmounted");
        }
    }
}

fn turn_bit(path: &Path) -> io::Result<bool> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let Some(payload) = file.metadata()?.len().checked_sub(FOOTER_BYTES).filter(|len| *len > 0) else {
        return Ok(false);
    };
    // The sums lie between the payload and the description: the first half is payload in any case.
    file.seek(SeekFrom::Start(payload / 2))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(payload / 2))?;
    file.write_all(&[byte[0] ^ 0x10])?;
    Ok(true)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn run(program: &str, args: &[&str], path: Option<&Path>) -> anyhow::Result<()> {
    let output = Command::new(program).args(args).args(path).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    anyhow::ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// A tracer that lets system calls of a running process fail; detaches when dropped.
#[derive(Debug)]
pub(super) struct Tracer(Child);

impl Tracer {
    /// Lets these calls of a process and its threads fail with an error from now on.
    pub(super) fn attach(pid: u32, calls: &str, error: &str) -> anyhow::Result<Self> {
        let inject = format!("inject={calls}:error={error}");
        let child = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={calls}"),
                "-e",
                &inject,
                "-p",
                &pid.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self(child.context("strace cannot be run")?))
    }

    /// Whether processes can be traced here.
    pub(super) fn works() -> bool {
        Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "true"])
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SIGTERM lets strace detach from the process; SIGKILL would, too, but may leave it stopped.
        let pid = self.0.id().to_string();
        if run("kill", &["-TERM", &pid], None).is_err() || self.0.wait().is_err() {
            super::log::line(std::time::Duration::ZERO, "strace had ended already");
        }
    }
}
