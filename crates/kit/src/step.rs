//! The numbered steps of a migration, and the seam at which a test kills a service in one of them.
//!
//! [`MigrationStep`] is the one table of the steps: those of the coordinator, which is the web service that leads, and those
//! of the nodes. Each service calls [`MigrationStep::reached`] when it has come to a step. In a release build that is
//! nothing at all. In a debug build a test *arms* a step:
//!
//! 1. It starts the service with the environment variable [`FAIL_FILE`] (`TRITON_FAIL_FILE`), the path of a file that does
//!    not exist yet; several services may share it.
//! 2. At any time it writes the name of a step to the file, in one go (write elsewhere, then rename): `pull-page-done`. A number after the name skips that many
//!    times first: `pull-page-done 3` fails at the fourth.
//! 3. The first service that reaches the step removes the file and aborts itself, at that very point: no destructor runs, no
//!    answer is sent, as with a power cut (but for what is in the page cache). Whoever removed the file fails, so it is one
//!    process, once: restarted with the same environment it goes on.
//!
//! So a test sees the file disappear, waits for the end of the process, starts it again and looks at what has become of
//! the migration. `web-svc/tests/steps` does it for every step.

use std::fmt;

/// The environment variable with the path of the file that arms a step; read in debug builds only.
pub const FAIL_FILE: &str = "TRITON_FAIL_FILE";

/// Who comes to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The web service that leads.
    Coordinator,
    /// A storage node.
    Node,
}

macro_rules! steps {
    ($($number:literal $side:ident $variant:ident $name:literal $doc:literal;)*) => {
        /// A point in a migration at which a crash must do no harm.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum MigrationStep {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl MigrationStep {
            /// All steps, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name that arms it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who comes to it.
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)* }
            }
        }
    };
}

steps! {
    1 Coordinator ChangeStaged "change-staged" "A change of the nodes is staged, and the admin has no answer yet.";
    2 Coordinator PlanMade "plan-made" "What to apply is decided, and nothing of it is written.";
    3 Coordinator EpochsOpened "epochs-opened" "Layout with two epochs and migration record are committed; no node knows it.";
    4 Coordinator NodeAcknowledged "node-acknowledged" "One node has acknowledged the layout with two epochs.";
    5 Coordinator WritesFenced "writes-fenced" "No write of the older epoch can be acknowledged any more; nothing is copied.";
    6 Coordinator PullBegun "pull-begun" "A node is about to be asked for its first page of a partition.";
    7 Coordinator PullPageDone "pull-page-done" "A node has pulled a page; its cursor is in no record yet.";
    8 Coordinator CursorsWritten "cursors-written" "Cursors, finished partitions and bytes are in the record.";
    9 Coordinator PartitionComplete "partition-complete" "All new holders of a partition have everything; no record says so.";
    10 Coordinator AllComplete "all-complete" "All partitions are complete, and the last look found nothing.";
    11 Coordinator EpochCommitted "epoch-committed" "The new epoch is committed; no node knows it.";
    12 Coordinator ReleaseBegun "release-begun" "The grace time is over, and former holders are about to be asked to release.";
    13 Coordinator ReleasePageDone "release-page-done" "A former holder has released one partition.";
    14 Coordinator HoldersEmptied "holders-emptied" "Nobody but holders has anything; the migration is still on record.";
    15 Coordinator NodesRemoved "nodes-removed" "Nodes that leave are out of the layout, the migration is off the record.";
    16 Coordinator WayBackOpened "way-back-opened" "An abort is committed: the migration goes back, and no node knows it.";
    17 Node LayoutLearned "layout-learned" "A newer layout is on the node's disk and in force; the answer is not sent.";
    18 Node PageListed "page-listed" "The source's page is here, and nothing is fetched.";
    19 Node BlobPulled "blob-pulled" "A pulled blob is durable; others of the page are under way.";
    20 Node PagePulled "page-pulled" "A page is pulled and its names are durable; the answer is not sent.";
    21 Node BlobConfirmed "blob-confirmed" "All holders have confirmed a blob that the node is about to unlink.";
    22 Node BlobReleased "blob-released" "A blob is unlinked; the directory is not synced.";
    23 Node PageReleased "page-released" "A partition's unlinks are durable; the answer is not sent.";
}

impl MigrationStep {
    /// Its number, from 1.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.name() == name)
    }

    /// Says that this process has come to the step; where a test has armed it, the process ends here.
    pub fn reached(self) {
        #[cfg(debug_assertions)]
        armed::fail_at(self);
    }
}

impl fmt::Display for MigrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::{fs, path::Path};

    use super::{FAIL_FILE, MigrationStep};

    pub(super) fn fail_at(step: MigrationStep) {
        if let Some(file) = std::env::var_os(FAIL_FILE)
            && takes(Path::new(&file), step)
        {
            tracing::error!(%step, "a test ends this process here");
            std::process::abort();
        }
    }

    /// Whether the file arms this step for this process, in which case the file is gone.
    pub(super) fn takes(file: &Path, step: MigrationStep) -> bool {
        let Ok(text) = fs::read_to_string(file) else { return false };
        let mut words = text.split_whitespace();
        if words.next() != Some(step.name()) {
            return false;
        }
        match words.next().and_then(|count| count.parse::<u32>().ok()) {
            Some(skipped) if skipped > 0 => {
                // Two tasks that come at once may count once: what is armed comes a little later then.
                if let Err(error) = fs::write(file, format!("{} {}", step.name(), skipped - 1)) {
                    tracing::warn!(%error, "the file that arms a step cannot be written");
                }
                false
            }
            _ => fs::remove_file(file).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_one_and_found_by_their_names() {
        for (position, step) in MigrationStep::ALL.iter().enumerate() {
            assert_eq!(usize::from(step.number()), position + 1);
            assert_eq!(MigrationStep::named(step.name()), Some(*step));
        }
        assert_eq!(MigrationStep::named("pull"), None);
    }

    #[test]
    fn an_armed_step_is_taken_once_and_after_as_many_as_were_to_be_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fail");
        let takes = |step| armed::takes(&file, step);
        assert!(!takes(MigrationStep::PullBegun));
        std::fs::write(&file, "pull-begun 1\n").unwrap();
        assert!(!takes(MigrationStep::PullPageDone));
        assert_eq!([(); 3].map(|()| takes(MigrationStep::PullBegun)), [false, true, false]);
    }
}
