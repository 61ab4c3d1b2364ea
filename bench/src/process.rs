//! What a process costs, from /proc: see proc(5).

use std::{fs, time::Duration};

use anyhow::Context as _;

/// The kernel counts processor time in hundredths of a second for every program on Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process and all that it has started and that still run.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let ticks: u64 = family(pid)?.iter().filter_map(|stat| Some(stat.number(13)? + stat.number(14)?)).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Processor time of the programs that a process has started and that have ended.
pub(crate) fn ended_children_cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = Stat::read(pid).with_context(|| format!("cannot read /proc/{pid}/stat"))?;
    let ticks = stat.number(15).unwrap_or(0) + stat.number(16).unwrap_or(0);
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of a process and all that it has started, now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(family(pid)?.iter().filter_map(|stat| status_bytes(stat.pid, "VmRSS:")).sum())
}

/// The most memory that a process itself has had resident so far, in bytes.
pub(crate) fn peak_resident_bytes(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmHWM:").with_context(|| format!("the memory of process {pid}"))
}

fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = status.lines().find(|line| line.starts_with(field))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The fields of a `/proc/PID/stat`.
struct Stat {
    pid: u32,
    after_name: Vec<u64>,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may contain spaces and parentheses; the state after it is a letter.
        let after = text.rsplit_once(')')?.1.split_whitespace();
        Some(Self { pid, after_name: after.map(|field| field.parse().unwrap_or(0)).collect() })
    }

    /// The field with this index, counted from 0 as in proc(5) less one; the first two are pid and name.
    fn number(&self, index: usize) -> Option<u64> {
        self.after_name.get(index.checked_sub(2)?).copied()
    }

    fn parent(&self) -> Option<u32> {
        u32::try_from(self.number(3)?).ok()
    }
}

fn family(pid: u32) -> anyhow::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<Stat> = pids.filter_map(Stat::read).collect();
    let mut members = vec![pid];
    // Parents before children, whatever the order of the listing.
    while let Some(more) = all
        .iter()
        .find(|stat| !members.contains(&stat.pid) && stat.parent().is_some_and(|parent| members.contains(&parent)))
    {
        members.push(more.pid);
    }
    Ok(all.into_iter().filter(|stat| members.contains(&stat.pid)).collect())
}
