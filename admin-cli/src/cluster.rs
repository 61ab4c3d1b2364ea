//! `tritonctl cluster`.

use clap::Subcommand;
use triton_api::cluster::Cluster;

use crate::{
    failure::Failure,
    measure::bytes,
    node,
    session::Session,
    table::{self, fields, word},
};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show nodes, layout, health, capacity, leader and workers
    Status,
}

pub(crate) async fn run(session: &Session, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status => session.output.show(&session.client.cluster().await?, render),
    }
}

fn render(cluster: &Cluster) -> String {
    let degraded = match cluster.partitions_degraded {
        0 => String::new(),
        count => format!("{count} of {} partitions lack a replica on a node that answers", cluster.partitions),
    };
    let summary = fields(&[
        ("Epoch", format!("{} ({})", cluster.epoch, word(&cluster.phase))),
        ("Replicas", replicas(cluster)),
        ("Degraded", degraded),
        ("Balance", format!("{:.3} (1 is perfect)", cluster.balance)),
        ("Used", format!("{} of {}", bytes(cluster.used_bytes), bytes(cluster.capacity_bytes))),
        ("Replacements", cluster.replacements.join("\n")),
        ("Leader", cluster.leader.clone().unwrap_or_else(|| "none".to_owned())),
    ]);
    let mut workers = table::with_headings(&["WORKER", ">SLOTS", ">RUNNING", "SINCE"]);
    for worker in &cluster.workers {
        let since = worker.started_at.strftime("%F %R UTC").to_string();
        table::add(&mut workers, [worker.id.clone(), worker.slots.to_string(), worker.running.to_string(), since]);
    }
    [summary, node::render_nodes(&cluster.nodes), table::render(&workers, "No workers.")].join("\n\n")
}

fn replicas(cluster: &Cluster) -> String {
    let (wanted, effective) = (cluster.replicas_wanted, cluster.replicas_effective);
    if effective >= wanted {
        return wanted.to_string();
    }
    format!("{effective} of {wanted} wanted: add nodes to get more")
}
