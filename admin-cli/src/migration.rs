//! Beginning a move of content and following it to its end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use triton_api::{
    cluster::Node,
    rebalance::{ApplyRequest, Rebalance, RebalancePhase, RebalancePlan},
};

use crate::{
    failure::Failure,
    measure::{bytes, remaining},
    patience::Patience,
    session::Session,
};

/// The pause between two looks at a move.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Begins exactly what `plan` says, and follows it if `wait`. A plan without changes is done already; one that loses content
/// is refused by the server unless `accept_loss`.
pub(crate) async fn apply(
    session: &Session,
    plan: &RebalancePlan,
    wait: bool,
    accept_loss: bool,
) -> Result<Rebalance, Failure> {
    if plan.changes.is_empty() {
        session.output.note("Nothing is staged: there is nothing to do.");
        return Ok(session.client.rebalance().await?);
    }
    session.output.note(&announce(plan));
    let begun = session.client.rebalance_apply(ApplyRequest { epoch: Some(plan.epoch), accept_loss }).await?;
    if !wait {
        session.output.note("Begun. `tritonctl rebalance status --watch` follows it.");
        return Ok(begun);
    }
    let ended = follow(session).await?;
    outcome(plan, &session.client.nodes().await?.items)?;
    Ok(ended)
}

fn announce(plan: &RebalancePlan) -> String {
    let changes = plan.changes.join("; ");
    format!("{changes}: {} replicas, {} to move.", plan.replicas_to_move, bytes(plan.bytes_to_move))
}

/// Whether every node holds what the plan said. After an abort, which is a move back, they hold what they held before.
fn outcome(plan: &RebalancePlan, nodes: &[Node]) -> Result<(), Failure> {
    let holds = |id| nodes.iter().find(|node| node.id == id).map_or(0, |node| node.partitions);
    if plan.nodes.iter().all(|node| holds(node.id) == node.partitions_after) {
        return Ok(());
    }
    Err(Failure::Failed(
        "The move was aborted: the nodes hold what they held before. `rebalance plan` shows what is staged.".into(),
    ))
}

/// Watches the move until nothing moves any more.
pub(crate) async fn follow(session: &Session) -> Result<Rebalance, Failure> {
    let bar = MoveBar::new();
    let mut patience = Patience::default();
    loop {
        match session.client.rebalance().await {
            Ok(state) if state.phase == RebalancePhase::Stable => {
                bar.0.finish_and_clear();
                session.output.note(&format!("Nothing moves; epoch {} is in force.", state.epoch));
                return Ok(state);
            }
            Ok(state) => {
                patience.restore();
                bar.show(&state);
            }
            Err(error) => {
                bar.0.set_message(error.to_string());
                patience.spend(error)?;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct MoveBar(ProgressBar);

impl MoveBar {
    /// Draws to standard error, and only if that is a terminal.
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{spinner} [{bar:24}] {msg}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")))
    }

    fn show(&self, state: &Rebalance) {
        // A cluster without content has partitions to move and no bytes.
        let (done, total) = match state.bytes_total {
            0 => (u64::from(state.partitions_done), u64::from(state.partitions_total)),
            total => (state.bytes_done, total),
        };
        self.0.set_length(total.max(done));
        self.0.set_position(done);
        self.0.set_message(line(state));
    }
}

/// The state of a move in one line.
pub(crate) fn line(state: &Rebalance) -> String {
    let mut parts = vec![
        format!("{}/{} partitions", state.partitions_done, state.partitions_total),
        format!("{} of {}", bytes(state.bytes_done), bytes(state.bytes_total)),
    ];
    if state.phase == RebalancePhase::Paused {
        parts.push("paused".to_owned());
    } else {
        parts.push(format!("{}/s", bytes(state.bytes_per_second)));
        parts.extend(state.eta_seconds.map(|seconds| format!("{} left", remaining(seconds))));
    }
    parts.extend(state.errors.last().map(|error| format!("last error: {error}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use triton_api::Epoch;

    use super::*;

    fn moving() -> Rebalance {
        Rebalance {
            phase: RebalancePhase::Migrating,
            epoch: Epoch::new(3),
            partitions_done: 12,
            partitions_total: 410,
            bytes_done: 5 << 20,
            bytes_total: 1 << 30,
            bytes_per_second: 10 << 20,
            eta_seconds: Some(102),
            errors: Vec::new(),
            staged: Vec::new(),
            reason: None,
            last: None,
        }
    }

    #[test]
    fn line_tells_progress_rate_and_time_left() {
        assert_eq!(line(&moving()), "12/410 partitions, 5.0 MiB of 1.0 GiB, 10 MiB/s, 2 min left");
        let paused = Rebalance { phase: RebalancePhase::Paused, errors: vec!["n2: disk full".to_owned()], ..moving() };
        assert_eq!(line(&paused), "12/410 partitions, 5.0 MiB of 1.0 GiB, paused, last error: n2: disk full");
    }
}
