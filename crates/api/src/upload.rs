//! Resumable uploads: the names of the tus protocol, version 1.0.0 (<https://tus.io/protocols/resumable-upload>).

/// Paths of the upload API.
pub mod route {
    /// Create an upload.
    pub const UPLOADS: &str = "/api/v1/uploads";
    /// One upload. Its id is the id of the video that it becomes.
    pub const UPLOAD: &str = "/api/v1/uploads/{id}";
}

/// The version of the protocol.
pub const TUS_VERSION: &str = "1.0.0";
/// What of the protocol is spoken beside its core.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination,concatenation";
/// The algorithms of `Upload-Checksum`.
pub const TUS_CHECKSUM_ALGORITHMS: &str = "sha1,sha256";
/// The media type of a chunk.
pub const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

/// The longest `Upload-Metadata`, in bytes: enough for the longest description.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// The most partial uploads that one final upload joins.
pub const CONCAT_UPLOADS_MAX: usize = 100;
/// The longest chunk with a checksum, in bytes: it is kept aside until it is known to be right.
pub const CHECKED_CHUNK_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The headers of the protocol.
pub mod header {
    /// The version that client and server speak.
    pub const TUS_RESUMABLE: &str = "tus-resumable";
    /// The versions that the server speaks.
    pub const TUS_VERSION: &str = "tus-version";
    /// The extensions that the server speaks.
    pub const TUS_EXTENSION: &str = "tus-extension";
    /// The longest upload.
    pub const TUS_MAX_SIZE: &str = "tus-max-size";
    /// The algorithms of checksums.
    pub const TUS_CHECKSUM_ALGORITHM: &str = "tus-checksum-algorithm";
    /// Bytes that the server has.
    pub const UPLOAD_OFFSET: &str = "upload-offset";
    /// Bytes of the whole upload.
    pub const UPLOAD_LENGTH: &str = "upload-length";
    /// Says that the length follows later, which is not supported.
    pub const UPLOAD_DEFER_LENGTH: &str = "upload-defer-length";
    /// Pairs of names and base64 values.
    pub const UPLOAD_METADATA: &str = "upload-metadata";
    /// When an unfinished upload is removed.
    pub const UPLOAD_EXPIRES: &str = "upload-expires";
    /// The checksum of the request's chunk.
    pub const UPLOAD_CHECKSUM: &str = "upload-checksum";
    /// `partial`, or `final;` with the addresses of partial uploads.
    pub const UPLOAD_CONCAT: &str = "upload-concat";
    /// The method that is meant, where the environment knows too few.
    pub const METHOD_OVERRIDE: &str = "x-http-method-override";
}
