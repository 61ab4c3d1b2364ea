//! `tritonctl rebalance`.

use clap::Subcommand;
use triton_api::{
    Epoch,
    rebalance::{Rebalance, RebalancePhase, RebalancePlan},
};

use crate::{
    failure::Failure,
    measure::{self, bytes},
    migration,
    session::Session,
    table::{self, fields, word},
};

#[derive(Debug, Subcommand)]
pub(crate) enum RebalanceCommand {
    /// Show what applying the staged changes would move
    Plan,
    /// Begin the move, and follow it to its end
    Apply {
        /// Refuse unless this is the epoch in force (`plan` shows it)
        #[arg(long, value_parser = measure::id::<Epoch>)]
        epoch: Option<Epoch>,
        /// Begin and return
        #[arg(long)]
        no_wait: bool,
    },
    /// Show how the move stands
    Status {
        /// Follow it to its end
        #[arg(long)]
        watch: bool,
    },
    /// Hold the move
    Pause,
    /// Go on with a held move
    Resume,
    /// Go back to the epoch in force, or drop what is staged
    Abort,
}

pub(crate) async fn run(session: &Session, command: RebalanceCommand) -> Result<(), Failure> {
    let client = &session.client;
    let state = match command {
        RebalanceCommand::Plan => return session.output.show(&client.rebalance_plan().await?, render_plan),
        RebalanceCommand::Apply { epoch, no_wait } => apply(session, epoch, !no_wait).await?,
        RebalanceCommand::Status { watch: false } => client.rebalance().await?,
        RebalanceCommand::Status { watch: true } => migration::follow(session).await?,
        RebalanceCommand::Pause => client.rebalance_pause().await?,
        RebalanceCommand::Resume => client.rebalance_resume().await?,
        RebalanceCommand::Abort => client.rebalance_abort().await?,
    };
    session.output.show(&state, render_state)
}

async fn apply(session: &Session, epoch: Option<Epoch>, wait: bool) -> Result<Rebalance, Failure> {
    let plan = session.client.rebalance_plan().await?;
    if let Some(expected) = epoch
        && expected != plan.epoch
    {
        return Err(Failure::Failed(format!(
            "Epoch {} is in force, not {expected}: look at `tritonctl rebalance plan` again and apply that.",
            plan.epoch
        )));
    }
    migration::apply(session, &plan, wait).await
}

fn render_plan(plan: &RebalancePlan) -> String {
    if plan.changes.is_empty() {
        return format!("Nothing is staged: there is nothing to do. Epoch {} is in force.", plan.epoch);
    }
    let summary = fields(&[
        ("Epoch in force", plan.epoch.to_string()),
        ("Changes", plan.changes.join("; ")),
        ("Replicas to move", format!("{} (at least {})", plan.replicas_to_move, plan.replicas_to_move_min)),
        ("Bytes to move", bytes(plan.bytes_to_move)),
        ("Balance", format!("{:.3} before, {:.3} after (1 is perfect)", plan.balance_before, plan.balance_after)),
    ]);
    let mut rows = table::with_headings(&["NODE", ">PARTITIONS", ">AFTERWARDS", ">RECEIVES"]);
    for node in &plan.nodes {
        table::add(
            &mut rows,
            [
                node.id.to_string(),
                node.partitions_before.to_string(),
                node.partitions_after.to_string(),
                bytes(node.bytes_in),
            ],
        );
    }
    let apply = format!("Begin with: tritonctl rebalance apply --epoch {}", plan.epoch);
    [summary, table::render(&rows, ""), apply].join("\n\n")
}

fn render_state(state: &Rebalance) -> String {
    let moving = if state.phase == RebalancePhase::Stable { String::new() } else { migration::line(state) };
    fields(&[
        ("Phase", word(&state.phase)),
        ("Epoch in force", state.epoch.to_string()),
        ("Move", moving),
        ("Why", state.reason.clone().unwrap_or_default()),
        ("Staged", state.staged.join("; ")),
        ("Errors", state.errors.join("; ")),
    ])
}
