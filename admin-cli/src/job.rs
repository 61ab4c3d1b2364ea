//! `tritonctl job`.

use clap::Subcommand;
use triton_api::{Page, job::Job};

use crate::{
    failure::Failure,
    measure::percent,
    session::Session,
    table::{self, word},
};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the jobs with their state and what they wait for
    List {
        /// Every page instead of the first
        #[arg(long)]
        all: bool,
    },
}

pub(crate) async fn run(session: &Session, command: JobCommand) -> Result<(), Failure> {
    let JobCommand::List { all } = command;
    let mut page = session.client.jobs(None).await?;
    while all && let Some(cursor) = page.next_cursor.take() {
        let next = session.client.jobs(Some(&cursor)).await?;
        page.items.extend(next.items);
        page.next_cursor = next.next_cursor;
    }
    if page.next_cursor.is_some() {
        session.output.note("There are more: --all lists them.");
    }
    session.output.show(&page, render)
}

fn render(page: &Page<Job>) -> String {
    let headings = ["VIDEO", "KIND", "SUBJECT", "STATE", ">ATTEMPT", ">PROGRESS", "WORKER", "WAITS FOR / LAST ERROR"];
    let mut rows = table::with_headings(&headings);
    for job in &page.items {
        let why = [job.waits_for.as_deref(), job.last_error.as_deref()];
        table::add(
            &mut rows,
            [
                job.video_id.to_string(),
                job.kind.clone(),
                job.subject.clone(),
                word(&job.state),
                format!("{}/{}", job.attempt, job.attempts_max),
                percent(job.progress),
                job.worker.clone().unwrap_or_default(),
                why.into_iter().flatten().collect::<Vec<_>>().join("; "),
            ],
        );
    }
    table::render(&rows, "No jobs.")
}
