//! The promises that a run can break.

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breach {
    /// A viewer got nothing, though its web service was not harmed or another one was there.
    FailedRead,
    /// A viewer got bytes that differ from those that were there before, or from their checksum.
    WrongBytes,
    /// A list, a search or a look at a video was not answered.
    FailedListing,
    /// An upload that was acknowledged is not there, does not play, or is not byte-identical.
    LostUpload,
    /// A good clip was refused for good.
    RefusedUpload,
    /// A video is neither ready nor failed for a good reason at the end.
    StuckVideo,
    /// A blob has fewer than R equal copies at the end, or the cluster does not come to rest.
    MissingReplica,
    /// One epoch was seen with two layouts.
    TwoLayouts,
    /// An acknowledged edit was overwritten by one that did not know it.
    LostUpdate,
    /// A write that could not be done got something else than 503 with Retry-After as problem+json.
    DishonestOutage,
    /// Writes did not resume in time.
    LateWrites,
    /// A part did not come back after it was healed.
    NotRecovered,
}

impl Breach {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 12] = [
        Self::FailedRead,
        Self::WrongBytes,
        Self::FailedListing,
        Self::LostUpload,
        Self::RefusedUpload,
        Self::StuckVideo,
        Self::MissingReplica,
        Self::TwoLayouts,
        Self::LostUpdate,
        Self::DishonestOutage,
        Self::LateWrites,
        Self::NotRecovered,
    ];

    /// In words, for the report.
    pub const fn words(self) -> &'static str {
        match self {
            Self::FailedRead => "failed media reads",
            Self::WrongBytes => "wrong bytes",
            Self::FailedListing => "failed lists and searches",
            Self::LostUpload => "acknowledged uploads lost",
            Self::RefusedUpload => "good uploads refused",
            Self::StuckVideo => "videos stuck",
            Self::MissingReplica => "blobs without R equal replicas",
            Self::TwoLayouts => "epochs with more than one committed layout",
            Self::LostUpdate => "lost updates",
            Self::DishonestOutage => "impossible writes not answered with an honest 503",
            Self::LateWrites => "writes that resumed too late",
            Self::NotRecovered => "parts that did not come back",
        }
    }
}
