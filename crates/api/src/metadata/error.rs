//! What can be wrong with a file.

use thiserror::Error;

use super::{LINE_BYTES_MAX, VERSION};

/// Why a file is not taken. Each is a sentence for a person.
#[derive(Debug, Error)]
pub enum MetadataFileError {
    /// It cannot be read to its end.
    #[error("The metadata cannot be read: {0}.")]
    Read(#[from] std::io::Error),
    /// Its first line is not ours.
    #[error("This is not metadata exported by `tritonctl metadata export`: its first line is another one.")]
    Foreign,
    /// A newer program wrote it.
    #[error(
        "A newer version of TritonTube exported this (form {found}, this one reads up to {VERSION}): use that version."
    )]
    Newer {
        /// The form's version.
        found: u32,
    },
    /// A line is longer than any may be.
    #[error("Line {line} is longer than {LINE_BYTES_MAX} bytes: this is no metadata, or it was altered.")]
    LineTooLong {
        /// Counted from one.
        line: u64,
    },
    /// A line is not what it should be.
    #[error("Line {line} is not understood ({reason}): the file was altered.")]
    Malformed {
        /// Counted from one.
        line: u64,
        /// Why.
        reason: String,
    },
    /// A record is there twice, or out of order.
    #[error("Line {line}: the record {key} is not in its place: the file was altered.")]
    OutOfOrder {
        /// Counted from one.
        line: u64,
        /// The record.
        key: String,
    },
    /// The last line is missing.
    #[error("The file ends after {records} records without its last line: it was cut. Export again.")]
    Cut {
        /// Whole records before the end.
        records: u64,
    },
    /// The last line counts other records.
    #[error("There are {found} records, but there should be {expected}: the file was altered.")]
    Miscounted {
        /// As counted.
        found: u64,
        /// As the last line says.
        expected: u64,
    },
    /// The hash is another one.
    #[error("The file's checksum is wrong: it was altered.")]
    Altered,
    /// Something follows the last line.
    #[error("There is something after the last line: these are two files in one, or the file was altered.")]
    Trailing,
}
