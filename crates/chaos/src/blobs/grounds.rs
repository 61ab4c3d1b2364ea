//! The processes of a run: storage nodes behind proxies, and a web service that coordinates their layout.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tempfile::TempDir;
use triton_api::{
    NodeUrl,
    client::{Caller, NodeClient},
    storage::DiskState,
};
use triton_kit::{
    MigrationStep,
    step::{FAIL_FILE, Side},
};
use triton_testkit::{Cut, Fault, Program, Proxy, StorageNode, WebService};

use super::{
    clock::Clock,
    disk::{Disk, Tracer},
    scenario::{Scenario, Trouble},
    strike::Strike,
};
use crate::fleet::{Site, StorageAddress};

/// Nodes of the first layout; one more may be added by the admin.
pub(super) const NODES: usize = 4;
const SPARES: usize = 1;
/// Replicas of every blob.
pub(super) const REPLICAS: u8 = 3;
/// Kept free on a small disk: little, so that some writes meet the end of it in their middle.
const RESERVE_BYTES: &str = "65536";
/// The name of the file that arms a step.
const FAIL: &str = "fail";
/// How long an abort may take, dump included.
const ABORT_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// System calls that make a file durable, and those that read files and nothing else.
const SYNC_CALLS: &str = "fsync,fdatasync";
const READ_CALLS: &str = "pread64,preadv,preadv2,sendfile";

/// What came to the armed step and has been started again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aborted {
    pub(super) step: MigrationStep,
    /// The node, where it was one.
    pub(super) node: Option<usize>,
}

/// All processes of a run; they end with it.
#[derive(Debug)]
pub(super) struct Grounds {
    // Dropped in this order.
    web: WebService,
    nodes: Vec<Node>,
    web_clock: Option<Clock>,
    /// The file that arms a step of a migration for all of them, and what is armed.
    steps: Option<TempDir>,
    armed: Option<MigrationStep>,
    /// Cuts by the number of the step that made them.
    cuts: BTreeMap<usize, Strike>,
    caller: Caller,
    seed: u64,
}

#[derive(Debug)]
struct Node {
    tracer: Option<Tracer>,
    node: StorageNode,
    proxy: Proxy,
    clock: Option<Clock>,
    disk: Disk,
    stopped: bool,
    killed: bool,
    isolated: bool,
}

impl Node {
    async fn start(scenario: &Scenario, mounts: bool, arm: impl Fn(Program) -> Program) -> anyhow::Result<Self> {
        // In memory where that is possible: what a power cut leaves on a disk is tested elsewhere, and thousands of
        // directories are made and removed for each run.
        let disk = Disk::new(mounts)?;
        let clock = if scenario.has(Trouble::Clock) { Some(Clock::new()?) } else { None };
        let adapt = |program: Program| {
            let program = arm(program).args(["--reserve-bytes", RESERVE_BYTES]);
            clock.as_ref().map_or_else(|| program.clone(), |clock| clock.under(program.clone()))
        };
        let node = StorageNode::start_with(Some(&disk.data()), adapt).await;
        let proxy = Proxy::start(address(node.url.as_str())?).await;
        Ok(Self { tracer: None, node, proxy, clock, disk, stopped: false, killed: false, isolated: false })
    }

    fn pid(&self) -> u32 {
        self.node.process.pid()
    }

    fn kill(&mut self) {
        // A process that is traced or stopped dies of SIGKILL, too.
        self.node.process.kill();
        (self.tracer, self.stopped, self.killed) = (None, false, true);
    }

    /// Does not wait until it answers.
    fn restart(&mut self) {
        self.kill();
        self.node.process.restart();
        self.killed = false;
    }
}

/// What this machine can do of a scenario; says in words what it leaves out.
pub(super) fn possible(scenario: &Scenario) -> (Scenario, Vec<String>) {
    let (mut possible, mut left_out) = (scenario.clone(), Vec::new());
    if scenario.has(Trouble::Clock) && Clock::library().is_none() {
        possible = possible.without(Trouble::Clock);
        left_out.push("clocks: libfaketime is not installed (Debian's package faketime)".to_owned());
    }
    if scenario.has(Trouble::Disk) && !(Disk::can_be_mounted() && Tracer::works()) {
        possible = possible.without(Trouble::Disk);
        left_out.push("disks: this process may not mount a tmpfs, or strace is not installed".to_owned());
    }
    (possible, left_out)
}

impl Grounds {
    /// Starts everything and waits until it is ready. Our programs must have been built.
    pub(super) async fn start(scenario: &Scenario, seed: u64) -> anyhow::Result<Self> {
        let steps = if scenario.has(Trouble::Reconfigure) { Some(tempfile::tempdir()?) } else { None };
        let file = steps.as_ref().map(|dir| dir.path().join(FAIL));
        let arm = |program: Program| match &file {
            Some(file) => program.env(FAIL_FILE, file),
            None => program,
        };
        let (mut nodes, mounts) = (Vec::new(), Disk::can_be_mounted());
        for _ in 0..NODES + SPARES {
            nodes.push(Node::start(scenario, mounts, arm).await?);
        }
        let first: Vec<_> = nodes.iter().take(NODES).map(|node| format!("http://{}", node.proxy.addr)).collect();
        let (storage, replicas) = (first.join(","), REPLICAS.to_string());
        let args = [
            ["--storage", &storage],
            ["--replicas", &replicas],
            ["--transcode-slots", "0"],
            ["--replace-after-seconds", "0"],
            ["--reclaim-grace-seconds", "1"],
            ["--repair-interval-seconds", "1"],
        ];
        let web_clock = if scenario.has(Trouble::Clock) { Some(Clock::new()?) } else { None };
        let adapt = |program: Program| {
            let program = arm(program);
            web_clock.as_ref().map_or_else(|| program.clone(), |c| c.under(program.clone()))
        };
        let web = WebService::start_under(args.as_flattened(), adapt).await;
        Ok(Self {
            web,
            nodes,
            web_clock,
            steps,
            armed: None,
            cuts: BTreeMap::new(),
            caller: Caller::untraced(None)?,
            seed,
        })
    }

    /// Where everything is.
    pub(super) fn site(&self) -> Site {
        let address = |(number, node): (usize, &Node)| {
            let theirs = format!("http://{}", node.proxy.addr).parse().ok()?;
            Some(StorageAddress { theirs, ours: node.node.url.clone(), zone: format!("zone-{}", number + 1) })
        };
        Site {
            webs: vec![self.web.origin.clone()],
            storage: self.nodes.iter().enumerate().filter_map(address).collect(),
            replicas: REPLICAS,
            secret: None,
        }
    }

    /// How many nodes there are, the spare one included.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes' addresses that are never cut.
    pub(super) fn addresses(&self) -> Vec<NodeUrl> {
        self.nodes.iter().map(|node| node.node.url.clone()).collect()
    }

    /// Strikes; answers what there is to say about it.
    pub(super) async fn harm(&mut self, number: usize, strike: Strike) -> anyhow::Result<Option<String>> {
        let seed = self.seed.wrapping_add(number as u64);
        match strike {
            Strike::Kill(node) => self.node(node)?.kill(),
            Strike::Stop(node) => {
                let node = self.node(node)?;
                node.node.process.suspend();
                node.stopped = true;
            }
            Strike::Isolate(..) | Strike::CutClients(..) | Strike::CutCoordinator(..) | Strike::CutPair(..) => {
                self.cuts.insert(number, strike);
                self.apply_cuts().await;
            }
            Strike::Slow(node, ms) => self.node(node)?.proxy.fault(Fault::Delay(Duration::from_millis(ms))),
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
                let turned = self.node(node)?.disk.rot(count, seed)?;
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
                    node.node.process.resume();
                }
            }
            Strike::Isolate(..) | Strike::CutClients(..) | Strike::CutCoordinator(..) | Strike::CutPair(..) => {
                self.cuts.remove(&number);
                self.apply_cuts().await;
            }
            Strike::Slow(node, _) | Strike::Break(node, _) => self.node(node)?.proxy.fault(Fault::None),
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
            Strike::RotBlobs(..) => {}
            Strike::KillCoordinator => {
                self.web.process.restart();
                self.apply_cuts().await;
            }
            Strike::StopCoordinator => self.web.process.resume(),
            // What is armed is disarmed by itself.
            Strike::Abort(..) => {}
        }
        Ok(())
    }

    /// Disarms the step; what has aborted at this very moment is started again.
    pub(super) async fn disarm(&mut self) -> Option<Aborted> {
        self.armed?;
        let file = self.steps.as_ref()?.path().join(FAIL);
        if fs::remove_file(file).is_ok() {
            self.armed = None;
            return None;
        }
        // Who has taken the file aborts.
        let began = Instant::now();
        while began.elapsed() < ABORT_MAX {
            if let Some(aborted) = self.tend().await {
                return Some(aborted);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// Starts what has aborted at the armed step.
    pub(super) async fn tend(&mut self) -> Option<Aborted> {
        let step = self.armed?;
        let (mut ended, mut which) = (false, None);
        match step.side() {
            Side::Coordinator => {
                ended = self.web.process.has_ended();
                if ended {
                    self.web.process.restart();
                }
            }
            Side::Node => {
                // One that the script has killed has no tracer, no file to fail and is started by the script.
                for (number, node) in self.nodes.iter_mut().enumerate().filter(|(_, node)| !node.killed) {
                    if node.node.process.has_ended() {
                        node.restart();
                        (ended, which) = (true, Some(number));
                    }
                }
            }
        }
        if !ended {
            return None;
        }
        self.armed = None;
        self.apply_cuts().await;
        Some(Aborted { step, node: which })
    }

    /// A client of a node whose way to it is never cut.
    pub(super) fn client(&self, node: usize) -> anyhow::Result<NodeClient> {
        let url = self.nodes.get(node).context("no such node")?.node.url.clone();
        Ok(NodeClient::new(self.caller.clone(), url))
    }

    fn node(&mut self, number: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(number).context("no such node")
    }

    fn trace(&mut self, node: usize, calls: &str) -> anyhow::Result<()> {
        let node = self.node(node)?;
        node.tracer = Some(Tracer::attach(node.pid(), calls, "EIO")?);
        Ok(())
    }

    /// Makes the proxies do what all present cuts ask for together; of two at one node the later one says how.
    async fn apply_cuts(&mut self) {
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

    /// Keeps the logs of all processes, and what the nodes know of the layout.
    pub(super) fn keep_logs(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        fs::write(dir.join("web.log"), self.web.process.log())?;
        for (number, node) in self.nodes.iter().enumerate() {
            let name = format!("node-{number}-{}.log", node.node.id);
            fs::write(dir.join(name), node.node.process.log())?;
        }
        Ok(())
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} is no address"))
}
