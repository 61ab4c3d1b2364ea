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
};
use triton_kit::{
    MigrationStep,
    step::{FAIL_FILE, Side},
};
use triton_testkit::{Program, Proxy, StorageNode, WebService};

use super::{
    clock::Clock,
    disk::{Disk, Tracer},
    scenario::{Scenario, Trouble},
    strike::Strike,
};
use crate::fleet::{Site, StorageAddress};

/// Nodes of the first layout; one more may be added by the admin.
pub(super) const NODES: usize = 4;
/// Replicas of every blob.
pub(super) const REPLICAS: u8 = 3;
/// Kept free on a small disk: little, so that some writes meet the end of it in their middle.
const RESERVE_BYTES: &str = "65536";
/// The name of the file that arms a step.
pub(super) const FAIL: &str = "fail";
/// How long an abort may take, dump included.
const ABORT_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    pub(super) web: WebService,
    pub(super) nodes: Vec<Node>,
    pub(super) web_clock: Option<Clock>,
    /// The file that arms a step of a migration for all of them, and what is armed.
    pub(super) steps: Option<TempDir>,
    pub(super) armed: Option<MigrationStep>,
    /// Cuts by the number of the step that made them.
    pub(super) cuts: BTreeMap<usize, Strike>,
    pub(super) caller: Caller,
    pub(super) seed: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) tracer: Option<Tracer>,
    pub(super) service: StorageNode,
    pub(super) proxy: Proxy,
    pub(super) clock: Option<Clock>,
    pub(super) disk: Disk,
    pub(super) stopped: bool,
    pub(super) killed: bool,
    pub(super) isolated: bool,
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
        let service = StorageNode::start_with(Some(&disk.data()), adapt).await;
        let proxy = Proxy::start(address(service.url.as_str())?).await;
        Ok(Self { tracer: None, service, proxy, clock, disk, stopped: false, killed: false, isolated: false })
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.process.pid()
    }

    pub(super) fn kill(&mut self) {
        // A process that is traced or stopped dies of SIGKILL, too.
        self.service.process.kill();
        (self.tracer, self.stopped, self.killed) = (None, false, true);
    }

    /// Does not wait until it answers.
    pub(super) fn restart(&mut self) {
        self.kill();
        self.service.process.restart();
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
        for _ in 0..=NODES {
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
            Some(StorageAddress { theirs, ours: node.service.url.clone(), zone: format!("zone-{}", number + 1) })
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
        self.nodes.iter().map(|node| node.service.url.clone()).collect()
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
                    if node.service.process.has_ended() {
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
        let url = self.nodes.get(node).context("no such node")?.service.url.clone();
        Ok(NodeClient::new(self.caller.clone(), url))
    }

    pub(super) fn node(&mut self, number: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(number).context("no such node")
    }

    /// Keeps the logs of all processes, and what the nodes know of the layout.
    pub(super) fn keep_logs(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        fs::write(dir.join("web.log"), self.web.process.log())?;
        for (number, node) in self.nodes.iter().enumerate() {
            let name = format!("node-{number}-{}.log", node.service.id);
            fs::write(dir.join(name), node.service.process.log())?;
        }
        Ok(())
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} is no address"))
}
