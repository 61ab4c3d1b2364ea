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
    grounds::Grounds,
    log,
    script::Script,
    strike::{Step, Strike},
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
        sleep_until(began + at).await;
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
    let Some(node) = step.strike.victim() else {
        books.weather.ends(number);
        return Ok(());
    };
    let (client, books, lasts) = (grounds.client(node)?, Arc::clone(books), step.strike.lasts());
    recoveries.spawn(async move {
        if !recovers(&client).await {
            books.breach(Broken::NoRest, &format!("node {node} does not answer {RECOVERY_MAX:?} after it was healed"));
        }
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
