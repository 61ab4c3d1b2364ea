//! Several web services and workers on one etcd, as real processes: any request may hit any of them, and any of them may die.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../tus/clip.rs"]
mod clip;
mod edits;
#[path = "../pipeline/fixture.rs"]
#[expect(
    dead_code,
    clippy::cast_precision_loss,
    reason = "shared with the tests of the pipeline, which need more of it"
)]
mod fixture;
mod installation;
mod kills;
mod leadership;
mod outage;
#[path = "../tus/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the protocol, which need more of it")]
mod tus;
mod uploads;
mod work;

use std::time::Duration;

/// How long a short clip may take to become ready on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(240);
/// How long the services may take to notice something and act on it.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);
