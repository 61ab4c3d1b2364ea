//! A circuit breaker as a state machine without a clock.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::BreakerLimits;

/// Whether requests go to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// They do.
    Closed,
    /// Only where no other node can help.
    Open,
    /// As `Open`, while a probe decides.
    HalfOpen,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// Opens after some failures in a row; asks for a probe after a pause that doubles with each opening in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    limits: BreakerLimits,
    state: State,
    /// Openings since the last success of a real request (a probe that succeeds does not reset it).
    openings: u32,
}

impl Breaker {
    pub(super) fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: State::Closed { failures: 0 }, openings: 0 }
    }

    pub(super) fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { .. } => Circuit::Open,
            State::HalfOpen => Circuit::HalfOpen,
        }
    }

    /// A real request succeeded.
    pub(super) fn succeed(&mut self) {
        self.state = State::Closed { failures: 0 };
        self.openings = 0;
    }

    /// A real request failed. Answers whether that opened a closed circuit.
    pub(super) fn fail(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { failures } if failures + 1 < self.limits.failures_max => {
                self.state = State::Closed { failures: failures + 1 };
                false
            }
            State::Closed { .. } => {
                self.open(now);
                true
            }
            // Known already; the pause must not be prolonged by requests that had no other choice.
            State::Open { .. } | State::HalfOpen => false,
        }
    }

    /// When the next probe is due, while the circuit is open.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::HalfOpen => None,
        }
    }

    /// Begins a probe, if one is due.
    pub(super) fn begin_probe(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Open { until } if until <= now);
        if due {
            self.state = State::HalfOpen;
        }
        due
    }

    /// Ends a probe. Without effect where a real request closed the circuit meanwhile.
    pub(super) fn end_probe(&mut self, succeeded: bool, now: Instant) {
        if !matches!(self.state, State::HalfOpen) {
            return;
        }
        if succeeded {
            self.state = State::Closed { failures: 0 };
        } else {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        let doubled = self.limits.backoff_min.saturating_mul(1 << self.openings.min(16));
        let pause: Duration = doubled.min(self.limits.backoff_max);
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open { until: now + pause };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> BreakerLimits {
        BreakerLimits {
            failures_max: 3,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (mut breaker, now) = (Breaker::new(limits()), Instant::now());
        assert!(!breaker.fail(now) && !breaker.fail(now));
        breaker.succeed();
        assert!(!breaker.fail(now) && !breaker.fail(now));
        assert_eq!(breaker.circuit(), Circuit::Closed);
        assert!(breaker.fail(now));
        assert_eq!(breaker.circuit(), Circuit::Open);
        assert!(!breaker.fail(now), "an open circuit does not open again");
    }

    #[test]
    fn a_node_that_answers_probes_but_fails_requests_is_probed_ever_less_often() {
        let (mut breaker, mut now) = (Breaker::new(limits()), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            while !breaker.fail(now) {}
            let until = breaker.probe_at().unwrap();
            pauses.push((until - now).as_millis());
            now = until;
            assert!(breaker.begin_probe(now));
            breaker.end_probe(true, now);
            assert_eq!(breaker.circuit(), Circuit::Closed);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Succeed,
        Fail,
        Wait(u64),
        Probe(bool),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            1 => Just(Event::Succeed),
            4 => Just(Event::Fail),
            2 => (0_u64..3_000).prop_map(Event::Wait),
            2 => any::<bool>().prop_map(Event::Probe),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn an_open_circuit_always_has_a_probe_within_the_longest_pause(events in events()) {
            let (mut breaker, mut now) = (Breaker::new(limits()), Instant::now());
            let mut in_a_row = 0;
            for event in events {
                match event {
                    Event::Succeed => { breaker.succeed(); in_a_row = 0; }
                    Event::Fail => {
                        let closed = breaker.circuit() == Circuit::Closed;
                        in_a_row = if closed { in_a_row + 1 } else { 0 };
                        prop_assert_eq!(breaker.fail(now), closed && in_a_row == 3);
                        if breaker.circuit() != Circuit::Closed { in_a_row = 0; }
                    }
                    Event::Wait(millis) => now += Duration::from_millis(millis),
                    Event::Probe(succeeded) => {
                        let due = breaker.probe_at().is_some_and(|at| at <= now);
                        prop_assert_eq!(breaker.begin_probe(now), due);
                        if due {
                            prop_assert_eq!(breaker.circuit(), Circuit::HalfOpen);
                            breaker.end_probe(succeeded, now);
                            prop_assert_eq!(breaker.circuit() == Circuit::Closed, succeeded);
                            in_a_row = 0;
                        }
                    }
                }
                match breaker.circuit() {
                    Circuit::Open => prop_assert!(breaker.probe_at().unwrap() <= now + limits().backoff_max),
                    Circuit::Closed => prop_assert!(breaker.probe_at().is_none()),
                    Circuit::HalfOpen => prop_assert!(false, "a probe was left unfinished"),
                }
            }
        }
    }
}
