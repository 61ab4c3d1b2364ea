//! The leader's work on a running migration: fence, copy, commit, reclaim.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use triton_api::{NodeId, PartitionId, layout::LayoutRecord};
use triton_kit::MigrationStep;

use super::{
    Cluster, Inner,
    error::ClusterError,
    fence,
    ledger::{self, Ledger},
    migration::{self, FinishedMigration, MigrationPhase, MigrationRecord},
    mover::{MoveError, Mover, PullLog},
    moves::{self, Round, Task},
    pace::Backoff,
    records::State,
};
use crate::journal::{Change, Expect, RecordKey};

/// Partitions that move at once: few, so that viewers come first.
const PARTITIONS_IN_FLIGHT: usize = 4;
/// The longest wait for a change of the records before they are looked at anyway.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Rounds of reclaiming without any progress after which the rest is left to the repair loop.
const FRUITLESS_ROUNDS_MAX: u32 = 5;

/// One phase of one migration, as it is worked on.
struct Work {
    cluster: Cluster,
    record: LayoutRecord,
    migration: MigrationRecord,
    ledger: Ledger,
    /// Cancelled when the phase is to end where it is: paused, aborted, or the process stops.
    hold: CancellationToken,
}

impl Cluster {
    /// Works on whatever migration there is, for as long as this process leads.
    pub(super) async fn migrate(&self, shutdown: &CancellationToken) {
        let mut changes = self.records.changes();
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            let pause = match self.migrate_once(shutdown).await {
                Ok(()) => {
                    backoff.reset();
                    LOOK_INTERVAL
                }
                Err(error) => {
                    tracing::error!(%error, "the migration cannot go on for now");
                    backoff.next()
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = changes.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn migrate_once(&self, shutdown: &CancellationToken) -> Result<(), ClusterError> {
        let state = self.records.state().await?;
        let Some(migration) = state.migration().filter(|migration| !migration.paused).cloned() else { return Ok(()) };
        let hold = shutdown.child_token();
        let work = Arc::new(Work {
            cluster: self.clone(),
            record: state.layout.value,
            ledger: Ledger::of(&migration),
            migration,
            hold: hold.clone(),
        });
        let mut running = std::pin::pin!(work.run());
        // Both branches are cancel safe: `running` is polled on until it ends, and watching reads records only.
        tokio::select! {
            outcome = &mut running => return outcome,
            () = self.until_changed(&work.migration) => hold.cancel(),
        }
        running.await
    }

    /// Returns when the migration is paused, aborted or otherwise another than this one.
    async fn until_changed(&self, of: &MigrationRecord) {
        let mut changes = self.records.changes();
        loop {
            match self.records.migration().await {
                Ok(Some(stored)) if ledger::is_same(&stored.value, of) && !stored.value.paused => {}
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "the migration's record cannot be read"),
            }
            tokio::select! {
                () = changes.next() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }
}

impl Work {
    async fn run(self: &Arc<Self>) -> Result<(), ClusterError> {
        let outcome = match self.migration.phase {
            MigrationPhase::Copying => self.copy().await,
            MigrationPhase::Reclaiming => self.reclaim().await,
        };
        self.ledger.write(&self.cluster.records, &self.migration).await?;
        outcome
    }

    fn is_held(&self) -> bool {
        self.hold.is_cancelled()
    }

    /// Notes why something has to be tried again.
    fn explain(&self, reasons: impl IntoIterator<Item = String>) {
        for reason in reasons {
            self.ledger.failed(reason);
        }
    }

    /// Waits, unless the work is held first.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.hold.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Copies until every new holder has everything, then commits the new epoch.
    async fn copy(self: &Arc<Self>) -> Result<(), ClusterError> {
        tracing::info!(from = %self.migration.from, to = %self.migration.to, "a migration copies");
        self.fence().await?;
        if !self.is_held() {
            MigrationStep::WritesFenced.reached();
        }
        // Nodes that are new are not known to answer yet.
        self.cluster.probe().await;
        let mut backoff = Backoff::default();
        let mut before = self.ledger.progress();
        while !self.is_held() {
            let census = self.cluster.census(&self.record).await;
            let unfinished = moves::round(&self.record, &census, |partition| self.ledger.is_done(partition));
            if self.run_round(unfinished).await? {
                // The last look: had a node missed something that came in before the fence, its digest would tell. One that has
                // not learned of the fence may take something afterwards, so that what it tells does not count.
                let fenced = self.fence().await?;
                let mut census = self.cluster.census(&self.record).await;
                census.retain(&fenced);
                if self.run_round(moves::round(&self.record, &census, |_| false)).await? {
                    return self.commit().await;
                }
            }
            if !self.is_held() {
                tracing::warn!(last = self.ledger.last_error(), "parts of the migration have to be tried again");
            }
            self.ledger.write(&self.cluster.records, &self.migration).await?;
            let now = self.ledger.progress();
            if now != before {
                (before, backoff) = (now, Backoff::default());
            }
            self.pause(backoff.next()).await;
        }
        Ok(())
    }

    /// Waits until no write of the older epoch can begin any more that will be acknowledged; answers who refuses such writes.
    async fn fence(&self) -> Result<BTreeSet<NodeId>, ClusterError> {
        let mut backoff = Backoff::default();
        while !self.is_held() {
            let learned = self.cluster.inner.announcer.announce(&self.record).await;
            let is_safe = |partition| fence::is_safe(&self.record, partition, &learned.by);
            let waits = moves::in_motion(&self.record).into_iter().any(|partition| !is_safe(partition));
            self.explain(learned.unable);
            if learned.refused.is_empty() && !waits {
                return Ok(learned.by);
            }
            self.explain(learned.refused);
            if waits {
                let silent = fence::silent(&self.record, &learned.by).map(|node| node.id.to_string());
                let silent = silent.collect::<Vec<_>>().join(", ");
                self.ledger.failed(format!("waiting for these nodes to learn the new layout: {silent}"));
            }
            self.ledger.write(&self.cluster.records, &self.migration).await?;
            self.pause(backoff.next()).await;
        }
        Ok(BTreeSet::new())
    }

    /// Works on the tasks of a round, a few at once; tells whether all of the round is done.
    async fn run_round(self: &Arc<Self>, round: Round) -> Result<bool, ClusterError> {
        let mut complete = round.waits.is_empty();
        self.explain(round.waits);
        let mut queue = round.tasks.into_iter();
        let mut running = JoinSet::new();
        let mut writes = tokio::time::interval(ledger::WRITE_INTERVAL);
        writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while running.len() < PARTITIONS_IN_FLIGHT && !self.is_held() {
                let Some(task) = queue.next() else { break };
                if task.pulls.is_empty() {
                    self.note(task.partition, Ok(()));
                    continue;
                }
                let work = Arc::clone(self);
                running.spawn(async move { (task.partition, work.run_task(&task).await) });
            }
            // Both branches are cancel safe: a joined task is taken or not, a tick comes again.
            tokio::select! {
                joined = running.join_next() => match joined {
                    Some(joined) => {
                        let (partition, outcome) = joined?;
                        complete &= self.note(partition, outcome);
                    }
                    None => return Ok(complete && !self.is_held()),
                },
                _ = writes.tick() => self.ledger.write(&self.cluster.records, &self.migration).await?,
            }
        }
    }

    async fn run_task(&self, task: &Task) -> Result<(), MoveError> {
        let mover = self.cluster.mover(&self.record, &self.hold);
        for pull in &task.pulls {
            mover.pull(task.partition, pull, &PullLog::Migration(&self.ledger)).await?;
        }
        Ok(())
    }

    fn note(&self, partition: PartitionId, outcome: Result<(), MoveError>) -> bool {
        match outcome {
            Ok(()) => {
                MigrationStep::PartitionComplete.reached();
                self.ledger.finished(partition);
                return true;
            }
            Err(MoveError::Held) => {}
            Err(error) => self.ledger.failed(error.to_string()),
        }
        false
    }

    async fn commit(&self) -> Result<(), ClusterError> {
        MigrationStep::AllComplete.reached();
        self.ledger.write(&self.cluster.records, &self.migration).await?;
        let records = &self.cluster.records;
        let committed = records.decide(|state| {
            let Some((layout, migration)) =
                self.own(state).and_then(|running| migration::commit(&state.layout.value, running, Timestamp::now()))
            else {
                return Ok((false, None));
            };
            let change = Change::new().put(RecordKey::layout(), state.expect_layout(), &layout)?.put(
                RecordKey::migration(),
                state.expect_migration(),
                &migration,
            )?;
            Ok((true, Some(change)))
        });
        if committed.await? {
            MigrationStep::EpochCommitted.reached();
            tracing::info!(epoch = %self.migration.to, "the new epoch is committed");
        }
        self.cluster.refresh().await
    }

    /// The record of this very migration, if it is still there and not held.
    fn own<'a>(&self, state: &'a State) -> Option<&'a MigrationRecord> {
        state.migration().filter(|running| ledger::is_same(running, &self.migration) && !running.paused)
    }

    /// After the grace time, empties every node of what it no longer holds, then ends the migration.
    async fn reclaim(self: &Arc<Self>) -> Result<(), ClusterError> {
        let grace = self.cluster.inner.settings.reclaim_grace;
        self.pause(migration::grace_left(&self.migration, grace, Timestamp::now())).await;
        MigrationStep::ReleaseBegun.reached();
        let mut backoff = Backoff::default();
        let mut fruitless = 0;
        while !self.is_held() && fruitless < FRUITLESS_ROUNDS_MAX {
            let learned = self.cluster.inner.announcer.announce(&self.record).await;
            self.explain(learned.refused.into_iter().chain(learned.unable));
            let census = self.cluster.census(&self.record).await;
            let tasks = moves::reclaim(&self.record.current, &census);
            if tasks.is_empty() {
                return self.finish().await;
            }
            let report = self.cluster.repair(&self.record, tasks, &self.hold).await;
            self.explain(report.errors);
            fruitless = if report.blobs_released > 0 { 0 } else { fruitless + 1 };
            self.ledger.write(&self.cluster.records, &self.migration).await?;
            if fruitless > 0 {
                self.pause(backoff.next()).await;
            }
        }
        if self.is_held() { Ok(()) } else { self.finish().await }
    }

    /// Ends the migration: nodes that leave and hold nothing are dropped, the others stay staged for removal.
    async fn finish(&self) -> Result<(), ClusterError> {
        MigrationStep::HoldersEmptied.reached();
        let mut empty = Vec::new();
        for id in &self.migration.removals {
            let Some(node) = self.record.node(*id) else { continue };
            let info = self.cluster.inner.announcer.probe(node).await;
            if fence::is_given_up(&self.record, *id) || info.is_some_and(|info| info.is_empty()) {
                empty.push(*id);
            } else {
                tracing::warn!(node.id = %id, "a node is to be removed, but not known to be empty: it stays for now");
            }
        }
        // Who waits for the end looks at the nodes next, and should see what they hold now.
        self.cluster.probe().await;
        let records = &self.cluster.records;
        records
            .decide(|state| {
                let Some(own) = self.own(state) else { return Ok(((), None)) };
                let change = Change::new().delete(RecordKey::migration(), state.expect_migration());
                let last = FinishedMigration::new(own.clone(), Timestamp::now());
                let change = change.put(RecordKey::last_migration(), Expect::Anything, &last)?;
                Ok(((), Some(super::control::removal(state, &self.migration.removals, &empty, change)?)))
            })
            .await?;
        MigrationStep::NodesRemoved.reached();
        tracing::info!(epoch = %self.migration.to, "the migration is done");
        self.cluster.refresh().await
    }
}

impl Cluster {
    pub(super) fn mover<'a>(&'a self, record: &'a LayoutRecord, hold: &'a CancellationToken) -> Mover<'a> {
        let Inner { caller, throttle, health, .. } = &*self.inner;
        Mover { caller, throttle, health, record, hold }
    }
}
