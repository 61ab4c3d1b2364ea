//! What will be done to a ring and when, decided from the seed alone. Pure.

use std::{ops::Range, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use triton_kit::MigrationStep;
use triton_testkit::Cut;

use super::{
    scenario::{Scenario, Trouble},
    strike::{Step, Strike},
};

/// Between two strikes of a lane, in milliseconds.
const REST_MS: Range<u64> = 300..1_500;
/// How long a strike lasts, in milliseconds.
const HOLD_MS: Range<u64> = 700..3_500;
/// The same for the coordinator, which has to get on with its work.
const COORDINATOR_REST_MS: Range<u64> = 200..1_200;
const COORDINATOR_HOLD_MS: Range<u64> = 50..700;
/// How long a step of a migration stays armed, in milliseconds.
const ARMED_MS: Range<u64> = 2_500..6_000;
/// What passes a narrow link: so little that readers leave it at the end of their first patience.
const TRICKLE_BYTES_PER_SECOND: Range<u64> = 1_024..16 * 1_024;
/// How often two nodes are harmed at once where troubles mix.
const ROUGH: f64 = 0.3;

/// The steps of a seed, by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether more than one node may be harmed at a time.
    pub rough: bool,
}

impl Script {
    /// The script of a seed for so many nodes.
    pub fn of(seed: u64, scenario: &Scenario, nodes: usize, duration: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rough = scenario.troubles().len() > 1 && rng.random_bool(ROUGH);
        let mut author =
            Author { victim: rng.random_range(0..nodes), loses: rng.random_bool(0.5), struck: false, nodes };
        let kinds: Vec<Trouble> =
            scenario.troubles().iter().copied().filter(|trouble| *trouble != Trouble::Reconfigure).collect();
        let mut steps = Vec::new();
        for lane in 0..=usize::from(rough) {
            let mut lane_rng = StdRng::seed_from_u64(rng.random());
            // Lanes take the nodes in turn, so that they never strike the same one.
            let own: Vec<usize> = (0..nodes).filter(|node| !rough || node % 2 == lane).collect();
            let strike = |rng: &mut StdRng| kinds.choose(rng).copied().map(|kind| author.strike(kind, &own, rng));
            steps.extend(lane_of(&mut lane_rng, duration, REST_MS, |_| HOLD_MS, strike));
        }
        if scenario.has(Trouble::Reconfigure) {
            let mut lane_rng = StdRng::seed_from_u64(rng.random());
            let hold_ms = |strike: &Strike| match strike {
                Strike::Abort(..) => ARMED_MS,
                _ => COORDINATOR_HOLD_MS,
            };
            let strike = |rng: &mut StdRng| {
                Some(match rng.random_range(0..10) {
                    0 => Strike::KillCoordinator,
                    1 => Strike::StopCoordinator,
                    _ => abort(rng)?,
                })
            };
            steps.extend(lane_of(&mut lane_rng, duration, COORDINATOR_REST_MS, hold_ms, strike));
        }
        steps.sort_by_key(|step| step.at);
        Self { steps, rough }
    }
}

/// One strike after the other until the time is over.
fn lane_of(
    rng: &mut StdRng,
    duration: Duration,
    rest_ms: Range<u64>,
    hold_ms: impl Fn(&Strike) -> Range<u64>,
    mut strike: impl FnMut(&mut StdRng) -> Option<Strike>,
) -> Vec<Step> {
    let (mut steps, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        at += Duration::from_millis(rng.random_range(rest_ms.clone()));
        let Some(strike) = strike(rng).filter(|_| at < duration) else { return steps };
        let hold = Duration::from_millis(rng.random_range(hold_ms(&strike)));
        steps.push(Step { at, hold, strike });
        at += hold;
    }
}

struct Author {
    /// The one node whose content is harmed for good: two such nodes would be the loss of a blob that has two copies.
    victim: usize,
    loses: bool,
    struck: bool,
    nodes: usize,
}

impl Author {
    fn strike(&mut self, trouble: Trouble, own: &[usize], rng: &mut StdRng) -> Strike {
        let node = own.choose(rng).copied().unwrap_or(0);
        let cut = if rng.random_bool(0.5) { Cut::Reject } else { Cut::Swallow };
        match trouble {
            Trouble::Crash | Trouble::Reconfigure => {
                if rng.random_bool(0.6) {
                    Strike::Kill(node)
                } else {
                    Strike::Stop(node)
                }
            }
            Trouble::Partition => match rng.random_range(0..7) {
                0 => Strike::Isolate(node, cut),
                1 => Strike::CutClients(node, cut),
                2 => Strike::CutCoordinator(node, cut),
                3 => {
                    let other = (node + rng.random_range(1..self.nodes.max(2))) % self.nodes.max(1);
                    Strike::CutPair(node, other, cut)
                }
                4 => Strike::Slow(node, rng.random_range(20..400)),
                5 => Strike::Trickle(node, rng.random_range(TRICKLE_BYTES_PER_SECOND)),
                _ => Strike::Break(node, rng.random_range(0..400_000)),
            },
            Trouble::Clock => {
                let seconds = jump_seconds(rng);
                if rng.random_bool(0.6) {
                    Strike::JumpClock(node, seconds)
                } else {
                    Strike::JumpCoordinatorClock(seconds)
                }
            }
            Trouble::Disk => self.disk(node, own, rng),
        }
    }

    fn disk(&mut self, node: usize, own: &[usize], rng: &mut StdRng) -> Strike {
        match rng.random_range(0..6) {
            0 | 1 => Strike::FillDisk(node, rng.random_range(0..512 * 1024)),
            2 => Strike::FailSyncs(node),
            3 => Strike::FailReads(node),
            _ if !own.contains(&self.victim) || (self.loses && self.struck) => Strike::FillDisk(node, 0),
            _ => {
                self.struck = true;
                if self.loses {
                    Strike::LoseDisk(self.victim)
                } else {
                    Strike::RotBlobs(self.victim, rng.random_range(1..30))
                }
            }
        }
    }
}

/// A step to abort at: the first time mostly, for many are come to once in a migration only.
fn abort(rng: &mut StdRng) -> Option<Strike> {
    let skips = if rng.random_bool(0.75) { 0 } else { rng.random_range(1..4) };
    Some(Strike::Abort(*MigrationStep::ALL.choose(rng)?, skips))
}

/// From a second to three days, either way: less than tombstones live.
fn jump_seconds(rng: &mut StdRng) -> i64 {
    let seconds = *[1, 30, 600, 3_600, 86_400, 3 * 86_400].choose(rng).unwrap_or(&1);
    if rng.random_bool(0.5) { seconds } else { -seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAY: Duration = Duration::from_secs(12);

    fn script(seed: u64, scenario: &str) -> Script {
        Script::of(seed, &scenario.parse().unwrap(), 5, PLAY)
    }

    #[test]
    fn the_seed_decides_everything() {
        for scenario in ["c", "r", "cdpr", "all"] {
            assert_eq!(script(7, scenario), script(7, scenario));
            assert_ne!(script(7, scenario).steps, script(8, scenario).steps);
        }
    }

    #[test]
    fn unless_a_script_is_rough_one_node_is_harmed_at_a_time() {
        for seed in 0..200 {
            let script = script(seed, "all");
            let harms: Vec<_> =
                script.steps.iter().filter(|step| step.strike.victim().is_some_and(|node| node < 5)).collect();
            assert!(!script.steps.is_empty());
            let overlaps = harms.windows(2).any(|pair| pair[0].at + pair[0].hold > pair[1].at);
            assert!(script.rough || !overlaps, "seed {seed}");
        }
        assert!((0..200).all(|seed| !self::script(seed, "c").rough));
    }

    #[test]
    fn only_one_node_ever_loses_content() {
        for seed in 0..200 {
            let script = script(seed, "f");
            let lasting: Vec<_> = script.steps.iter().filter(|step| step.strike.lasts()).collect();
            let mut victims: Vec<_> = lasting.iter().map(|step| step.strike.victim()).collect();
            victims.dedup();
            assert!(victims.len() <= 1);
            let lost = lasting.iter().filter(|step| matches!(step.strike, Strike::LoseDisk(_))).count();
            assert!(lost == 0 || lasting.len() == 1, "seed {seed}: a disk is lost once, and then nothing rots");
        }
    }
}
