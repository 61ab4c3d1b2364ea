//! A few seeds of the fault suite on processes of this machine; `make fault` plays a hundred.

use std::{path::Path, time::Duration};

use triton_chaos::blobs::{Plan, ReadLimits, run};

/// A seed for each mix of troubles; `TRITON_FAULT_SEED` and `TRITON_FAULT_SCENARIO` try others.
const SEEDS: [(u64, &str); 4] = [(1, "c"), (2, "cpr"), (3, "f"), (4, "cdpr")];
const PLAY: Duration = Duration::from_secs(6);
/// The machine of a developer may be busy; the long run measures.
const READS: ReadLimits = ReadLimits { p99_max: Duration::from_secs(1), max: Duration::from_secs(5) };

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_of_the_ring_is_kept_whatever_fails() {
    let seeds = match std::env::var("TRITON_FAULT_SEED") {
        Ok(seed) => {
            let scenario = std::env::var("TRITON_FAULT_SCENARIO").unwrap_or_else(|_| "all".to_owned());
            vec![(seed.parse().unwrap(), scenario)]
        }
        Err(_) => SEEDS.map(|(seed, scenario)| (seed, scenario.to_owned())).to_vec(),
    };
    for (seed, scenario) in seeds {
        let plan = Plan {
            scenario: scenario.parse().unwrap(),
            duration: PLAY,
            reads: READS,
            logs: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-seed-{seed}"))),
            ..Plan::of_seed(seed)
        };
        let tally = run(&plan).await.unwrap();
        println!("{tally:#?}");
        assert!(tally.is_clean(), "{:#?}\nagain: {}", tally.texts, tally.command());
    }
}
