//! A node as a person names it: the beginning of its id, or its URL.

use triton_api::{NodeId, NodeUrl, cluster::Node};

use crate::{failure::Failure, session::Session};

/// The id of the one node that `name` fits.
pub(crate) async fn resolve(session: &Session, name: &str) -> Result<NodeId, Failure> {
    pick(&session.client.nodes().await?.items, name).map(|node| node.id)
}

fn pick<'a>(nodes: &'a [Node], name: &str) -> Result<&'a Node, Failure> {
    let url: Option<NodeUrl> = name.parse().ok();
    let prefix = name.to_ascii_lowercase();
    let fits = |node: &&Node| match &url {
        Some(url) => node.url == *url,
        None => !prefix.is_empty() && node.id.to_string().starts_with(&prefix),
    };
    let mut found = nodes.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("`{name}` fits several nodes: give more of the id."))),
        (None, _) => Err(Failure::NotFound(format!("There is no node {name}. `tritonctl node list` shows them."))),
    }
}

#[cfg(test)]
mod tests {
    use triton_api::{cluster::NodeHealth, layout::NodeState};

    use super::*;

    fn node(bits: u128, url: &str) -> Node {
        Node {
            id: NodeId::from_u128(bits),
            url: url.parse().unwrap(),
            zone: "default".to_owned(),
            weight: 100,
            state: NodeState::Active,
            health: NodeHealth::Up,
            health_since: None,
            used_bytes: 0,
            capacity_bytes: 0,
            blobs: 0,
            partitions: 0,
            staged: false,
            quarantined: 0,
            orphans: 0,
            reconciling: false,
            scrub: None,
        }
    }

    #[test]
    fn prefix_or_url_names_one_node() {
        let nodes = [node(0xab_u128 << 120, "http://a:1"), node(0xac_u128 << 120, "http://b:1")];
        let id = |name| pick(&nodes, name).map(|node| node.id);
        assert_eq!(id("AB"), Ok(nodes[0].id));
        assert_eq!(id("http://b:1/"), Ok(nodes[1].id));
        assert!(matches!(id("a"), Err(Failure::Usage(_))));
        assert!(matches!(id("http://c:1"), Err(Failure::NotFound(_))));
        assert!(matches!(id(""), Err(Failure::NotFound(_))), "nothing is not a name for everything");
    }
}
