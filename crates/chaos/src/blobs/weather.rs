//! Which nodes are harmed when: what a reader may expect depends on it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The harms of a run so far.
#[derive(Debug, Default)]
pub(super) struct Weather {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many strikes lie on each node.
    harmed: BTreeMap<usize, u32>,
    /// How many nodes were harmed from each moment on.
    changes: Vec<(Instant, usize)>,
    /// What goes on, for the text of a breach.
    now: BTreeMap<usize, String>,
    /// Some node has lost content that had been acknowledged.
    content_lost: bool,
}

impl Weather {
    fn state(&self) -> MutexGuard<'_, State> {
        // Plain facts: a panic between two of them leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn harm(&self, node: usize) {
        let mut state = self.state();
        *state.harmed.entry(node).or_default() += 1;
        state.note();
    }

    pub(super) fn heal(&self, node: usize) {
        let mut state = self.state();
        if let Some(strikes) = state.harmed.get_mut(&node) {
            *strikes -= 1;
            if *strikes == 0 {
                state.harmed.remove(&node);
            }
        }
        state.note();
    }

    pub(super) fn begins(&self, step: usize, what: String) {
        self.state().now.insert(step, what);
    }

    pub(super) fn ends(&self, step: usize) {
        self.state().now.remove(&step);
    }

    pub(super) fn content_is_lost(&self) {
        self.state().content_lost = true;
    }

    pub(super) fn is_content_lost(&self) -> bool {
        self.state().content_lost
    }

    /// What goes on now.
    pub(super) fn now(&self) -> String {
        let state = self.state();
        let all: Vec<_> = state.now.values().cloned().collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    /// The most nodes that were harmed at once since a moment.
    pub(super) fn worst_since(&self, moment: Instant) -> usize {
        let state = self.state();
        let before = state.changes.iter().rev().find(|(at, _)| *at <= moment).map_or(0, |(_, count)| *count);
        let since = state.changes.iter().rev().take_while(|(at, _)| *at > moment).map(|(_, count)| *count);
        since.fold(before, usize::max)
    }

    /// Whether no node was harmed since a time before a moment, so that circuits had time to close again.
    pub(super) fn was_calm(&self, before: Duration, moment: Instant) -> bool {
        self.worst_since(moment.checked_sub(before).unwrap_or(moment)) == 0
    }
}

impl State {
    fn note(&mut self) {
        let count = self.harmed.len();
        self.changes.push((Instant::now(), count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_what_lasted_into_the_time_and_what_came_in_it() {
        let weather = Weather::default();
        let first = Instant::now();
        assert_eq!(weather.worst_since(first), 0);
        weather.harm(1);
        weather.harm(1);
        weather.harm(2);
        weather.heal(1);
        weather.heal(2);
        let second = Instant::now();
        assert_eq!((weather.worst_since(first), weather.worst_since(second)), (2, 1));
        weather.heal(1);
        assert_eq!((weather.worst_since(second), weather.worst_since(Instant::now())), (1, 0));
    }
}
