//! Minimum-cost flow.
//!
//! The primal-dual method: shortest paths by Dijkstra over reduced costs give prices to the vertices, then Dinic's
//! blocking flows fill all shortest paths at once, until no path is left. See Ahuja, Magnanti and Orlin, "Network Flows"
//! (1993), section 9.8, and Dinitz, "Algorithm for solution of a problem of maximum flow" (1970). The crates that were
//! there wrap a C++ library (mcmf) or come under the GPL (rs-graph).

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

/// A vertex, as numbered by [`Network::add_vertex`].
pub(crate) type Vertex = usize;
/// An arc, as numbered by [`Network::add_arc`]; its reverse is the number with the last bit flipped.
pub(crate) type ArcIndex = usize;

#[derive(Debug)]
struct Arc {
    head: Vertex,
    residual: usize,
    cost: i64,
}

/// A network of arcs with whole, non-negative capacities and costs.
#[derive(Debug, Default)]
pub(crate) struct Network {
    arcs: Vec<Arc>,
    outgoing: Vec<Vec<ArcIndex>>,
}

impl Network {
    pub(crate) fn add_vertex(&mut self) -> Vertex {
        self.outgoing.push(Vec::new());
        self.outgoing.len() - 1
    }

    /// Adds an arc. Of equally cheap paths the ones over arcs that were added earlier are taken first.
    pub(crate) fn add_arc(&mut self, tail: Vertex, head: Vertex, capacity: usize, cost: u32) -> ArcIndex {
        let arc = self.arcs.len();
        let cost = i64::from(cost);
        self.arcs.push(Arc { head, residual: capacity, cost });
        self.arcs.push(Arc { head: tail, residual: 0, cost: -cost });
        self.outgoing[tail].push(arc);
        self.outgoing[head].push(arc ^ 1);
        arc
    }

    /// The flow over an arc.
    pub(crate) fn flow(&self, arc: ArcIndex) -> usize {
        self.arcs[arc ^ 1].residual
    }

    /// Sends as much as fits from `source` to `sink` at the least cost for that much; answers how much.
    pub(crate) fn send(&mut self, source: Vertex, sink: Vertex) -> usize {
        let mut prices = vec![0; self.outgoing.len()];
        let mut sent = 0;
        while self.reprice(&mut prices, source, sink) {
            sent += self.fill_shortest(&prices, source, sink);
        }
        sent
    }

    /// What the arc costs beyond the difference in price of its ends; never negative where there is room left.
    fn reduced_cost(&self, prices: &[i64], tail: Vertex, arc: ArcIndex) -> i64 {
        self.arcs[arc].cost + prices[tail] - prices[self.arcs[arc].head]
    }

    /// Raises the prices so that the arcs of all shortest paths have a reduced cost of 0; false if no path is left.
    fn reprice(&self, prices: &mut [i64], source: Vertex, sink: Vertex) -> bool {
        let mut distances = vec![i64::MAX; self.outgoing.len()];
        let mut queue = BinaryHeap::from([Reverse((0, source))]);
        distances[source] = 0;
        while let Some(Reverse((distance, vertex))) = queue.pop() {
            if distance > distances[vertex] {
                continue;
            }
            if vertex == sink {
                break;
            }
            for &arc in &self.outgoing[vertex] {
                let head = self.arcs[arc].head;
                if self.arcs[arc].residual == 0 {
                    continue;
                }
                let through = distance + self.reduced_cost(prices, vertex, arc);
                if through < distances[head] {
                    distances[head] = through;
                    queue.push(Reverse((through, head)));
                }
            }
        }
        if distances[sink] == i64::MAX {
            return false;
        }
        // Whatever lies beyond the sink has a tentative distance or none: the sink's is a bound for it that keeps all
        // reduced costs from becoming negative.
        for (price, distance) in prices.iter_mut().zip(&distances) {
            *price += distance.min(&distances[sink]);
        }
        true
    }

    /// Sends as much as fits over arcs of reduced cost 0 alone.
    fn fill_shortest(&mut self, prices: &[i64], source: Vertex, sink: Vertex) -> usize {
        let mut sent = 0;
        while let Some(levels) = self.levels(prices, source, sink) {
            let mut next = vec![0; self.outgoing.len()];
            while let Some(path) = self.path(prices, &levels, &mut next, source, sink) {
                sent += self.send_along(&path);
            }
        }
        sent
    }

    /// Each vertex's number of arcs from the source over arcs of reduced cost 0, or none if the sink is not reached.
    fn levels(&self, prices: &[i64], source: Vertex, sink: Vertex) -> Option<Vec<usize>> {
        let mut levels = vec![usize::MAX; self.outgoing.len()];
        let mut queue = VecDeque::from([source]);
        levels[source] = 0;
        while let Some(vertex) = queue.pop_front() {
            if vertex == sink {
                return Some(levels);
            }
            for &arc in &self.outgoing[vertex] {
                let Arc { head, residual, .. } = self.arcs[arc];
                if residual > 0 && levels[head] == usize::MAX && self.reduced_cost(prices, vertex, arc) == 0 {
                    levels[head] = levels[vertex] + 1;
                    queue.push_back(head);
                }
            }
        }
        None
    }

    /// A path that climbs one level with each arc; `next` remembers per vertex which arcs led nowhere.
    fn path(
        &self,
        prices: &[i64],
        levels: &[usize],
        next: &mut [usize],
        source: Vertex,
        sink: Vertex,
    ) -> Option<Vec<ArcIndex>> {
        let mut path: Vec<ArcIndex> = Vec::new();
        let mut vertex = source;
        while vertex != sink {
            if let Some(&arc) = self.outgoing[vertex].get(next[vertex]) {
                let Arc { head, residual, .. } = self.arcs[arc];
                let climbs = levels[head] != usize::MAX && levels[head] == levels[vertex] + 1;
                if residual > 0 && climbs && self.reduced_cost(prices, vertex, arc) == 0 {
                    path.push(arc);
                    vertex = head;
                } else {
                    next[vertex] += 1;
                }
            } else {
                vertex = self.arcs[path.pop()? ^ 1].head;
                next[vertex] += 1;
            }
        }
        Some(path)
    }

    fn send_along(&mut self, path: &[ArcIndex]) -> usize {
        let amount = path.iter().map(|arc| self.arcs[*arc].residual).min().unwrap_or(0);
        for &arc in path {
            self.arcs[arc].residual -= amount;
            self.arcs[arc ^ 1].residual += amount;
        }
        amount
    }
}
