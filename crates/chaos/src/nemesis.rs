//! The nemesis: one disturbance after the other, each healed before the next.

use std::time::{Duration, Instant};

use crate::{
    breach::Breach,
    fleet::Fleet,
    harm::{Harm, Kind, Part},
    ledger::{Disturbance, Outage},
    schedule::Step,
    stage::Stage,
};

/// How long a part may take to come back on a busy machine.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// How long writes may take to resume before nobody waits for them any more.
const WRITES_MAX: Duration = Duration::from_secs(45);
/// How long writes may take to resume once all of etcd has been started again.
const AFTER_RETURN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Harms the fleet until the end of the play; leaves it healed.
pub(crate) async fn haunt<F: Fleet>(
    fleet: &mut F,
    stage: &Stage,
    steps: impl Iterator<Item = Step>,
) -> anyhow::Result<()> {
    for step in steps {
        if !stage.rest(step.rest).await {
            break;
        }
        let harm = match step.harm {
            Some(harm) => harm,
            None => match etcd_leader(fleet).await {
                Some(leader) => Harm::Kill(Part::Etcd(leader)),
                None => continue,
            },
        };
        strike(fleet, stage, step, harm).await?;
    }
    stage.healed.cancel();
    Ok(())
}

async fn strike<F: Fleet>(fleet: &mut F, stage: &Stage, step: Step, harm: Harm) -> anyhow::Result<()> {
    let ledger = &stage.ledger;
    ledger.during(Some(harm.to_string()));
    if let Some(web) = harm.excused_web() {
        ledger.harms_web(web, true);
    }
    let (at, began) = (ledger.at(), Instant::now());
    fleet.harm(harm).await?;
    match step.kind {
        Kind::EtcdLeaderKilled => {
            writes_resume(stage, step.kind, harm, began).await;
            stage.rest(step.hold.saturating_sub(began.elapsed())).await;
        }
        Kind::EtcdStopped => {
            outage(stage, step).await;
        }
        _ => {
            stage.rest(step.hold).await;
        }
    }
    let held = began.elapsed();
    fleet.heal(harm).await?;
    let healed = Instant::now();
    if step.kind == Kind::EtcdStopped {
        let after = writes_resume(stage, step.kind, harm, healed).await;
        if after.is_some_and(|after| after > AFTER_RETURN_MAX) {
            ledger.breach(Breach::LateWrites, &format!("{after:?} after all of etcd was started again"));
        }
    }
    let recovered_after = recovery(fleet, harm, healed).await;
    if recovered_after.is_none() {
        ledger.breach(Breach::NotRecovered, &format!("not within {RECOVERY_MAX:?} after: {harm}"));
    }
    if let Some(web) = harm.excused_web() {
        ledger.harms_web(web, false);
    }
    ledger.during(None);
    let disturbance = Disturbance { at, kind: step.kind, what: harm.to_string(), held, recovered_after };
    ledger.books().disturbances.push(disturbance);
    Ok(())
}

/// The time without etcd, in which writes have to be refused.
async fn outage(stage: &Stage, step: Step) {
    let ledger = &stage.ledger;
    let refused = ledger.books().writes.refused_without_etcd;
    ledger.etcd_is_away(true);
    // Not cut short by the end of the play.
    tokio::time::sleep(step.hold).await;
    ledger.etcd_is_away(false);
    if ledger.books().writes.refused_without_etcd == refused {
        ledger.breach(Breach::DishonestOutage, &format!("no write was refused in {:?}", step.hold));
    }
}

/// Waits until a write that began after `moment` has succeeded on every web service.
async fn writes_resume(stage: &Stage, kind: Kind, harm: Harm, moment: Instant) -> Option<Duration> {
    let webs = stage.site.webs.len();
    while moment.elapsed() < WRITES_MAX {
        if (0..webs).all(|web| stage.ledger.wrote_since(web, moment)) {
            let writes_after = moment.elapsed();
            let at = stage.ledger.at().saturating_sub(writes_after);
            stage.ledger.books().outages.push(Outage { at, kind, harm, writes_after });
            return Some(writes_after);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    stage.ledger.breach(Breach::LateWrites, &format!("not within {WRITES_MAX:?} after: {}", kind.words()));
    None
}

async fn recovery<F: Fleet>(fleet: &mut F, harm: Harm, healed: Instant) -> Option<Duration> {
    while healed.elapsed() < RECOVERY_MAX {
        if fleet.is_well(harm).await {
            return Some(healed.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

async fn etcd_leader<F: Fleet>(fleet: &mut F) -> Option<usize> {
    let began = Instant::now();
    while began.elapsed() < RECOVERY_MAX {
        if let Some(leader) = fleet.etcd_leader().await {
            return Some(leader);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}
