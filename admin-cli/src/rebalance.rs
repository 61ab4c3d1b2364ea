//! `tritonctl rebalance`.

use clap::Subcommand;
use triton_api::{
    Epoch, Page,
    rebalance::{ApplyRequest, FinishedRebalance, LossQuery, LostBlob, Rebalance, RebalancePhase, RebalancePlan},
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
        /// Show what would begin, and change nothing
        #[arg(long, conflicts_with = "no_wait")]
        dry_run: bool,
        /// Go on although content is lost, because its only holders are given up (`losses` lists it)
        #[arg(long)]
        accept_loss: bool,
    },
    /// List what would be lost with the nodes that are to be given up
    Losses {
        /// Where to go on: the `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
        /// The most entries
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
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
        RebalanceCommand::Apply { epoch, dry_run: true, accept_loss, .. } => {
            let plan = client.plan_apply(ApplyRequest { epoch, accept_loss }).await?;
            session.output.show(&plan, render_plan)?;
            session.output.note("Nothing was changed.");
            return Ok(());
        }
        RebalanceCommand::Apply { epoch, no_wait, accept_loss, .. } => {
            apply(session, epoch, !no_wait, accept_loss).await?
        }
        RebalanceCommand::Losses { cursor, limit } => {
            let query = LossQuery { cursor, limit: Some(limit), give_up: None };
            return session.output.show(&client.rebalance_losses(&query).await?, render_losses);
        }
        RebalanceCommand::Status { watch: false } => client.rebalance().await?,
        RebalanceCommand::Status { watch: true } => migration::follow(session).await?,
        RebalanceCommand::Pause => client.rebalance_pause().await?,
        RebalanceCommand::Resume => client.rebalance_resume().await?,
        RebalanceCommand::Abort => client.rebalance_abort().await?,
    };
    session.output.show(&state, render_state)
}

/// After a plan that loses something, names the beginning of it.
pub(crate) async fn tell_losses(session: &Session, plan: &RebalancePlan, query: LossQuery) -> Result<(), Failure> {
    if plan.partitions_lost > 0 {
        session.output.note(&render_losses(&session.client.rebalance_losses(&query).await?));
    }
    Ok(())
}

async fn apply(session: &Session, epoch: Option<Epoch>, wait: bool, accept_loss: bool) -> Result<Rebalance, Failure> {
    let plan = session.client.rebalance_plan().await?;
    if let Some(expected) = epoch
        && expected != plan.epoch
    {
        return Err(Failure::Failed(format!(
            "Epoch {} is in force, not {expected}: look at `tritonctl rebalance plan` again and apply that.",
            plan.epoch
        )));
    }
    migration::apply(session, &plan, wait, accept_loss).await
}

pub(crate) fn render_plan(plan: &RebalancePlan) -> String {
    if plan.changes.is_empty() {
        return format!("Nothing is staged: there is nothing to do. Epoch {} is in force.", plan.epoch);
    }
    let summary = fields(&[
        ("Epoch in force", plan.epoch.to_string()),
        ("Changes", plan.changes.join("; ")),
        ("Replicas to move", format!("{} (at least {})", plan.replicas_to_move, plan.replicas_to_move_min)),
        ("Bytes to move", bytes(plan.bytes_to_move)),
        ("Replicas", replicas(plan)),
        ("Lost", lost(plan)),
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

/// How many replicas there are and will be.
fn replicas(plan: &RebalancePlan) -> String {
    let RebalancePlan { replicas_wanted, replicas_before, replicas_after, .. } = plan;
    if replicas_after == replicas_wanted && replicas_before == replicas_wanted {
        return replicas_wanted.to_string();
    }
    format!("{replicas_before} now, {replicas_after} afterwards, {replicas_wanted} wanted")
}

fn lost(plan: &RebalancePlan) -> String {
    match plan.partitions_lost {
        0 => String::new(),
        lost => format!(
            "all of {lost} partitions, whose only holders are given up: `rebalance losses` lists it, \
             `rebalance apply --accept-loss` goes on all the same"
        ),
    }
}

fn render_losses(page: &Page<LostBlob>) -> String {
    let mut rows = table::with_headings(&["VIDEO", "BLOB"]);
    for blob in &page.items {
        table::add(&mut rows, [blob.video_id.to_string(), blob.key.to_string()]);
    }
    let none = if page.next_cursor.is_some() { "Nothing on this page." } else { "Nothing is lost." };
    let more = page.next_cursor.as_ref().map(|cursor| format!("\n\nThere is more: --cursor {cursor}"));
    format!("{}{}", table::render(&rows, none), more.unwrap_or_default())
}

/// What the last migration came to.
fn finished(last: &FinishedRebalance) -> String {
    let seconds = u64::try_from(last.ended_at.duration_since(last.started_at).as_secs()).unwrap_or(0);
    format!(
        "epoch {} to {}{}, ended {}: {} partitions, {} in {} ({}/s)",
        last.from,
        last.to,
        if last.aborting { " (an abort)" } else { "" },
        last.ended_at.strftime("%F %T UTC"),
        last.partitions_done,
        bytes(last.bytes_done),
        measure::remaining(seconds),
        bytes(last.bytes_per_second),
    )
}

fn render_state(state: &Rebalance) -> String {
    let moving = if state.phase == RebalancePhase::Stable { String::new() } else { migration::line(state) };
    fields(&[
        ("Phase", word(&state.phase)),
        ("Epoch in force", state.epoch.to_string()),
        ("Move", moving),
        ("Why", state.reason.clone().unwrap_or_default()),
        ("Last move", state.last.as_ref().map(finished).unwrap_or_default()),
        ("Staged", state.staged.join("; ")),
        ("Errors", state.errors.join("; ")),
    ])
}
