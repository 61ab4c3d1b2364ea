//! One seed: clients at work, the nemesis beside them, then the verdict.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    books::{Books, Stand},
    client::Client,
    counts::Broken,
    ending,
    grounds::{self, Grounds, NODES, REPLICAS},
    log, nemesis, reader,
    report::ReadLimits,
    scenario::{Scenario, Trouble},
    scene::Scene,
    script::Script,
    tally::Tally,
    writer,
};
use crate::{admin::Admin, stage::Stage};

const WRITERS: u64 = 4;
const READERS: u64 = 6;
const DELETERS: u64 = 2;
/// Blobs that are there from the beginning, and how many of them are deleted while all is well.
const FURNITURE: u64 = 150;
const FURNITURE_DELETED: usize = 30;
/// How long there is trouble: enough for some changes of the layout.
const PLAY: Duration = Duration::from_secs(12);
/// How soon the two clients look for a new layout.
const FOLLOW_EVERY: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(250)];
/// Between two acts of the admin, in milliseconds.
const ADMIN_REST_MS: std::ops::Range<u64> = 200..1_200;

/// How to run one seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything random.
    pub seed: u64,
    /// What trouble there is.
    pub scenario: Scenario,
    /// How long.
    pub duration: Duration,
    /// How long the ring may take to come to rest afterwards.
    pub settle_deadline: Duration,
    /// What reads may take.
    pub reads: ReadLimits,
    /// Where logs are kept when a promise was broken.
    pub logs: Option<PathBuf>,
    /// Whether they are kept in any case.
    pub keeps_logs: bool,
}

impl Plan {
    /// What a seed does by itself.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            scenario: Scenario::of_seed(seed),
            duration: PLAY,
            settle_deadline: Duration::from_secs(90),
            reads: ReadLimits { p99_max: Duration::from_millis(300), max: Duration::from_secs(1) },
            logs: None,
            keeps_logs: false,
        }
    }
}

/// Runs a seed on processes of its own. One run at a time in a process: its connections are told apart by the process.
pub async fn run(plan: &Plan) -> anyhow::Result<Tally> {
    let (scenario, left_out) = grounds::possible(&plan.scenario);
    let began = Instant::now();
    let mut grounds = Grounds::start(&scenario, plan.seed).await?;
    let stage = Stage::new(grounds.site())?;
    let script = Script::of(plan.seed, &scenario, crashing(&scenario, &grounds), plan.duration);
    let addresses = grounds.addresses();
    let clients =
        [Client::start(&addresses, FOLLOW_EVERY[0]).await?, Client::start(&addresses, FOLLOW_EVERY[1]).await?];
    let nodes = (0..grounds.count()).map(|node| grounds.client(node)).collect::<Result<_, _>>()?;
    let scene = Scene { books: Arc::new(Books::new()), nodes: Arc::new(nodes), stop: CancellationToken::new() };
    let rough = if script.rough { ", rough" } else { "" };
    log::line(Duration::ZERO, &format!("seed {}, scenario {scenario}{rough}", plan.seed));
    furnish(&scene.books, &clients, plan.seed).await?;

    let mut actors = JoinSet::new();
    employ(&mut actors, &scene, &clients, plan.seed);
    if scenario.has(Trouble::Reconfigure) {
        let admin = Admin::new(stage.clone(), seed_of(plan.seed, 300), usize::from(REPLICAS) + 1);
        actors.spawn(admin.resting(ADMIN_REST_MS).work());
    }
    let haunting = nemesis::haunt(&mut grounds, &scene.books, &script);
    let end = tokio::time::sleep(plan.duration);
    let (haunted, ()) = tokio::join!(haunting, end);
    scene.stop.cancel();
    stage.stop.cancel();
    haunted?;
    while let Some(ended) = actors.join_next().await {
        ended.context("an actor broke down")?;
    }
    log::line(scene.books.at(), "all is healed; waiting until the ring is at rest");
    let admin = Admin::new(stage.clone(), 0, usize::from(REPLICAS) + 1);
    let ending = ending::judge(&stage, admin, &scene.books, &clients[1].ring, plan.settle_deadline).await;
    judge_latencies(plan, &scene.books);
    let tally = Tally::of(plan, &script, left_out, &scene.books, &stage, &ending, began.elapsed());
    if (plan.keeps_logs || !tally.is_clean())
        && let Some(logs) = &plan.logs
    {
        grounds.keep_logs(logs)?;
    }
    Ok(tally)
}

/// The nodes that may be struck: without layout changes those of the layout only.
fn crashing(scenario: &Scenario, grounds: &Grounds) -> usize {
    if scenario.has(Trouble::Reconfigure) { grounds.count() } else { NODES }
}

fn seed_of(seed: u64, number: u64) -> u64 {
    seed.wrapping_mul(1_000).wrapping_add(number)
}

/// Some content from quiet times, some of it deleted: those deletes are known to every holder.
async fn furnish(books: &Arc<Books>, clients: &[Client; 2], seed: u64) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed_of(seed, 400));
    for number in 0..FURNITURE {
        writer::write_one(books, &clients[0].ring, seed_of(seed, 400), (400, number), &mut rng).await;
    }
    let acknowledged = books.open().entries.iter().filter(|entry| entry.stand == Stand::Acknowledged).count();
    anyhow::ensure!(acknowledged > FURNITURE_DELETED, "too little could be written while all was well");
    for _ in 0..FURNITURE_DELETED {
        if let Some(number) = books.pick(&mut rng, |stand| stand == Stand::Acknowledged) {
            writer::delete_one(books, &clients[1].ring, number).await;
        }
    }
    Ok(())
}

fn employ(actors: &mut JoinSet<()>, scene: &Scene, clients: &[Client; 2], seed: u64) {
    let ring = |number: u64| clients[usize::from(number % 2 == 1)].ring.clone();
    for number in 0..WRITERS {
        actors.spawn(writer::write(scene.clone(), ring(number), number, seed_of(seed, number)));
    }
    for number in 0..READERS {
        actors.spawn(reader::read(scene.clone(), ring(number), seed_of(seed, 100 + number)));
    }
    for number in 0..DELETERS {
        actors.spawn(writer::delete(scene.clone(), ring(number), seed_of(seed, 200 + number)));
    }
}

fn judge_latencies(plan: &Plan, books: &Books) {
    let (p99, max, slowest) = {
        let counts = &books.open().counts;
        (counts.judged.quantile(0.99), counts.judged.max(), counts.slowest.clone())
    };
    if p99 > plan.reads.p99_max || max > plan.reads.max {
        books.breach(Broken::SlowRead, &format!("p99 {p99:?}, longest {max:?}: {slowest}"));
    }
}
