//! A fleet of processes of this machine, connected through proxies that can be cut.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use triton_testkit::{Cut, Etcd, EtcdOptions, Process, Program, Proxy, StorageNode, WebService, free_port};

use super::{Fleet, Site, StorageAddress};
use crate::harm::{Harm, Part, Parts};

/// How long a service may take to end when it is asked to.
const TERMINATE_DEADLINE: Duration = Duration::from_secs(60);
/// How long a worker may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, Clone)]
pub struct ProcessesOptions {
    /// Storage nodes of the first layout.
    pub storage: usize,
    /// Storage nodes that the admin may add.
    pub spares: usize,
    /// Web services; more than one only with etcd.
    pub webs: usize,
    /// Processes that only transcode; only with etcd.
    pub workers: usize,
    /// Members of etcd; with none the one web service keeps its metadata in SQLite.
    pub etcd: usize,
    /// Replicas wanted.
    pub replicas: u8,
}

impl ProcessesOptions {
    /// One web service with SQLite over storage nodes.
    pub fn sqlite() -> Self {
        Self { storage: 4, spares: 1, webs: 1, workers: 0, etcd: 0, replicas: 3 }
    }

    /// Everything twice at least.
    pub fn etcd() -> Self {
        Self { storage: 4, spares: 1, webs: 2, workers: 1, etcd: 3, replicas: 3 }
    }
}

/// Processes that end with this.
#[derive(Debug)]
pub struct Processes {
    // Dropped in this order: what depends on others first.
    webs: Vec<WebService>,
    workers: Vec<Worker>,
    storage: Vec<Storage>,
    etcd: Option<Etcd>,
    etcd_proxies: Vec<Proxy>,
    replicas: u8,
    http: reqwest::Client,
}

#[derive(Debug)]
struct Storage {
    node: StorageNode,
    /// How all others reach it.
    proxy: Proxy,
    zone: String,
}

#[derive(Debug)]
struct Worker {
    process: Process,
    health_url: String,
    _dir: tempfile::TempDir,
}

impl Processes {
    /// Starts everything and waits until it is ready. Our programs must have been built.
    pub async fn start(options: &ProcessesOptions) -> anyhow::Result<Self> {
        let mut storage = Vec::new();
        for number in 0..options.storage + options.spares {
            let node = StorageNode::start(None).await;
            let proxy = Proxy::start(address(node.url.as_str())?).await;
            storage.push(Storage { node, proxy, zone: format!("zone-{}", number + 1) });
        }
        let (mut etcd, mut etcd_proxies) = (None, Vec::new());
        if options.etcd > 0 {
            let started =
                Etcd::start_with(EtcdOptions { members: options.etcd, proxied: true, ..EtcdOptions::default() }).await;
            for endpoint in started.endpoints() {
                etcd_proxies.push(Proxy::start(endpoint.parse()?).await);
            }
            etcd = Some(started);
        }
        let http = reqwest::Client::builder().no_proxy().timeout(LOOK_TIMEOUT).build()?;
        let (webs, workers) = (Vec::new(), Vec::new());
        let mut fleet = Self { webs, workers, storage, etcd, etcd_proxies, replicas: options.replicas, http };
        fleet.start_services(options).await?;
        Ok(fleet)
    }

    async fn start_services(&mut self, options: &ProcessesOptions) -> anyhow::Result<()> {
        let first: Vec<_> = self.storage.iter().take(options.storage).map(Storage::url).collect();
        let (storage, replicas) = (first.join(","), options.replicas.to_string());
        let mut common = vec!["--x264-preset", "ultrafast", "--transcode-slots", "1"];
        let endpoints: Vec<_> = self.etcd_proxies.iter().map(|proxy| proxy.addr.to_string()).collect();
        let metadata = format!("etcd://{}", endpoints.join(","));
        if self.etcd.is_some() {
            common.extend(["--metadata", &metadata]);
        }
        // A worker learns from the records where the nodes are.
        let args = [&["--storage", &storage, "--replicas", &replicas], common.as_slice()].concat();
        for _ in 0..options.webs {
            self.webs.push(WebService::start(&args).await);
        }
        for _ in 0..options.workers {
            let dir = tempfile::tempdir().context("no directory for a worker")?;
            let program = Program::ours("web-svc", dir.path().join("log")).arg("worker").args(&common);
            let listen = format!("127.0.0.1:{}", free_port());
            let program = program.args(["--listen", &listen]).arg("--data-dir").arg(dir.path().join("data"));
            let (mut process, health_url) = (program.start(), format!("http://{listen}/healthz"));
            process.wait_ready(&health_url, START_DEADLINE).await;
            self.workers.push(Worker { process, health_url, _dir: dir });
        }
        Ok(())
    }

    fn process(&mut self, part: Part) -> Option<&mut Process> {
        match part {
            Part::Storage(number) => self.storage.get_mut(number).map(|storage| &mut storage.node.process),
            Part::Web(number) => self.webs.get_mut(number).map(|web| &mut web.process),
            Part::Worker(number) => self.workers.get_mut(number).map(|worker| &mut worker.process),
            Part::Etcd(_) => None,
        }
    }

    fn web_pid(&self, web: usize) -> Vec<u32> {
        self.webs.get(web).map(|web| web.process.pid()).into_iter().collect()
    }

    fn kill(&mut self, part: Part) {
        match (part, self.etcd.as_mut()) {
            (Part::Etcd(number), Some(etcd)) => etcd.member(number).kill(),
            _ => self.process(part).into_iter().for_each(Process::kill),
        }
    }

    fn suspend(&mut self, part: Part) {
        match (part, self.etcd.as_mut()) {
            (Part::Etcd(number), Some(etcd)) => etcd.member(number).suspend(),
            _ => self.process(part).into_iter().for_each(|process| process.suspend()),
        }
    }

    fn resume(&mut self, part: Part) {
        match (part, self.etcd.as_mut()) {
            (Part::Etcd(number), Some(etcd)) => etcd.member(number).resume(),
            _ => self.process(part).into_iter().for_each(|process| process.resume()),
        }
    }

    fn restart(&mut self, part: Part) {
        match (part, self.etcd.as_mut()) {
            (Part::Etcd(number), Some(etcd)) => etcd.member(number).restart(),
            _ => self.process(part).into_iter().for_each(Process::restart),
        }
    }

    async fn isolate_storage(&mut self, number: usize, cut: Cut) {
        let pid: Vec<_> = self.storage.get(number).map(|storage| storage.node.process.pid()).into_iter().collect();
        for (other, storage) in self.storage.iter_mut().enumerate() {
            match cut {
                _ if other != number => storage.proxy.bar(pid.clone(), cut),
                Cut::Reject => storage.proxy.kill().await,
                Cut::Swallow => storage.proxy.fault(triton_testkit::Fault::Stall),
            }
        }
    }

    async fn reconnect_storage(&mut self) {
        for storage in &mut self.storage {
            storage.proxy.admit();
            storage.proxy.fault(triton_testkit::Fault::None);
            storage.proxy.revive().await;
        }
    }

    async fn answers(&self, url: &str) -> bool {
        self.http.get(url).send().await.is_ok_and(|response| response.status().is_success())
    }

    async fn is_part_well(&mut self, part: Part) -> bool {
        match part {
            Part::Storage(number) => match self.storage.get(number) {
                Some(storage) => self.answers(&storage.node.url.join("/healthz")).await,
                None => false,
            },
            Part::Web(number) => match self.webs.get(number) {
                Some(web) => self.answers(&format!("{}/readyz", web.origin)).await,
                None => false,
            },
            Part::Worker(number) => match self.workers.get(number) {
                Some(worker) => self.answers(&worker.health_url).await,
                None => false,
            },
            Part::Etcd(number) => match &self.etcd {
                Some(etcd) => etcd.member_takes_writes(number).await,
                None => false,
            },
        }
    }
}

impl Storage {
    fn url(&self) -> String {
        format!("http://{}", self.proxy.addr)
    }
}

impl Fleet for Processes {
    fn parts(&self) -> Parts {
        Parts {
            storage: self.storage.len(),
            webs: self.webs.len(),
            workers: self.workers.len(),
            etcd: self.etcd.as_ref().map_or(0, Etcd::count),
        }
    }

    fn site(&self) -> Site {
        let address = |storage: &Storage| {
            let theirs = storage.url().parse().ok()?;
            Some(StorageAddress { theirs, ours: storage.node.url.clone(), zone: storage.zone.clone() })
        };
        Site {
            webs: self.webs.iter().map(|web| web.origin.clone()).collect(),
            storage: self.storage.iter().filter_map(address).collect(),
            replicas: self.replicas,
            secret: None,
        }
    }

    async fn harm(&mut self, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill(part) => self.kill(part),
            Harm::Terminate(part) => {
                // The proxies of this runtime have to go on meanwhile.
                let process = self.process(part).context("only services can be terminated")?;
                tokio::task::block_in_place(|| process.terminate(TERMINATE_DEADLINE));
            }
            Harm::Suspend(part) => self.suspend(part),
            Harm::KillAllEtcd => self.etcd.iter_mut().for_each(Etcd::stop_all),
            Harm::CutWebFromEtcd(web, cut) => {
                let pid = self.web_pid(web);
                self.etcd_proxies.iter().for_each(|proxy| proxy.bar(pid.clone(), cut));
            }
            Harm::CutWebFromStorage(web, node, cut) => {
                let pid = self.web_pid(web);
                self.storage.get(node).context("no such node")?.proxy.bar(pid, cut);
            }
            Harm::IsolateStorage(node, cut) => self.isolate_storage(node, cut).await,
            Harm::IsolateEtcd(member, cut) => self.etcd.iter_mut().for_each(|etcd| etcd.isolate(member, cut)),
        }
        Ok(())
    }

    async fn heal(&mut self, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill(part) | Harm::Terminate(part) => self.restart(part),
            Harm::Suspend(part) => self.resume(part),
            Harm::KillAllEtcd => {
                if let Some(etcd) = &mut self.etcd {
                    (0..etcd.count()).for_each(|number| etcd.member(number).restart());
                }
            }
            Harm::CutWebFromEtcd(..) => self.etcd_proxies.iter().for_each(Proxy::admit),
            Harm::CutWebFromStorage(..) | Harm::IsolateStorage(..) => self.reconnect_storage().await,
            Harm::IsolateEtcd(..) => self.etcd.iter().for_each(Etcd::reconnect),
        }
        Ok(())
    }

    async fn is_well(&mut self, harm: Harm) -> bool {
        match harm {
            Harm::Kill(part) | Harm::Terminate(part) | Harm::Suspend(part) => self.is_part_well(part).await,
            Harm::CutWebFromEtcd(web, _) | Harm::CutWebFromStorage(web, ..) => self.is_part_well(Part::Web(web)).await,
            Harm::IsolateStorage(node, _) => self.is_part_well(Part::Storage(node)).await,
            Harm::IsolateEtcd(member, _) => self.is_part_well(Part::Etcd(member)).await,
            Harm::KillAllEtcd => {
                let mut well = true;
                for member in 0..self.parts().etcd {
                    well &= self.is_part_well(Part::Etcd(member)).await;
                }
                well
            }
        }
    }

    async fn etcd_leader(&mut self) -> Option<usize> {
        self.etcd.as_ref()?.leader_now().await
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} is no address"))
}
