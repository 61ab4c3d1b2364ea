//! What can be done to a fleet.

use std::fmt;

use triton_testkit::Cut;

/// One part of a fleet, by its number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A storage node.
    Storage(usize),
    /// A web service.
    Web(usize),
    /// A process that only transcodes.
    Worker(usize),
    /// A member of etcd.
    Etcd(usize),
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Storage nodes, spare ones included.
    pub storage: usize,
    /// Web services.
    pub webs: usize,
    /// Processes that only transcode.
    pub workers: usize,
    /// Members of etcd; none where metadata are in SQLite.
    pub etcd: usize,
}

/// One disturbance, which ends by being healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// SIGKILL; healed by a start with the same data.
    Kill(Part),
    /// SIGTERM; healed by a start.
    Terminate(Part),
    /// SIGSTOP: connections stay open and nothing answers.
    Suspend(Part),
    /// SIGKILL for all members of etcd at once.
    KillAllEtcd,
    /// A web service reaches no member of etcd.
    CutWebFromEtcd(usize, Cut),
    /// A web service does not reach one storage node, which others reach.
    CutWebFromStorage(usize, usize, Cut),
    /// A storage node neither reaches others nor is reached.
    IsolateStorage(usize, Cut),
    /// A member of etcd reaches no other member; clients reach it.
    IsolateEtcd(usize, Cut),
}

/// A kind of disturbance, before it is decided whom it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A storage node is killed.
    StorageKilled,
    /// A storage node is suspended.
    StorageSuspended,
    /// A storage node is cut off from all.
    StorageIsolated,
    /// A web service is killed.
    WebKilled,
    /// A web service is told to end.
    WebTerminated,
    /// A web service is suspended.
    WebSuspended,
    /// A web service is cut off from one storage node.
    WebCutFromStorage,
    /// A web service is cut off from etcd.
    WebCutFromEtcd,
    /// A worker is killed.
    WorkerKilled,
    /// A worker is suspended.
    WorkerSuspended,
    /// Some member of etcd is killed.
    EtcdMemberKilled,
    /// Some member of etcd is suspended.
    EtcdMemberSuspended,
    /// A member of etcd is cut off from the others.
    EtcdMemberIsolated,
    /// The leader of etcd is killed.
    EtcdLeaderKilled,
    /// All of etcd is killed.
    EtcdStopped,
}

impl Kind {
    /// Whether a fleet has what this hits.
    pub fn exists_in(self, parts: Parts) -> bool {
        match self {
            Self::StorageKilled | Self::StorageSuspended | Self::StorageIsolated => parts.storage > 0,
            Self::WebKilled | Self::WebTerminated | Self::WebSuspended => parts.webs > 0,
            Self::WebCutFromStorage => parts.webs > 0 && parts.storage > 0,
            Self::WorkerKilled | Self::WorkerSuspended => parts.workers > 0,
            Self::WebCutFromEtcd | Self::EtcdStopped => parts.etcd > 0,
            // A quorum has to remain.
            Self::EtcdMemberKilled | Self::EtcdMemberSuspended | Self::EtcdMemberIsolated | Self::EtcdLeaderKilled => {
                parts.etcd >= 3
            }
        }
    }

    /// In words, for the report.
    pub const fn words(self) -> &'static str {
        match self {
            Self::StorageKilled => "storage node killed",
            Self::StorageSuspended => "storage node suspended",
            Self::StorageIsolated => "storage node cut off from all",
            Self::WebKilled => "web service killed",
            Self::WebTerminated => "web service terminated",
            Self::WebSuspended => "web service suspended",
            Self::WebCutFromStorage => "web service cut off from a storage node",
            Self::WebCutFromEtcd => "web service cut off from etcd",
            Self::WorkerKilled => "worker killed",
            Self::WorkerSuspended => "worker suspended",
            Self::EtcdMemberKilled => "etcd member killed",
            Self::EtcdMemberSuspended => "etcd member suspended",
            Self::EtcdMemberIsolated => "etcd member cut off from its peers",
            Self::EtcdLeaderKilled => "etcd leader killed",
            Self::EtcdStopped => "all of etcd killed",
        }
    }
}

impl Harm {
    /// The web service that a viewer may leave for another while this lasts.
    pub fn excused_web(self) -> Option<usize> {
        match self {
            Self::Kill(Part::Web(web)) | Self::Terminate(Part::Web(web)) | Self::Suspend(Part::Web(web)) => Some(web),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, number) = match self {
            Self::Storage(number) => ("storage", number),
            Self::Web(number) => ("web", number),
            Self::Worker(number) => ("worker", number),
            Self::Etcd(number) => ("etcd", number),
        };
        // Counted from one, as compose.yaml names them.
        write!(f, "{name}-{}", number + 1)
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Kill(part) => write!(f, "kill {part}"),
            Self::Terminate(part) => write!(f, "terminate {part}"),
            Self::Suspend(part) => write!(f, "suspend {part}"),
            Self::KillAllEtcd => write!(f, "kill all of etcd"),
            Self::CutWebFromEtcd(web, cut) => write!(f, "cut {} from etcd ({})", Part::Web(web), word(cut)),
            Self::CutWebFromStorage(web, node, cut) => {
                write!(f, "cut {} from {} ({})", Part::Web(web), Part::Storage(node), word(cut))
            }
            Self::IsolateStorage(node, cut) => write!(f, "cut {} off ({})", Part::Storage(node), word(cut)),
            Self::IsolateEtcd(member, cut) => {
                write!(f, "cut {} from its peers ({})", Part::Etcd(member), word(cut))
            }
        }
    }
}

const fn word(cut: Cut) -> &'static str {
    match cut {
        Cut::Reject => "rejected",
        Cut::Swallow => "swallowed",
    }
}
