//! `tritonctl node`.

use clap::{Args, Subcommand};
use triton_api::{
    NodeId, NodeUrl, Page,
    cluster::{NewNode, Node, NodeChange},
    layout::PARTITIONS,
    rebalance::{LossQuery, RebalancePlan},
};

use crate::{
    failure::Failure,
    measure::{self, bytes},
    migration, node_ref,
    rebalance::{render_plan, tell_losses},
    session::Session,
    table::{self, word},
};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List the storage nodes
    List,
    /// Add a storage node and move its share of the content to it
    Add {
        /// Where it answers, as every other service reaches it (`http://HOST:PORT`)
        #[arg(value_parser = measure::id::<NodeUrl>)]
        url: NodeUrl,
        /// Its failure zone: replicas spread over zones [default: default]
        #[arg(long)]
        zone: Option<String>,
        /// Its capacity relative to the others [default: 100]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        weight: Option<u32>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Give a node another weight or zone, and move what that takes
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["zone", "weight"]))]
    Set {
        /// The beginning of its id, or its URL
        node: String,
        /// Its failure zone
        #[arg(long)]
        zone: Option<String>,
        /// Its capacity relative to the others
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        weight: Option<u32>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Move everything off a node
    Drain {
        /// The beginning of its id, or its URL
        node: String,
        #[command(flatten)]
        pace: Pace,
    },
    /// Take a drained node out of the cluster; one that holds content is staged for the next `rebalance apply`
    Remove {
        /// The beginning of its id, or its URL
        node: String,
        /// Even if it does not answer: its replicas are made anew from the others
        #[arg(long)]
        force: bool,
        /// Show what that would move or lose, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How far to go before returning. Interrupting the command does not interrupt the move.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Pace {
    /// Only stage the change; `tritonctl rebalance apply` begins the move
    #[arg(long)]
    stage: bool,
    /// Begin the move and return; `tritonctl rebalance status --watch` follows it
    #[arg(long)]
    no_wait: bool,
    /// Show what the change would move, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::List => session.output.show(&session.client.nodes().await?, render),
        NodeCommand::Add { url, zone, weight, pace } => {
            let new = NewNode { url, zone, weight };
            if pace.dry_run {
                return show_plan(session, &session.client.plan_add_node(&new).await?);
            }
            let node = session.client.add_node(&new).await?;
            change(session, node, &pace).await
        }
        NodeCommand::Set { node, zone, weight, pace } => {
            let (id, wanted) = (node_ref::resolve(session, &node).await?, NodeChange { zone, weight });
            if pace.dry_run {
                return show_plan(session, &session.client.plan_change_node(id, &wanted).await?);
            }
            let node = session.client.change_node(id, &wanted).await?;
            change(session, node, &pace).await
        }
        NodeCommand::Drain { node, pace } => {
            let id = node_ref::resolve(session, &node).await?;
            if pace.dry_run {
                return show_plan(session, &session.client.plan_drain_node(id).await?);
            }
            let node = session.client.drain_node(id).await?;
            change(session, node, &pace).await
        }
        NodeCommand::Remove { node, force, dry_run } => {
            let id = node_ref::resolve(session, &node).await?;
            if dry_run {
                let plan = session.client.plan_remove_node(id, force).await?;
                show_plan(session, &plan)?;
                let losses = LossQuery { give_up: Some(id).filter(|_| force), ..LossQuery::default() };
                return tell_losses(session, &plan, losses).await;
            }
            remove(session, id, force).await
        }
    }
}

fn show_plan(session: &Session, plan: &RebalancePlan) -> Result<(), Failure> {
    session.output.show(plan, render_plan)?;
    session.output.note("Nothing was changed.");
    Ok(())
}

/// Carries out what has been staged for a node, as far as asked, and shows the node.
async fn change(session: &Session, node: Node, pace: &Pace) -> Result<(), Failure> {
    if pace.stage {
        session.output.note("Staged. `tritonctl rebalance plan` shows what it moves, `rebalance apply` begins.");
        return session.output.show(&node, |node| render_nodes(std::slice::from_ref(node)));
    }
    let plan = session.client.rebalance_plan().await?;
    migration::apply(session, &plan, !pace.no_wait, false).await?;
    let node = find(session, node.id).await?.unwrap_or(node);
    session.output.show(&node, |node| render_nodes(std::slice::from_ref(node)))
}

async fn find(session: &Session, id: NodeId) -> Result<Option<Node>, Failure> {
    let nodes = session.client.nodes().await?.items;
    Ok(nodes.into_iter().find(|node| node.id == id))
}

async fn remove(session: &Session, id: NodeId, force: bool) -> Result<(), Failure> {
    session.client.remove_node(id, force).await?;
    match find(session, id).await? {
        None => session.output.note(&format!("Removed node {id}.")),
        Some(_) => session.output.note(&format!(
            "Node {id} holds content: its removal is staged. `tritonctl rebalance plan` shows what it moves, \
             `rebalance apply` begins."
        )),
    }
    Ok(())
}

fn render(page: &Page<Node>) -> String {
    render_nodes(&page.items)
}

/// Whether a node answers and, where it does not, since when.
fn health(node: &Node) -> String {
    let since = node.health_since.map(|since| format!(" since {}", since.strftime("%F %T UTC")));
    let reconciling = if node.reconciling { " (reconciling)" } else { "" };
    format!("{}{}{reconciling}", word(&node.health), since.unwrap_or_default())
}

/// How far a node has come with verifying everything that it holds.
fn scrub(node: &Node) -> String {
    match node.scrub {
        None => String::new(),
        Some(scrub) if scrub.bytes_per_second == 0 => "off".to_owned(),
        Some(scrub) => format!("{}%", u32::from(scrub.position.get()) * 100 / u32::from(PARTITIONS)),
    }
}

pub(crate) fn render_nodes(nodes: &[Node]) -> String {
    let headings = [
        "ID",
        "URL",
        "ZONE",
        ">WEIGHT",
        "STATE",
        "HEALTH",
        ">PARTITIONS",
        ">BLOBS",
        ">USED",
        ">CAPACITY",
        ">BAD",
        ">SCRUB",
    ];
    let mut rows = table::with_headings(&headings);
    for node in nodes {
        let state = format!("{}{}", word(&node.state), if node.staged { " (staged)" } else { "" });
        table::add(
            &mut rows,
            [
                node.id.to_string(),
                node.url.to_string(),
                node.zone.clone(),
                node.weight.to_string(),
                state,
                health(node),
                node.partitions.to_string(),
                node.blobs.to_string(),
                bytes(node.used_bytes),
                bytes(node.capacity_bytes),
                node.quarantined.to_string(),
                scrub(node),
            ],
        );
    }
    table::render(&rows, "No storage nodes.")
}
