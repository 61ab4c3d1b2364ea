//! The admin: adds, drains and removes nodes all the time, sometimes pauses a migration or takes it back.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use triton_api::{
    client::{ClientError, WebClient},
    cluster::{NewNode, Node, NodeChange},
    layout::NodeState,
    rebalance::{ApplyRequest, RebalancePhase},
};

use crate::stage::Stage;

/// The rest between two changes, in milliseconds.
const BETWEEN_MS: std::ops::Range<u64> = 1_000..5_000;
/// How often a node gets another weight, and which.
const REWEIGHTS: f64 = 0.25;
const WEIGHTS: std::ops::Range<u32> = 60..160;
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// How long the admin watches one migration before it looks anew at what is to be done.
const FOLLOW_MAX: Duration = Duration::from_secs(120);
/// How long the admin goes on asking web services that do not answer.
const ASK_MAX: Duration = Duration::from_secs(30);

/// An admin of a fleet.
#[derive(Debug)]
pub(crate) struct Admin {
    stage: Stage,
    rng: StdRng,
    /// Active nodes at least: one more than replicas, so that one may be away.
    active_min: usize,
    web: usize,
    rest_ms: std::ops::Range<u64>,
}

impl Admin {
    pub(crate) fn new(stage: Stage, seed: u64, active_min: usize) -> Self {
        Self { stage, rng: StdRng::seed_from_u64(seed), active_min, web: 0, rest_ms: BETWEEN_MS }
    }

    /// The same with other times between two acts, in milliseconds.
    pub(crate) fn resting(self, rest_ms: std::ops::Range<u64>) -> Self {
        Self { rest_ms, ..self }
    }

    /// Works until the end.
    pub(crate) async fn work(mut self) {
        loop {
            let rest = Duration::from_millis(self.rng.random_range(self.rest_ms.clone()));
            if !self.stage.rest(rest).await {
                return;
            }
            let act = self.act().await;
            if let Err(error) = act {
                let refusal = error.problem_type().map(|kind| format!("refused: {}", kind.title()));
                self.stage.ledger.administered(refusal.as_deref().unwrap_or("not answered"));
            }
        }
    }

    /// One thing, decided from how the cluster stands now: an answer that was lost is no trouble then.
    async fn act(&mut self) -> Result<(), ClientError> {
        let rebalance = self.ask(move |web| async move { web.rebalance().await }).await?;
        match rebalance.phase {
            RebalancePhase::Paused => {
                return self.done("resume", move |web| async move { web.rebalance_resume().await }).await;
            }
            RebalancePhase::Migrating => return self.follow().await,
            RebalancePhase::Stable => {}
        }
        if !rebalance.staged.is_empty() {
            return self.apply().await;
        }
        let nodes = self.ask(move |web| async move { web.nodes().await }).await?.items;
        if let Some(empty) = nodes.iter().find(|node| node.state == NodeState::Draining && node.partitions == 0) {
            let id = empty.id;
            return self.done("remove", move |web| async move { web.remove_node(id, false).await }).await;
        }
        self.stage_a_change(&nodes).await
    }

    async fn stage_a_change(&mut self, nodes: &[Node]) -> Result<(), ClientError> {
        let active: Vec<_> = nodes.iter().filter(|node| node.state == NodeState::Active).collect();
        if self.rng.random_bool(REWEIGHTS)
            && let Some(node) = active.choose(&mut self.rng)
        {
            let (id, weight) = (node.id, self.rng.random_range(WEIGHTS));
            let change = NodeChange { weight: Some(weight), ..NodeChange::default() };
            self.done("reweight", move |web| {
                let change = change.clone();
                async move { web.change_node(id, &change).await }
            })
            .await?;
            // Alone, or together with another change.
            if self.rng.random_bool(0.5) {
                return Ok(());
            }
        }
        let storage = &self.stage.site.storage;
        let absent: Vec<_> = storage.iter().filter(|node| nodes.iter().all(|known| known.url != node.theirs)).collect();
        let drains = active.len() > self.active_min && (absent.is_empty() || self.rng.random_bool(0.5));
        if drains && let Some(node) = active.choose(&mut self.rng) {
            let id = node.id;
            return self.done("drain", move |web| async move { web.drain_node(id).await }).await;
        }
        let Some(node) = absent.choose(&mut self.rng) else { return Ok(()) };
        let new = NewNode { url: node.theirs.clone(), zone: Some(node.zone.clone()), weight: None };
        self.done("add", move |web| {
            let new = new.clone();
            async move { web.add_node(&new).await }
        })
        .await
    }

    async fn apply(&mut self) -> Result<(), ClientError> {
        let plan = self.ask(move |web| async move { web.rebalance_plan().await }).await?;
        self.stage.ledger.administered("plan");
        let request = ApplyRequest { epoch: Some(plan.epoch), ..ApplyRequest::default() };
        self.done("apply", move |web| async move { web.rebalance_apply(request).await }).await?;
        match self.rng.random_range(0..10) {
            0 | 1 => self.done("pause", move |web| async move { web.rebalance_pause().await }).await,
            2 => self.done("abort", move |web| async move { web.rebalance_abort().await }).await,
            _ => self.follow().await,
        }
    }

    async fn follow(&mut self) -> Result<(), ClientError> {
        let began = Instant::now();
        while began.elapsed() < FOLLOW_MAX && self.stage.rest(FOLLOW_EVERY).await {
            if self.ask(move |web| async move { web.rebalance().await }).await?.phase == RebalancePhase::Stable {
                self.stage.ledger.administered("migration finished");
                return Ok(());
            }
        }
        Ok(())
    }

    async fn done<T, F>(&mut self, act: &str, call: impl Fn(WebClient) -> F) -> Result<(), ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.ask(call).await?;
        self.stage.ledger.administered(act);
        Ok(())
    }

    /// Asks one web service after the other until one has an answer, be it a refusal.
    async fn ask<T, F>(&mut self, call: impl Fn(WebClient) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let began = Instant::now();
        loop {
            let error = match call(self.stage.web(self.web)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let refused = matches!(&error, ClientError::Problem(problem) if problem.status < 500);
            if refused || began.elapsed() > ASK_MAX || !self.stage.rest(FOLLOW_EVERY).await {
                return Err(error);
            }
            self.web += 1;
        }
    }

    /// Brings a migration that still runs to its end and drops what is only staged; says whether the cluster is at rest.
    pub(crate) async fn settle(&mut self) -> bool {
        let web = self.stage.web(0);
        match web.rebalance().await {
            Ok(rebalance) if rebalance.phase == RebalancePhase::Paused => {
                web.rebalance_resume().await.is_ok_and(|rebalance| rebalance.phase == RebalancePhase::Stable)
            }
            Ok(rebalance) if rebalance.phase == RebalancePhase::Stable && !rebalance.staged.is_empty() => {
                web.rebalance_abort().await.is_ok()
            }
            Ok(rebalance) => rebalance.phase == RebalancePhase::Stable,
            Err(_) => false,
        }
    }
}
