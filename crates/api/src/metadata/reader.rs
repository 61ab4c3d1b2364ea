//! Reading the file line by line, and checking it on the way.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::{
    FORMAT, LINE_BYTES_MAX, MetadataFileError, MetadataHeader, MetadataRecord, MetadataTrailer, Order, VERSION,
    is_portable,
};

/// A file that is being read. Its memory is one line.
///
/// Only when [`Self::next`] has answered `None` is it known that the records before were all, and that nobody altered them.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
    records: u64,
    hasher: blake3::Hasher,
    last: Option<Order>,
    trailer: Option<MetadataTrailer>,
}

#[derive(Deserialize)]
struct Preamble<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    v: u32,
}

/// A record or the last line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    records: Option<u64>,
    blake3: Option<String>,
}

impl<R: AsyncBufRead + Unpin + Send> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// Where it is not ours, or of a newer version.
    pub async fn open(source: R) -> Result<(MetadataHeader, Self), MetadataFileError> {
        let mut reader = Self {
            source,
            line: Vec::new(),
            number: 0,
            records: 0,
            hasher: blake3::Hasher::new(),
            last: None,
            trailer: None,
        };
        match reader.read_line().await {
            Ok(true) => {}
            Err(error @ MetadataFileError::Read(_)) => return Err(error),
            Ok(false) if reader.begins_like_ours() => return Err(MetadataFileError::Cut { records: 0 }),
            Ok(false) | Err(_) => return Err(MetadataFileError::Foreign),
        }
        let preamble = serde_json::from_slice::<Preamble<'_>>(&reader.line);
        match preamble.map_err(|_| MetadataFileError::Foreign)? {
            Preamble { format, .. } if format != FORMAT => return Err(MetadataFileError::Foreign),
            Preamble { v, .. } if v > VERSION => return Err(MetadataFileError::Newer { found: v }),
            Preamble { .. } => {}
        }
        let header = serde_json::from_slice(&reader.line).map_err(|error| reader.malformed(&error))?;
        reader.hasher.update(&reader.line);
        Ok((header, reader))
    }

    /// The next record, or `None` after the last line, when everything has been checked.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn next(&mut self) -> Result<Option<MetadataRecord>, MetadataFileError> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        if !self.read_line().await? {
            return Err(MetadataFileError::Cut { records: self.records });
        }
        let line: Line<'_> = serde_json::from_slice(&self.line).map_err(|error| self.malformed(&error))?;
        match line {
            Line { key: Some(key), value: Some(value), records: None, blake3: None } => {
                let record = MetadataRecord { key: key.into_owned(), value: value.to_owned() };
                self.note(&record)?;
                Ok(Some(record))
            }
            Line { key: None, value: None, records: Some(records), blake3: Some(blake3) } => {
                self.end(MetadataTrailer { records, blake3 }).await?;
                Ok(None)
            }
            Line { .. } => Err(self.malformed(&"it is neither a record nor the last line")),
        }
    }

    /// The bytes of the line that was read last, its end included.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The last line, once it has been read and found true.
    pub fn trailer(&self) -> Option<&MetadataTrailer> {
        self.trailer.as_ref()
    }

    fn begins_like_ours(&self) -> bool {
        self.line.starts_with(format!("{{\"format\":\"{FORMAT}\"").as_bytes())
    }

    fn note(&mut self, record: &MetadataRecord) -> Result<(), MetadataFileError> {
        if !is_portable(&record.key) {
            return Err(self.malformed(&"no record of this name moves to another installation"));
        }
        let place = Order::of(&record.key);
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(MetadataFileError::OutOfOrder { line: self.number, key: record.key.clone() });
        }
        self.last = Some(place);
        self.records += 1;
        self.hasher.update(&self.line);
        Ok(())
    }

    async fn end(&mut self, trailer: MetadataTrailer) -> Result<(), MetadataFileError> {
        if trailer.records != self.records {
            return Err(MetadataFileError::Miscounted { found: self.records, expected: trailer.records });
        }
        if trailer.blake3 != self.hasher.finalize().to_hex().as_str() {
            return Err(MetadataFileError::Altered);
        }
        if !self.source.fill_buf().await?.is_empty() {
            return Err(MetadataFileError::Trailing);
        }
        self.trailer = Some(trailer);
        Ok(())
    }

    /// Reads a whole line; `false` at the end of the file, and where the file ends within a line.
    async fn read_line(&mut self) -> Result<bool, MetadataFileError> {
        self.line.clear();
        self.number += 1;
        (&mut self.source).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut self.line).await?;
        if self.line.len() == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
            return Err(MetadataFileError::LineTooLong { line: self.number });
        }
        Ok(self.line.ends_with(b"\n"))
    }

    fn malformed(&self, reason: &impl ToString) -> MetadataFileError {
        MetadataFileError::Malformed { line: self.number, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{super::Writer, *};
    use crate::{
        Epoch,
        layout::{Layout, LayoutRecord},
    };

    fn header() -> MetadataHeader {
        let epoch = Epoch::new(3);
        let layout = Layout {
            epoch,
            replicas: 1,
            nodes: Vec::new(),
            table: Vec::new(),
            digest: String::new(),
            rest: crate::layout::Rest::new(),
        };
        MetadataHeader {
            format: FORMAT.to_owned(),
            v: VERSION,
            revision: 7,
            exported_at: jiff::Timestamp::UNIX_EPOCH,
            layout: LayoutRecord::settled(layout),
        }
    }

    fn file(records: &[(&str, &str)]) -> String {
        let (mut writer, mut out) = (Writer::default(), BytesMut::new());
        writer.header(&header(), &mut out).unwrap();
        for (key, value) in records {
            writer.record(key, value, &mut out).unwrap();
        }
        writer.trailer(&mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    async fn read(text: &str) -> Result<Vec<(String, String)>, MetadataFileError> {
        let (found, mut reader) = Reader::open(text.as_bytes()).await?;
        assert_eq!(found, header());
        let mut records = Vec::new();
        while let Some(record) = reader.next().await? {
            records.push((record.key, record.value.get().to_owned()));
        }
        assert!(reader.trailer().is_some() && reader.next().await.unwrap().is_none());
        Ok(records)
    }

    const RECORDS: [(&str, &str); 3] =
        [("plan/a", r#"{"v": 1,  "x":1.50}"#), ("video/a", r#"{"title":"a \"b\" \u00e4"}"#), ("job/a", "{}")];

    #[tokio::test]
    async fn records_come_back_letter_by_letter() {
        let records = read(&file(&RECORDS)).await.unwrap();
        let expected = RECORDS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(records, expected);
        assert_eq!(read(&file(&[])).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_anywhere_is_refused() {
        let whole = file(&RECORDS);
        for end in 0..whole.len() {
            let error = read(&whole[..end]).await.unwrap_err();
            let right = match error {
                MetadataFileError::Foreign => end < "{\"format\":\"\"".len() + FORMAT.len(),
                MetadataFileError::Cut { records } => records <= 3,
                _ => false,
            };
            assert!(right, "{end}: {error}");
        }
    }

    #[tokio::test]
    async fn one_altered_bit_anywhere_is_refused() {
        let whole = file(&RECORDS);
        for at in 0..whole.len() {
            for bit in [0x01, 0x20] {
                let mut bytes = whole.clone().into_bytes();
                bytes[at] ^= bit;
                let read_all = async {
                    let (_, mut reader) = Reader::open(bytes.as_slice()).await?;
                    while reader.next().await?.is_some() {}
                    Ok::<_, MetadataFileError>(())
                };
                assert!(read_all.await.is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[tokio::test]
    async fn refusals_say_what_is_wrong() {
        let whole = file(&RECORDS);
        let cases = [
            (String::new(), "not metadata exported"),
            ("{\"a\":1}\n".to_owned(), "not metadata exported"),
            ("\0\0ftypisom".repeat(300_000), "not metadata exported"),
            (whole.replace("\"v\":1,\"rev", "\"v\":2,\"rev"), "newer version"),
            (whole.replace("1.50", "1.51"), "checksum"),
            (whole.replace("job/a", "worker/a"), "no record of this name"),
            (whole.replace("job/a", "plan/b"), "plan/b is not in its place"),
            (whole.replace("job/a", "video/a"), "video/a is not in its place"),
            (whole.replace("\"records\":3", "\"records\":4"), "should be 4"),
            (format!("{whole}{whole}"), "after the last line"),
            (whole.replace("{}", &format!("\"{}\"", "x".repeat(LINE_BYTES_MAX))), "is longer than"),
        ];
        for (text, part) in cases {
            let error = read(&text).await.unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
