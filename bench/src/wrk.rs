//! Load by wrk, the field's tool: <https://github.com/wg/wrk>.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};

use crate::harness::{Bench, Load, Sample};

const SCRIPT: &str = include_str!("wrk.lua");
/// As many as this machine has cores, where the servers run as well.
const THREADS: u32 = 2;
/// A head is shorter than this.
const HEAD_BYTES_MAX: u64 = 1024;

/// What wrk asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wrk {
    /// `http://host:port/path/` up to the number of the file.
    pub(crate) prefix: String,
    /// The numbers to ask for, at random: below `count`, every `step`th.
    pub(crate) count: u32,
    pub(crate) step: u32,
    pub(crate) connections: u32,
    /// Bytes of one answer, which is checked.
    pub(crate) answer_bytes: u64,
    /// Ask for ranges of `answer_bytes` of contents of this length.
    pub(crate) of_bytes: Option<u64>,
}

impl Wrk {
    /// Asks for whole contents with the numbers below `count`.
    pub(crate) fn whole(prefix: String, count: u32, connections: u32, answer_bytes: u64) -> Self {
        Self { prefix, count, step: 1, connections, answer_bytes, of_bytes: None }
    }

    /// The load.
    pub(crate) fn load(self, bench: &Bench) -> anyhow::Result<Load<'static>> {
        let script = bench.scratch().join("wrk.lua");
        std::fs::write(&script, SCRIPT)?;
        Ok(Box::new(move |duration| self.run(&script, duration)))
    }

    fn run(&self, script: &Path, duration: Duration) -> anyhow::Result<Sample> {
        let output = Command::new("wrk")
            .args(["--threads", &THREADS.min(self.connections).to_string()])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", duration.as_secs())])
            .args(["--timeout", "10s", "--script"])
            .arg(script)
            .arg(&self.prefix)
            .arg("--")
            .args([self.count.to_string(), self.step.to_string()])
            .args([self.answer_bytes.to_string(), self.of_bytes.unwrap_or(0).to_string()])
            .output()
            .context("cannot run wrk: scripts/install.sh bench")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let line = line.with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let fields: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let &[requests, bytes, micros, errors] = fields?.as_slice() else { anyhow::bail!("wrk has said {line}") };
        ensure!(errors == 0, "{errors} of {requests} requests to {} failed: {text}", self.prefix);
        // Requests that are cut off at the end have sent bytes, too, and are not counted.
        let (least, most) = (requests * self.answer_bytes, self.answer_bytes + HEAD_BYTES_MAX);
        let most = (requests + u64::from(self.connections)) * most;
        ensure!((least..=most).contains(&bytes), "{requests} answers of {} had {bytes} bytes", self.prefix);
        Ok(Sample { requests, seconds: Duration::from_micros(micros).as_secs_f64() })
    }
}
