//! A whole run: the workload and the nemesis side by side, then the verdict.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use triton_api::VideoId;

use crate::{
    admin::Admin,
    breach::Breach,
    clip::Clips,
    editor::edit,
    fleet::Fleet,
    harm::Kind,
    latency::median,
    nemesis::haunt,
    observer::observe,
    probe::probe,
    report,
    schedule::{Deck, schedule},
    searcher::search,
    stage::Stage,
    tus,
    uploader::Uploader,
    verdict::judge,
    viewer::view,
};

/// Numbers of uploads before those of the uploaders.
const HOUSE_VIDEOS: u64 = 1 << 32;
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
const READY_DEADLINE: Duration = Duration::from_secs(180);

/// How to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything random.
    pub seed: u64,
    /// How long there are disturbances.
    pub duration: Duration,
    /// What disturbances, and how often.
    pub deck: Deck,
    /// Viewers, spread over the web services.
    pub viewers: usize,
    /// Uploaders.
    pub uploaders: usize,
    /// Videos that may be unfinished at once.
    pub unfinished_max: usize,
    /// How long the fleet may take to come to rest afterwards.
    pub settle_deadline: Duration,
    /// What the fleet is, for the report.
    pub title: String,
}

impl Plan {
    /// About a minute, for `make test`.
    pub fn short(seed: u64) -> Self {
        Self {
            seed,
            duration: Duration::from_secs(50),
            deck: Deck::short(),
            viewers: 3,
            uploaders: 2,
            unfinished_max: 2,
            settle_deadline: Duration::from_secs(120),
            title: "processes of this machine, short".to_owned(),
        }
    }

    /// As long as wanted.
    pub fn long(seed: u64, duration: Duration, title: &str) -> Self {
        Self {
            seed,
            duration,
            deck: Deck::long(),
            viewers: 6,
            uploaders: 3,
            unfinished_max: 4,
            settle_deadline: Duration::from_secs(600),
            title: title.to_owned(),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// In Markdown.
    pub report: String,
    /// How often each promise was broken, all of them.
    pub breaches: Vec<(Breach, u64)>,
}

impl Outcome {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.breaches.iter().all(|(_, count)| *count == 0)
    }
}

/// Runs a plan against a fleet, which is healed at the end.
pub async fn run<F: Fleet>(fleet: &mut F, plan: &Plan) -> anyhow::Result<Outcome> {
    let (stage, parts) = (Stage::new(fleet.site())?, fleet.parts());
    say(&format!("seed {}, {} for {} s", plan.seed, plan.title, plan.duration.as_secs()));
    let clips = tokio::task::spawn_blocking(Clips::make).await.context("the clips")??;
    let tus = tus::is_spoken(&stage).await;
    let uploader = |number: u64| Uploader {
        stage: stage.clone(),
        clips: clips.clone(),
        number,
        step: plan.uploaders as u64,
        unfinished_max: plan.unfinished_max,
        tus,
    };
    let house = furnish(&stage, &uploader(HOUSE_VIDEOS)).await?;
    let edited = *house.first().context("no video to edit")?;

    let mut actors = JoinSet::new();
    let seed = |number: u64| plan.seed.wrapping_mul(1_000).wrapping_add(number);
    for number in 0..plan.viewers {
        actors.spawn(view(stage.clone(), number, seed(number as u64)));
    }
    for number in 0..plan.uploaders as u64 {
        actors.spawn(uploader(number).work(seed(100 + number)));
    }
    for web in 0..stage.site.webs.len() {
        actors.spawn(edit(stage.clone(), edited, web));
        actors.spawn(probe(stage.clone(), *house.get(web + 1).context("no video to probe")?, web));
    }
    actors.spawn(search(stage.clone(), seed(200)));
    actors.spawn(observe(stage.clone()));
    let active_min = usize::from(stage.site.replicas) + 1;
    actors.spawn(Admin::new(stage.clone(), seed(300), active_min).work());

    play(fleet, &stage, plan, schedule(plan.seed, &plan.deck, parts)).await?;
    while let Some(ended) = actors.join_next().await {
        ended.context("an actor broke down")?;
    }
    say("all is healed; waiting until the fleet is at rest");
    let ending = judge(&stage, Admin::new(stage.clone(), 0, active_min), edited, plan.settle_deadline).await;
    let books = stage.ledger.books();
    let breaches = Breach::ALL.into_iter().map(|breach| (breach, books.count(breach))).collect();
    let report = report::write(plan, parts, &stage.ledger, &books, &ending);
    Ok(Outcome { report, breaches })
}

/// The nemesis until the time is over, with a line of progress now and then.
async fn play<F: Fleet>(
    fleet: &mut F,
    stage: &Stage,
    plan: &Plan,
    steps: impl Iterator<Item = crate::schedule::Step>,
) -> anyhow::Result<()> {
    let mut nemesis = std::pin::pin!(haunt(fleet, stage, steps));
    let mut end = std::pin::pin!(tokio::time::sleep(plan.duration));
    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    loop {
        // Cancel safe: the nemesis goes on where it was, the others are timers.
        tokio::select! {
            done = &mut nemesis => {
                // With nothing to harm it is done at once, and the others play on.
                done?;
                break;
            }
            () = &mut end, if !stage.stop.is_cancelled() => stage.stop.cancel(),
            _ = progress.tick() => say(&line(stage)),
        }
    }
    if !stage.stop.is_cancelled() {
        end.await;
        stage.stop.cancel();
    }
    Ok(())
}

/// The videos that are there from the beginning: one to edit, and one for each probe.
async fn furnish(stage: &Stage, uploader: &Uploader) -> anyhow::Result<Vec<VideoId>> {
    let count = stage.site.webs.len() as u64 + 1;
    for number in 0..count {
        uploader.send_good(HOUSE_VIDEOS + number, 0).await;
    }
    let house: Vec<_> = stage.ledger.books().uploads.iter().map(|upload| upload.id).collect();
    let ready = async {
        for id in &house {
            while !stage.web(0).video(*id).await.is_ok_and(|video| video.playable) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    tokio::time::timeout(READY_DEADLINE, ready).await.context("the first videos do not become ready")?;
    Ok(house)
}

fn line(stage: &Stage) -> String {
    let (at, now) = (stage.ledger.at().as_secs(), stage.ledger.now().unwrap_or_else(|| "peace".to_owned()));
    let books = stage.ledger.books();
    let broken: u64 = Breach::ALL.into_iter().map(|breach| books.count(breach)).sum();
    let kills = books.outages_of(Kind::EtcdLeaderKilled);
    format!(
        "{at:>4} s: {} reads, {} on the other service, {} uploads, {} unfinished, {} edits, {} disturbances, \
         writes away {:.1} s in the median of {} leader kills, {broken} promises broken; now: {now}",
        books.reads.answered,
        books.reads.on_other,
        books.uploads.len(),
        books.unfinished,
        books.edits.acknowledged,
        books.disturbances.len(),
        median(&kills).as_secs_f32(),
        kills.len(),
    )
}

#[expect(clippy::print_stderr, reason = "a long run shows on the terminal that it lives")]
fn say(text: &str) {
    eprintln!("{text}");
}
