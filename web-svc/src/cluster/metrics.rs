//! What the cluster counts, in words.

use metrics::{describe_counter, describe_gauge};

pub(super) fn describe() {
    describe_gauge!("triton_cluster_nodes", "Storage nodes of the layout, by health.");
    describe_gauge!(
        "triton_cluster_partitions_degraded",
        "Partitions with fewer than the effective number of replicas on nodes that answer."
    );
    describe_gauge!(
        "triton_cluster_partitions_unequal",
        "Partitions whose nodes did not have what they should when they were last compared; writes on their way count."
    );
    describe_counter!("triton_cluster_duties_lost_total", "Duties of the leader that ended with a panic.");
    describe_counter!("triton_rebalance_bytes_total", "Payload bytes copied by migrations.");
    describe_counter!(
        "triton_rebalance_partitions_total",
        "Partitions whose new holders were found to have everything."
    );
    describe_counter!("triton_reclaimed_bytes_total", "Payload bytes given up by nodes that no longer hold them.");
    describe_counter!("triton_repair_bytes_total", "Payload bytes copied by repairs.");
    describe_counter!(
        "triton_repair_partitions_total",
        "Partitions repaired, or emptied on a node that does not hold them."
    );
}
