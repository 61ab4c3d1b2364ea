//! What clients saw of a record, and whether a record that is changed by one client at a time could have shown it.
//!
//! Every write carries a number that no other write has, so that a record's content tells which write made it.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use porcupine_rs::{CheckResult, Model, Operation};

/// The longest that a record's history is checked.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// The number of the write that a record holds; nothing where the record does not exist.
pub(crate) type Content = Option<u64>;

/// On which condition a client changes a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Is(Content),
    Anything,
}

/// What a client does to a record where the condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Put(u64),
    Delete,
    Check,
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, at this revision.
    Done(u64),
    /// The condition does not hold.
    Refused,
    /// Nothing: it may have happened, may still happen, or never will.
    Unknown,
}

/// One call of a client.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) client: u32,
    pub(crate) key: usize,
    pub(crate) condition: Condition,
    pub(crate) step: Step,
    pub(crate) outcome: Outcome,
    /// Nanoseconds on the clock of the test.
    pub(crate) called_ns: i64,
    pub(crate) returned_ns: i64,
}

/// A record that was read locally.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting {
    pub(crate) number: u64,
    pub(crate) revision: u64,
    pub(crate) at_ns: i64,
}

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) sightings: Vec<Sighting>,
}

impl History {
    pub(crate) fn join(&mut self, other: Self) {
        self.calls.extend(other.calls);
        self.sightings.extend(other.sightings);
    }

    pub(crate) fn count(&self, is_counted: impl Fn(&Outcome) -> bool) -> usize {
        self.calls.iter().filter(|call| is_counted(&call.outcome)).count()
    }

    /// Panics unless the record could have been changed by one client at a time, in the order of the revisions.
    pub(crate) fn assert_linearizable(&self, key: usize) {
        let first_seen = self.first_sightings();
        let calls = self.calls.iter().filter(|call| call.key == key);
        let operations: Vec<_> = calls.map(|call| operation(call, &first_seen)).collect();
        let verdict = porcupine_rs::check_operations_timeout::<Register>(&operations, CHECK_TIMEOUT);
        if verdict != CheckResult::Ok {
            let path = picture(key, &operations).display().to_string();
            panic!("{verdict:?}: no order of the {} calls on record {key} explains them; see {path}", operations.len());
        }
    }

    /// When each write was first read. Panics where one was committed twice.
    fn first_sightings(&self) -> HashMap<u64, Sighting> {
        let mut first: HashMap<u64, Sighting> = HashMap::new();
        for sighting in &self.sightings {
            let known = first.entry(sighting.number).or_insert(*sighting);
            let (one, other) = (known.revision, sighting.revision);
            assert_eq!(one, other, "write {} was committed at two revisions", sighting.number);
            known.at_ns = known.at_ns.min(sighting.at_ns);
        }
        for call in &self.calls {
            if let (Step::Put(number), Outcome::Done(revision)) = (call.step, call.outcome)
                && let Some(seen) = first.get(&number)
            {
                assert_eq!(seen.revision, revision, "write {number} was read at another revision than it was told");
            }
        }
        first
    }
}

/// A call of unknown outcome ends never, unless somebody read what it wrote.
fn operation(call: &Call, first_seen: &HashMap<u64, Sighting>) -> Operation<Register> {
    let seen = match call.step {
        Step::Put(number) => first_seen.get(&number),
        Step::Delete | Step::Check => None,
    };
    let (outcome, return_time) = match (call.outcome, seen) {
        (Outcome::Unknown, Some(seen)) => (Outcome::Done(seen.revision), seen.at_ns),
        (Outcome::Unknown, None) => (Outcome::Unknown, i64::MAX),
        (outcome, _) => (outcome, call.returned_ns),
    };
    let op = (call.condition, call.step, outcome);
    Operation { client_id: Some(call.client), call_time: call.called_ns, return_time, op, metadata: None }
}

fn picture(key: usize, operations: &[Operation<Register>]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("history-of-record-{key}.html"));
    let (_, info) = porcupine_rs::check_operations_info_timeout(operations, CHECK_TIMEOUT);
    porcupine_rs::visualize_path::<Register>(&info, &path).unwrap();
    path
}

/// One record, and the revision at which it was last changed or confirmed.
#[derive(Debug, Clone)]
struct Register;

impl Model for Register {
    type State = (Content, u64);
    type Op = (Condition, Step, Outcome);
    type Metadata = ();

    fn init() -> Self::State {
        (None, 0)
    }

    fn step(&(content, revision): &Self::State, &(condition, step, outcome): &Self::Op) -> (bool, Self::State) {
        let holds = condition == Condition::Anything || condition == Condition::Is(content);
        let next = match step {
            Step::Put(number) => Some(number),
            Step::Delete => None,
            Step::Check => content,
        };
        match outcome {
            Outcome::Done(at) => (holds && at > revision, (next, at)),
            Outcome::Refused => (!holds, (content, revision)),
            // Where it never happens it comes after everything else.
            Outcome::Unknown if holds => (true, (next, revision)),
            Outcome::Unknown => (true, (content, revision)),
        }
    }
}

/// A call on record 0 that took from one moment to another.
#[cfg(test)]
fn call(from: i64, to: i64, condition: Condition, step: Step, outcome: Outcome) -> Call {
    Call { client: 0, key: 0, condition, step, outcome, called_ns: from, returned_ns: to }
}

#[test]
fn a_history_in_order_is_linearizable_whatever_became_of_the_unknown() {
    use Outcome::{Done, Refused, Unknown};
    let calls = vec![
        call(0, 10, Condition::Is(None), Step::Put(1), Done(5)),
        call(11, 20, Condition::Is(Some(1)), Step::Put(2), Unknown),
        call(30, 40, Condition::Is(Some(1)), Step::Check, Done(6)),
        call(50, 60, Condition::Is(Some(1)), Step::Delete, Refused),
        call(70, 80, Condition::Is(Some(2)), Step::Delete, Done(9)),
        call(90, 95, Condition::Is(None), Step::Put(3), Unknown),
    ];
    History { calls, sightings: Vec::new() }.assert_linearizable(0);
}

#[test]
#[should_panic(expected = "no order of the 3 calls")]
fn two_winners_on_one_content_are_found() {
    let calls = vec![
        call(0, 10, Condition::Is(None), Step::Put(1), Outcome::Done(5)),
        call(11, 20, Condition::Is(Some(1)), Step::Put(2), Outcome::Done(6)),
        call(12, 22, Condition::Is(Some(1)), Step::Put(3), Outcome::Done(7)),
    ];
    History { calls, sightings: Vec::new() }.assert_linearizable(0);
}

#[test]
#[should_panic(expected = "no order of the 2 calls")]
fn a_refusal_of_what_was_done_is_found() {
    let calls = vec![
        call(0, 10, Condition::Is(None), Step::Put(1), Outcome::Refused),
        call(11, 20, Condition::Is(Some(1)), Step::Delete, Outcome::Done(6)),
    ];
    History { calls, sightings: Vec::new() }.assert_linearizable(0);
}

#[test]
#[should_panic(expected = "was committed at two revisions")]
fn a_write_that_was_committed_twice_is_found() {
    let calls = vec![call(0, 10, Condition::Anything, Step::Put(1), Outcome::Unknown)];
    let sightings = [5, 7].map(|revision| Sighting { number: 1, revision, at_ns: 20 }).to_vec();
    History { calls, sightings }.assert_linearizable(0);
}
