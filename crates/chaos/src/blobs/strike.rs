//! What can be done to the storage ring and to the coordinator of its layout.

use std::{fmt, time::Duration};

use triton_kit::{MigrationStep, step::Side};
use triton_testkit::Cut;

/// A node, whichever it is.
pub(super) const SOME_NODE: usize = usize::MAX;

/// One blow. Nodes are numbered from 0, spare ones last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL; healed by a start with the same data.
    Kill(usize),
    /// SIGSTOP: connections stay open and nothing answers.
    Stop(usize),
    /// A node neither reaches others nor is reached.
    Isolate(usize, Cut),
    /// The clients of the ring do not reach a node, which others reach.
    CutClients(usize, Cut),
    /// The coordinator does not reach a node, which others reach.
    CutCoordinator(usize, Cut),
    /// Two nodes do not reach each other.
    CutPair(usize, usize, Cut),
    /// Every piece of a node's answers is held for this many milliseconds.
    Slow(usize, u64),
    /// Of a node's answers so many bytes arrive in a second.
    Trickle(usize, u64),
    /// A node's answers break off after so many bytes, and nothing comes after.
    Break(usize, u64),
    /// A node's wall clock jumps by so many seconds, and back when it is healed.
    JumpClock(usize, i64),
    /// The coordinator's does.
    JumpCoordinatorClock(i64),
    /// All room of a node's disk is taken but so many bytes.
    FillDisk(usize, u64),
    /// Every fsync of a node fails; the node has to be restarted then.
    FailSyncs(usize),
    /// Every read of a node's files fails.
    FailReads(usize),
    /// One bit each of so many blobs of a node turns, behind its back.
    RotBlobs(usize, usize),
    /// A node comes back with an empty disk and its old identity.
    LoseDisk(usize),
    /// SIGKILL for the coordinator.
    KillCoordinator,
    /// SIGSTOP for the coordinator.
    StopCoordinator,
    /// Whichever process comes to this step of a migration, so many times after the first, aborts; it is started again at once.
    Abort(MigrationStep, u32),
}

impl Strike {
    /// The node that clients cannot count on while it lasts.
    pub fn victim(self) -> Option<usize> {
        match self {
            Self::Kill(node)
            | Self::Stop(node)
            | Self::Isolate(node, _)
            | Self::CutClients(node, _)
            | Self::Slow(node, _)
            | Self::Trickle(node, _)
            | Self::Break(node, _)
            | Self::FillDisk(node, _)
            | Self::FailSyncs(node)
            | Self::FailReads(node)
            | Self::RotBlobs(node, _)
            | Self::LoseDisk(node) => Some(node),
            Self::CutCoordinator(..)
            | Self::CutPair(..)
            | Self::JumpClock(..)
            | Self::JumpCoordinatorClock(_)
            | Self::KillCoordinator
            | Self::StopCoordinator => None,
            // It is not known which one.
            Self::Abort(step, _) => (step.side() == Side::Node).then_some(SOME_NODE),
        }
    }

    /// Whether what it did to the node's content is mended by repair alone, so that it counts as harmed to the end.
    pub fn lasts(self) -> bool {
        matches!(self, Self::RotBlobs(..) | Self::LoseDisk(_))
    }

    /// In words, without whom it hits.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "node killed",
            Self::Stop(_) => "node stopped",
            Self::Isolate(..) => "node cut off from all",
            Self::CutClients(..) => "node cut off from clients",
            Self::CutCoordinator(..) => "node cut off from the coordinator",
            Self::CutPair(..) => "two nodes cut off from each other",
            Self::Slow(..) => "slow link",
            Self::Trickle(..) => "narrow link",
            Self::Break(..) => "link breaks in the middle of an answer",
            Self::JumpClock(..) => "clock of a node jumps",
            Self::JumpCoordinatorClock(_) => "clock of the coordinator jumps",
            Self::FillDisk(..) => "disk full",
            Self::FailSyncs(_) => "fsync fails",
            Self::FailReads(_) => "reads of the disk fail",
            Self::RotBlobs(..) => "bits of blobs turn",
            Self::LoseDisk(_) => "disk lost",
            Self::KillCoordinator => "coordinator killed",
            Self::StopCoordinator => "coordinator stopped",
            Self::Abort(step, _) => match step.side() {
                Side::Coordinator => "coordinator to abort at a step of a migration",
                Side::Node => "node to abort at a step of a migration",
            },
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}

/// A strike with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning of the play.
    pub at: Duration,
    /// How long it lasts.
    pub hold: Duration,
    /// What.
    pub strike: Strike,
}
