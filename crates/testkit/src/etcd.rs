//! A real etcd: Debian's `etcd`, each member a child process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Cut, EtcdGateway, Process, Program, Proxy, free_port};

/// How long a cluster may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(20);

/// How to run etcd. The default is one member that does not sync its files.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// The number of members.
    pub members: usize,
    /// Whether files are synced. Without, a member that is killed loses nothing, for the kernel lives on.
    pub fsync: bool,
    /// Whether the members reach each other through proxies of this process, so that [`Etcd::isolate`] works. Those need
    /// a runtime that is not blocked for longer than an election takes.
    pub proxied: bool,
    /// Further arguments for every member.
    pub args: Vec<String>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { members: 1, fsync: false, proxied: false, args: Vec::new() }
    }
}

/// An etcd cluster with its data, which goes with it.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<EtcdMember>,
    gateway: EtcdGateway,
    _temporary: TempDir,
}

/// One member, to be killed, suspended and restarted.
#[derive(Debug)]
pub struct EtcdMember {
    /// The process.
    pub process: Process,
    client: SocketAddr,
    proxy: Option<Proxy>,
    runs: bool,
}

/// Where a member listens, before it is started.
struct Place {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    proxy: Option<Proxy>,
}

impl Place {
    async fn take(number: usize, proxied: bool) -> Self {
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (client, peer) = (local(), local());
        let proxy = if proxied { Some(Proxy::start(peer).await) } else { None };
        Self { name: format!("etcd-{}", number + 1), client, peer, proxy }
    }

    /// Where the other members reach it.
    fn peer_url(&self) -> String {
        format!("http://{}", self.proxy.as_ref().map_or(self.peer, |proxy| proxy.addr))
    }

    fn start(self, temporary: &TempDir, cluster: &str, options: &EtcdOptions) -> EtcdMember {
        let client_url = format!("http://{}", self.client);
        let log = temporary.path().join(format!("{}.log", self.name));
        let mut program = Program::at("etcd", log)
            .args(["--name", &self.name, "--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"])
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &format!("http://{}", self.peer)])
            .args(["--initial-advertise-peer-urls", &self.peer_url(), "--initial-cluster", cluster])
            // A member of another test that had these ports before must not get in.
            .args(["--initial-cluster-state", "new", "--initial-cluster-token", &temporary.path().to_string_lossy()])
            .arg("--data-dir")
            .arg(temporary.path().join(&self.name))
            .args(&options.args);
        if !options.fsync {
            program = program.arg("--unsafe-no-fsync");
        }
        EtcdMember { process: program.start(), client: self.client, proxy: self.proxy, runs: true }
    }
}

impl Etcd {
    /// Starts a cluster of that many members and waits until every one of them takes writes.
    pub async fn start(members: usize) -> Self {
        Self::start_with(EtcdOptions { members, ..EtcdOptions::default() }).await
    }

    /// The same with options.
    pub async fn start_with(options: EtcdOptions) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut places = Vec::with_capacity(options.members);
        for number in 0..options.members {
            places.push(Place::take(number, options.proxied).await);
        }
        let cluster: Vec<_> = places.iter().map(|place| format!("{}={}", place.name, place.peer_url())).collect();
        let cluster = cluster.join(",");
        let members = places.into_iter().map(|place| place.start(&temporary, &cluster, &options)).collect();
        let etcd = Self { members, gateway: EtcdGateway::new(), _temporary: temporary };
        etcd.wait_ready(START_DEADLINE).await;
        etcd
    }

    /// Where clients reach the members: `127.0.0.1:2379`.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.to_string()).collect()
    }

    /// The same as `web-svc --metadata` takes it: `etcd://127.0.0.1:2379,127.0.0.1:2389`.
    pub fn url(&self) -> String {
        format!("etcd://{}", self.endpoints().join(","))
    }

    /// The number of members, dead ones included.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// A member, by its number from 0.
    pub fn member(&mut self, number: usize) -> &mut EtcdMember {
        &mut self.members[number]
    }

    /// The member that leads and takes writes.
    ///
    /// # Panics
    /// When there is none for a minute.
    pub async fn leader(&self) -> usize {
        let began = Instant::now();
        loop {
            if let Some(leader) = self.leader_now().await {
                return leader;
            }
            assert!(began.elapsed() < START_DEADLINE, "etcd has no leader");
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The member that leads as far as it knows itself; of several, one may be cut off, the one of the latest term.
    pub async fn leader_now(&self) -> Option<usize> {
        let alive = self.members.iter().enumerate().filter(|(_, member)| member.runs);
        self.gateway.leader(alive.map(|(number, member)| (number, member.endpoint()))).await
    }

    /// Kills the leader and says who it was; [`EtcdMember::restart`] brings it back.
    pub async fn kill_leader(&mut self) -> usize {
        let leader = self.leader().await;
        self.member(leader).kill();
        leader
    }

    /// Kills all members at once.
    pub fn stop_all(&mut self) {
        self.members.iter_mut().for_each(EtcdMember::kill);
    }

    /// Starts all members that do not run, with the data they had, and waits until each takes writes.
    pub async fn restart_all(&mut self) {
        self.members.iter_mut().filter(|member| !member.runs).for_each(EtcdMember::restart);
        self.wait_ready(START_DEADLINE).await;
    }

    /// Waits until every member takes writes.
    ///
    /// # Panics
    /// When one does not within `deadline`.
    pub async fn wait_ready(&self, deadline: Duration) {
        let began = Instant::now();
        for member in &self.members {
            while !self.takes_writes(member).await {
                assert!(began.elapsed() < deadline, "etcd at {} takes no writes", member.client);
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    /// Waits until some member takes writes, and says how long that was.
    ///
    /// # Panics
    /// When none does within `deadline`.
    pub async fn wait_healthy(&self, deadline: Duration) -> Duration {
        let began = Instant::now();
        loop {
            for member in self.members.iter().filter(|member| member.runs) {
                if self.takes_writes(member).await {
                    return began.elapsed();
                }
            }
            assert!(began.elapsed() < deadline, "no member of etcd takes writes");
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The latest revision.
    pub async fn revision(&self) -> u64 {
        let leader = self.leader().await;
        self.gateway.status(&self.members[leader].endpoint()).await.unwrap().revision
    }

    /// Forgets all revisions before this one.
    pub async fn compact(&self, revision: u64) {
        let leader = self.leader().await;
        self.gateway.compact(&self.members[leader].endpoint(), revision).await;
    }

    /// Cuts the network between a member and all others; clients still reach it. [`Self::reconnect`] mends it.
    ///
    /// # Panics
    /// When the cluster was started without [`EtcdOptions::proxied`].
    pub fn isolate(&mut self, number: usize, cut: Cut) {
        let pid = self.members[number].process.pid();
        let others = self.members.iter().map(|member| member.process.pid()).filter(|other| *other != pid).collect();
        for (other, member) in self.members.iter().enumerate() {
            let barred = if other == number { Vec::clone(&others) } else { vec![pid] };
            member.proxy.as_ref().unwrap().bar(barred, cut);
        }
    }

    /// Mends what [`Self::isolate`] cut.
    pub fn reconnect(&self) {
        self.members.iter().filter_map(|member| member.proxy.as_ref()).for_each(Proxy::admit);
    }

    /// Whether this member takes writes now, which needs a quorum that it can reach.
    pub async fn member_takes_writes(&self, number: usize) -> bool {
        self.takes_writes(&self.members[number]).await
    }

    async fn takes_writes(&self, member: &EtcdMember) -> bool {
        self.gateway.takes_writes(&member.endpoint()).await
    }
}

impl EtcdMember {
    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
        self.runs = false;
    }

    /// Stops its clock (SIGSTOP): its connections stay open.
    pub fn suspend(&mut self) {
        self.process.suspend();
        self.runs = false;
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process.resume();
        self.runs = true;
    }

    /// Kills it if it still runs, and starts it again with the data it had.
    pub fn restart(&mut self) {
        self.process.restart();
        self.runs = true;
    }

    fn endpoint(&self) -> String {
        self.client.to_string()
    }

    /// Whether it was neither killed nor suspended.
    pub fn runs(&self) -> bool {
        self.runs
    }
}
