//! Concurrent compare-and-swaps over several processes while members of etcd are killed and hang, and answers are lost:
//! what the clients saw has an order that explains it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use triton_testkit::{Etcd, EtcdOptions, Fault, Proxy};
use web_svc::{
    journal::{Change, Expect, Journal, JournalError, RecordKey},
    store::Store,
};

use crate::{
    contract::{key, read},
    history::{Call, Condition, Content, History, Outcome, Sighting, Step},
    process::{DEADLINE, Process},
};

const KEYS: usize = 4;
const CLIENTS_PER_PROCESS: u32 = 2;
/// How often a leader of etcd is killed.
const KILLS: usize = 3;

/// What all clients share.
struct Arena {
    began: Instant,
    numbers: AtomicU64,
    is_over: AtomicBool,
}

impl Arena {
    fn now_ns(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }
}

/// One client, which changes records through one process and reads them from that process's store.
struct Client {
    number: u32,
    arena: Arc<Arena>,
    journal: Arc<dyn Journal>,
    store: Store,
    rng: StdRng,
    /// What it read before, to be wrong about.
    former: [(Content, Expect); KEYS],
    history: History,
}

impl Client {
    fn new(number: u32, arena: &Arc<Arena>, process: &Process) -> Self {
        let (journal, store) = (Arc::clone(&process.journal), process.store.clone());
        let rng = StdRng::seed_from_u64(u64::from(number));
        let former = [(None, Expect::Absent); KEYS];
        Self { number, arena: Arc::clone(arena), journal, store, rng, former, history: History::default() }
    }

    async fn run(mut self) -> History {
        while !self.arena.is_over.load(Ordering::Relaxed) {
            self.call().await;
            sleep(Duration::from_millis(self.rng.random_range(5..40))).await;
        }
        self.history
    }

    async fn look(&mut self, name: &RecordKey) -> (Content, Expect) {
        let Some(found) = read(&self.store, name).await else { return (None, Expect::Absent) };
        let (number, revision) = (found.value.as_u64().unwrap(), found.revision.get());
        self.history.sightings.push(Sighting { number, revision, at_ns: self.arena.now_ns() });
        (Some(number), Expect::At(found.revision))
    }

    async fn call(&mut self) {
        let at = self.rng.random_range(0..KEYS);
        let name = key(&at.to_string());
        let now = self.look(&name).await;
        let former = std::mem::replace(&mut self.former[at], now);
        let (condition, expect) = match self.rng.random_range(0..20) {
            0..4 => (Condition::Is(former.0), former.1),
            4 => (Condition::Anything, Expect::Anything),
            _ => (Condition::Is(now.0), now.1),
        };
        let step = match self.rng.random_range(0..10) {
            0..2 => Step::Delete,
            2 => Step::Check,
            _ => Step::Put(self.arena.numbers.fetch_add(1, Ordering::Relaxed)),
        };
        let change = match step {
            Step::Put(number) => Change::new().put(name.clone(), expect, &json!(number)).unwrap(),
            Step::Delete => Change::new().delete(name.clone(), expect),
            Step::Check => Change::new().require(name.clone(), expect),
        };
        // Some callers do not wait for the answer, as a client does that hangs up.
        let hangs_up = self.rng.random_ratio(1, 15);
        let patience = if hangs_up { Duration::from_millis(self.rng.random_range(1..5)) } else { DEADLINE };
        let called_ns = self.arena.now_ns();
        let answer = timeout(patience, self.journal.commit(change)).await;
        let returned_ns = self.arena.now_ns();
        let outcome = match answer {
            Ok(Ok(revision)) => {
                self.reads_what_it_did(&name, step, revision.get()).await;
                Outcome::Done(revision.get())
            }
            Ok(Err(JournalError::Conflict { .. })) => Outcome::Refused,
            Ok(Err(JournalError::Lagging { revision })) => Outcome::Done(revision.get()),
            Ok(Err(error)) => {
                assert!(error.is_outage(), "{error}");
                Outcome::Unknown
            }
            Err(_) => Outcome::Unknown,
        };
        let client = self.number;
        self.history.calls.push(Call { client, key: at, condition, step, outcome, called_ns, returned_ns });
    }

    /// The process that committed shows what was committed, or something newer.
    async fn reads_what_it_did(&mut self, name: &RecordKey, step: Step, revision: u64) {
        let reached = self.store.revision().await.unwrap().get();
        let shown = self.look(name).await;
        let is_shown = match (step, shown.1) {
            (Step::Check, _) => true,
            (Step::Put(number), Expect::At(at)) if at.get() == revision => shown.0 == Some(number),
            (_, Expect::At(at)) => at.get() > revision,
            (Step::Delete, _) => true,
            // Deleted meanwhile.
            (Step::Put(_), _) => self.store.revision().await.unwrap().get() > revision,
        };
        assert!(is_shown, "{step:?} of {name} was done at {revision}, the store at {reached} shows {shown:?}");
    }
}

/// Kills leaders, lets one hang, and cuts the third process off in the middle of answers.
async fn disturb(etcd: &mut Etcd, proxies: &[Proxy]) {
    let pause = Duration::from_millis(600);
    let cut = |fault| {
        for proxy in proxies {
            proxy.fault(fault);
        }
    };
    for round in 0..KILLS {
        let killed = etcd.kill_leader().await;
        etcd.wait_healthy(DEADLINE).await;
        sleep(pause).await;
        etcd.member(killed).restart();
        etcd.wait_ready(DEADLINE).await;
        // After a cut the watch is opened again with ever longer pauses, so that cuts are rare.
        for limit in [40, 400, 1500] {
            cut(Fault::CutAfter(limit + 100 * round as u64));
            sleep(Duration::from_millis(100)).await;
            cut(Fault::None);
            sleep(pause / 2).await;
        }
        sleep(pause).await;
    }
    let leader = etcd.leader().await;
    etcd.member(leader).suspend();
    etcd.wait_healthy(DEADLINE).await;
    sleep(pause).await;
    etcd.member(leader).resume();
    etcd.wait_ready(DEADLINE).await;
    sleep(pause).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_compare_and_swaps_are_linearizable_while_etcd_fails_and_answers_are_lost() {
    let mut etcd = Etcd::start_with(EtcdOptions { members: 3, fsync: true, ..EtcdOptions::default() }).await;
    let mut proxies = Vec::new();
    for endpoint in etcd.endpoints() {
        proxies.push(Proxy::start(endpoint.parse().unwrap()).await);
    }
    let roads: Vec<_> = proxies.iter().map(|proxy| proxy.addr.to_string()).collect();
    let processes = [
        Process::join(&etcd.url()).await,
        Process::join(&etcd.url()).await,
        Process::join(&format!("etcd://{}", roads.join(","))).await,
    ];
    let arena = Arena { began: Instant::now(), numbers: AtomicU64::new(1), is_over: AtomicBool::new(false) };
    let arena = Arc::new(arena);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS_PER_PROCESS * 3 {
        clients.spawn(Client::new(number, &arena, &processes[number as usize % 3]).run());
    }
    disturb(&mut etcd, &proxies).await;
    arena.is_over.store(true, Ordering::Relaxed);
    let mut history = History::default();
    for part in clients.join_all().await {
        history.join(part);
    }
    let done = history.count(|outcome| matches!(outcome, Outcome::Done(_)));
    let (refused, unknown) =
        (history.count(|outcome| *outcome == Outcome::Refused), history.count(|outcome| *outcome == Outcome::Unknown));
    eprintln!("{done} done, {refused} refused, {unknown} unknown in {:?}", arena.began.elapsed());
    assert!(done > 100 && refused > 20 && unknown > 0, "too little happened");
    tokio::task::spawn_blocking(move || (0..KEYS).for_each(|key| history.assert_linearizable(key))).await.unwrap();
    // All processes end with the same records.
    for process in &processes {
        process.reaches(&processes[0]).await;
    }
    for at in 0..KEYS {
        let shown = read(&processes[0].store, &key(&at.to_string())).await;
        for process in &processes[1..] {
            assert_eq!(read(&process.store, &key(&at.to_string())).await, shown, "of record {at}");
        }
    }
}
