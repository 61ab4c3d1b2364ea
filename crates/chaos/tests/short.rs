//! About a minute of chaos on processes of this machine.

use triton_chaos::{Plan, Processes, ProcessesOptions, run};

/// The same disturbances in every run; `TRITON_CHAOS_SEED` tries others.
const SEED: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_by_several_services_over_etcd() {
    let seed = std::env::var("TRITON_CHAOS_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let mut fleet = Processes::start(&ProcessesOptions::etcd()).await.unwrap();
    let outcome = run(&mut fleet, &Plan::short(seed)).await.unwrap();
    println!("{}", outcome.report);
    assert!(outcome.is_clean(), "{}", outcome.report);
}
