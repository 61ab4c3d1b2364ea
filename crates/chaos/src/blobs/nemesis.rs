//! The nemesis: strikes and heals by the script.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use triton_api::client::NodeClient;

use super::{
    books::Books,
    counts::Broken,
    grounds::{Aborted, Grounds},
    log,
    script::Script,
    strike::{SOME_NODE, Step, Strike},
};

/// How long a node may take to answer again after it is healed.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// Plays the script and leaves the ground healed.
pub(super) async fn haunt(grounds: &mut Grounds, books: &Arc<Books>, script: &Script) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut events: Vec<(Duration, bool, usize)> = Vec::new();
    for (number, step) in script.steps.iter().enumerate() {
        events.push((step.at, true, number));
        events.push((step.at + step.hold, false, number));
    }
    events.sort();
    let mut recoveries = JoinSet::new();
    for (at, begins, number) in events {
        let Some(step) = script.steps.get(number) else { continue };
        until(began + at, grounds, books, &mut recoveries).await?;
        if begins {
            strike(grounds, books, number, step).await?;
        } else {
            heal(grounds, books, number, step, &mut recoveries).await?;
        }
    }
    while let Some(ended) = recoveries.join_next().await {
        ended.context("a watch over a node broke down")?;
    }
    Ok(())
}

/// Waits, and meanwhile starts what has aborted at a step that was armed.
async fn until(
    moment: Instant,
    grounds: &mut Grounds,
    books: &Arc<Books>,
    recoveries: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    while Instant::now() < moment {
        if let Some(aborted) = grounds.tend().await {
            started_again(aborted, grounds, books, recoveries)?;
        }
        sleep_until(moment.min(Instant::now() + LOOK_EVERY)).await;
    }
    Ok(())
}

fn started_again(
    aborted: Aborted,
    grounds: &Grounds,
    books: &Arc<Books>,
    recoveries: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let step = format!("{:02} {}", aborted.step.number(), aborted.step.name());
    log::line(books.at(), &format!("aborted at step {step}, started again"));
    *books.open().steps.entry(step).or_default() += 1;
    if let Some(node) = aborted.node {
        books.weather.harm(node);
        let (client, books) = (grounds.client(node)?, Arc::clone(books));
        recoveries.spawn(async move {
            await_recovery(node, &client, &books).await;
            books.weather.heal(node);
        });
    }
    Ok(())
}

async fn await_recovery(node: usize, client: &NodeClient, books: &Books) {
    if !recovers(client).await {
        books.breach(Broken::NoRest, &format!("node {node} does not answer {RECOVERY_MAX:?} after it was healed"));
    }
}

async fn strike(grounds: &mut Grounds, books: &Arc<Books>, number: usize, step: &Step) -> anyhow::Result<()> {
    log::line(books.at(), &format!("{} for {:?}", step.strike, step.hold));
    books.weather.begins(number, step.strike.to_string());
    if let Some(node) = step.strike.victim() {
        books.weather.harm(node);
    }
    if matches!(step.strike, Strike::LoseDisk(_)) {
        books.weather.content_is_lost();
    }
    if let Some(remark) = grounds.harm(number, step.strike).await? {
        log::line(books.at(), &remark);
    }
    *books.open().strikes.entry(step.strike.kind()).or_default() += 1;
    Ok(())
}

async fn heal(
    grounds: &mut Grounds,
    books: &Arc<Books>,
    number: usize,
    step: &Step,
    recoveries: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    grounds.heal(number, step.strike).await?;
    log::line(books.at(), &format!("healed: {}", step.strike));
    if matches!(step.strike, Strike::Abort(..))
        && let Some(aborted) = grounds.disarm().await
    {
        started_again(aborted, grounds, books, recoveries)?;
    }
    let Some(node) = step.strike.victim().filter(|node| *node != SOME_NODE) else {
        if step.strike.victim().is_some() {
            books.weather.heal(SOME_NODE);
        }
        books.weather.ends(number);
        return Ok(());
    };
    let (client, books, lasts) = (grounds.client(node)?, Arc::clone(books), step.strike.lasts());
    recoveries.spawn(async move {
        await_recovery(node, &client, &books).await;
        if !lasts {
            books.weather.heal(node);
        }
        books.weather.ends(number);
    });
    Ok(())
}

async fn recovers(client: &NodeClient) -> bool {
    let began = Instant::now();
    while began.elapsed() < RECOVERY_MAX {
        if matches!(tokio::time::timeout(LOOK_TIMEOUT, client.info()).await, Ok(Ok(_))) {
            return true;
        }
        sleep(LOOK_EVERY).await;
    }
    false
}
