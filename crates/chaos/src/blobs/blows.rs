//! How strikes are done to the processes of a run, and undone.

use std::{fs, time::Duration};

use anyhow::Context as _;
use triton_api::storage::DiskState;
use triton_testkit::{Cut, Fault};

use super::{
    disk::Tracer,
    grounds::{FAIL, Grounds, Node},
    strike::Strike,
};

/// System calls that make a file durable, and those that read files and nothing else.
const SYNC_CALLS: &str = "fsync,fdatasync";
const READ_CALLS: &str = "pread64,preadv,preadv2,sendfile";

impl Grounds {
    /// Strikes; answers what there is to say about it.
    pub(super) async fn harm(&mut self, number: usize, strike: Strike) -> anyhow::Result<Option<String>> {
        let seed = self.seed.wrapping_add(number as u64);
        match strike {
            Strike::Kill(node) => self.node(node)?.kill(),
            Strike::Stop(node) => {
                let node = self.node(node)?;
                node.service.process.suspend();
                node.stopped = true;
            }
            Strike::Isolate(..) | Strike::CutClients(..) | Strike::CutCoordinator(..) | Strike::CutPair(..) => {
                self.cuts.insert(number, strike);
                self.apply_cuts().await;
            }
            Strike::Slow(node, ms) => self.node(node)?.proxy.fault(Fault::Delay(Duration::from_millis(ms))),
            Strike::Trickle(node, bytes_per_second) => self.node(node)?.proxy.fault(Fault::Trickle(bytes_per_second)),
            Strike::Break(node, bytes) => self.node(node)?.proxy.fault(Fault::CutAfter(bytes)),
            Strike::JumpClock(node, seconds) => self.node(node)?.clock.as_ref().context("no clock")?.jump(seconds)?,
            Strike::JumpCoordinatorClock(seconds) => self.web_clock.as_ref().context("no clock")?.jump(seconds)?,
            Strike::FillDisk(node, leave_bytes) => {
                let disk = &self.node(node)?.disk;
                tokio::task::block_in_place(|| disk.fill(leave_bytes))?;
            }
            Strike::FailSyncs(node) => self.trace(node, SYNC_CALLS)?,
            Strike::FailReads(node) => self.trace(node, READ_CALLS)?,
            Strike::RotBlobs(node, count) => {
                let turned = self.node(node)?.disk.rot(count, seed);
                return Ok(Some(format!("{turned} blobs rot")));
            }
            Strike::LoseDisk(node) => {
                let node = self.node(node)?;
                node.kill();
                tokio::task::block_in_place(|| node.disk.lose())?;
            }
            Strike::KillCoordinator => self.web.process.kill(),
            Strike::StopCoordinator => self.web.process.suspend(),
            Strike::Abort(step, skips) => {
                let dir = self.steps.as_ref().context("no step can be armed")?;
                let (next, file) = (dir.path().join("next"), dir.path().join(FAIL));
                fs::write(&next, format!("{} {skips}", step.name())).context("a step cannot be armed")?;
                fs::rename(next, file).context("a step cannot be armed")?;
                self.armed = Some(step);
            }
        }
        Ok(None)
    }

    /// Ends a strike; what is started again may take a moment until it answers.
    pub(super) async fn heal(&mut self, number: usize, strike: Strike) -> anyhow::Result<()> {
        match strike {
            Strike::Kill(node) | Strike::LoseDisk(node) => {
                self.node(node)?.restart();
                // The new process is to be cut off like the one before.
                self.apply_cuts().await;
            }
            Strike::Stop(node) => {
                let node = self.node(node)?;
                if std::mem::take(&mut node.stopped) {
                    node.service.process.resume();
                }
            }
            Strike::Isolate(..) | Strike::CutClients(..) | Strike::CutCoordinator(..) | Strike::CutPair(..) => {
                self.cuts.remove(&number);
                self.apply_cuts().await;
            }
            Strike::Slow(node, _) | Strike::Trickle(node, _) | Strike::Break(node, _) => {
                self.node(node)?.proxy.fault(Fault::None);
            }
            Strike::JumpClock(node, _) => self.node(node)?.clock.as_ref().context("no clock")?.jump(0)?,
            Strike::JumpCoordinatorClock(_) => self.web_clock.as_ref().context("no clock")?.jump(0)?,
            Strike::FillDisk(node, _) => self.node(node)?.disk.empty()?,
            Strike::FailReads(node) => self.node(node)?.tracer = None,
            Strike::FailSyncs(node) => {
                let client = self.client(node)?;
                let node = self.node(node)?;
                node.tracer = None;
                // Only a restart makes a disk writable again whose fsync has failed.
                let info = client.info().await;
                if info.is_ok_and(|info| info.disk == DiskState::ReadOnly) {
                    node.restart();
                }
            }
            Strike::KillCoordinator => {
                self.web.process.restart();
                self.apply_cuts().await;
            }
            Strike::StopCoordinator => self.web.process.resume(),
            // What is armed is disarmed by itself, what rots is for repair.
            Strike::Abort(..) | Strike::RotBlobs(..) => {}
        }
        Ok(())
    }

    fn trace(&mut self, node: usize, calls: &str) -> anyhow::Result<()> {
        let node = self.node(node)?;
        node.tracer = Some(Tracer::attach(node.pid(), calls, "EIO")?);
        Ok(())
    }

    /// Makes the proxies do what all present cuts ask for together; of two at one node the later one says how.
    pub(super) async fn apply_cuts(&mut self) {
        let pids: Vec<u32> = self.nodes.iter().map(Node::pid).collect();
        let pid = |node: usize| pids.get(node).copied().unwrap_or_default();
        let (own, web) = (std::process::id(), self.web.process.pid());
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let (mut barred, mut how, mut isolated) = (Vec::new(), None, None);
            for cut in self.cuts.values() {
                let (who, cut) = match *cut {
                    Strike::Isolate(other, cut) if other == number => {
                        isolated = Some(cut);
                        continue;
                    }
                    Strike::Isolate(other, cut) => (pid(other), cut),
                    Strike::CutClients(other, cut) if other == number => (own, cut),
                    Strike::CutCoordinator(other, cut) if other == number => (web, cut),
                    Strike::CutPair(one, other, cut) if one == number => (pid(other), cut),
                    Strike::CutPair(one, other, cut) if other == number => (pid(one), cut),
                    _ => continue,
                };
                barred.push(who);
                how = Some(cut);
            }
            match how {
                Some(cut) => node.proxy.bar(barred, cut),
                None => node.proxy.admit(),
            }
            match isolated {
                Some(Cut::Reject) => node.proxy.kill().await,
                Some(Cut::Swallow) => node.proxy.fault(Fault::Stall),
                None if node.isolated => {
                    node.proxy.fault(Fault::None);
                    node.proxy.revive().await;
                }
                None => {}
            }
            node.isolated = isolated.is_some();
        }
    }
}
