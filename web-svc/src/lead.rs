//! What only one process may do: it is begun when a term begins, and ended when it ends.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{app::App, cluster::Cluster, janitor, journal::Term, work::reaper};

/// The pause before the duties are begun anew after one was lost.
const DUTY_PAUSE: Duration = Duration::from_secs(1);

/// Leads whenever this process is elected, until `app.shutdown`.
pub(crate) async fn run(app: App, cluster: Cluster) {
    metrics::describe_gauge!("triton_leads", "1 while this process leads");
    metrics::gauge!("triton_leads").set(0);
    let mut term = app.membership.term();
    loop {
        let Some(present) = term.borrow_and_update().clone() else {
            // Both are cancel safe: a token and a watch.
            tokio::select! {
                () = app.shutdown.cancelled() => return,
                changed = term.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
        };
        metrics::gauge!("triton_leads").set(1);
        serve_term(&app, &cluster, &mut term, present).await;
        metrics::gauge!("triton_leads").set(0);
        if app.shutdown.is_cancelled() {
            return;
        }
    }
}

/// Does a leader's work until the term ends. Work that is still under way then is fenced by the journal.
async fn serve_term(app: &App, cluster: &Cluster, term: &mut watch::Receiver<Option<Term>>, present: Term) {
    let ended = app.shutdown.child_token();
    let app = app.in_term(present.clone(), ended.clone());
    let cluster = cluster.in_term(Arc::clone(&app.journal));
    let mut duties = JoinSet::new();
    let (ring, token) = (app.ring.clone(), ended.clone());
    duties.spawn(async move { cluster.lead(ring, token).await });
    duties.spawn(janitor::run(app.clone()));
    duties.spawn(reaper::run(app.clone()));
    // All are cancel safe: a token, a watch and a join set.
    tokio::select! {
        () = ended.cancelled() => {}
        Ok(()) = another(term, &present) => {
            tracing::warn!("this process does not lead any more");
        }
        Some(duty) = duties.join_next() => {
            // No duty ends by itself: all are begun anew, for a leader that lacks one does harm by staying.
            metrics::counter!("triton_leader_duties_lost_total").increment(1);
            tracing::error!(error = duty.err().map(|error| error.to_string()), "a duty of the leader ended");
            tokio::time::sleep(DUTY_PAUSE).await;
        }
    }
    ended.cancel();
    while let Some(duty) = duties.join_next().await {
        if let Err(error) = duty {
            tracing::error!(%error, "a duty of the leader ended with a panic");
        }
    }
}

/// Waits for the end of a term.
async fn another(term: &mut watch::Receiver<Option<Term>>, present: &Term) -> Result<(), watch::error::RecvError> {
    term.wait_for(|term| term.as_ref() != Some(present)).await.map(drop)
}
