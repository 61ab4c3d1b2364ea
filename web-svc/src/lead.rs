//! What only one process may do: it is begun when a term begins, and ended when it ends.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use crate::{app::App, cluster::Cluster, janitor, journal::Term, work::reaper};

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
    // Both are cancel safe: a token and a watch.
    tokio::select! {
        () = ended.cancelled() => {}
        Ok(_) = term.wait_for(|term| term.as_ref() != Some(&present)) => {
            tracing::warn!("this process does not lead any more");
        }
    }
    ended.cancel();
    while let Some(duty) = duties.join_next().await {
        if let Err(error) = duty {
            tracing::error!(%error, "a duty of the leader ended with a panic");
        }
    }
}
