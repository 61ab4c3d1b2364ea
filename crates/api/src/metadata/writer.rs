//! Writing the file line by line.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{MetadataHeader, MetadataTrailer};

/// Makes the lines of one file; the caller carries them away.
#[derive(Debug, Default)]
pub struct Writer {
    hasher: blake3::Hasher,
    records: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    value: &'a RawValue,
}

impl Writer {
    /// The first line.
    pub fn header(&mut self, header: &MetadataHeader, out: &mut BytesMut) -> serde_json::Result<()> {
        self.line(header, out)
    }

    /// The next record. Records come in the order of [`super::Order`]; `json` is the record as it is stored.
    ///
    /// # Errors
    /// Where `json` is none.
    pub fn record(&mut self, key: &str, json: &str, out: &mut BytesMut) -> serde_json::Result<()> {
        let value: &RawValue = serde_json::from_str(json)?;
        self.records += 1;
        self.line(&Line { key, value }, out)
    }

    /// The last line.
    pub fn trailer(self, out: &mut BytesMut) -> serde_json::Result<()> {
        let blake3 = self.hasher.finalize().to_hex().to_string();
        put(&MetadataTrailer { records: self.records, blake3 }, out)
    }

    fn line(&mut self, line: &impl Serialize, out: &mut BytesMut) -> serde_json::Result<()> {
        let start = out.len();
        put(line, out)?;
        self.hasher.update(out.get(start..).unwrap_or_default());
        Ok(())
    }
}

fn put(line: &impl Serialize, out: &mut BytesMut) -> serde_json::Result<()> {
    serde_json::to_writer(out.writer(), line)?;
    out.put_u8(b'\n');
    Ok(())
}
