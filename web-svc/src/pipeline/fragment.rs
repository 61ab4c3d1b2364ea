//! Fragmented MP4 as ffmpeg writes it, read as a list of samples that can be written anew as segments.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use mp4_atom::{Codec, DecodeAtom, Encode, Header, Moof, Moov, ReadFrom};
use tracing::subscriber::{NoSubscriber, with_default};

use super::cmaf::{av1_codec_string, codec_string, segment_head};

/// The bit `sample_is_non_sync_sample`.
const NON_SYNC_BIT: u32 = 0x0001_0000;
/// A box head at its shortest.
const HEAD_BYTES_MIN: u64 = 8;
/// Most boxes that are looked at, and most bytes of one that is held in memory: far beyond any chunk of ours.
const BOXES_MAX: usize = 1_000_000;
const BOX_BYTES_MAX: u64 = 64 << 20;

/// Why a file is not the fragmented MP4 that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum FragmentError {
    #[error("the encoder's file could not be read or a segment not written: {0}")]
    Io(#[from] io::Error),
    #[error("the encoder's file is not well-formed MP4: {0}")]
    Malformed(#[from] mp4_atom::Error),
    #[error("the encoder's file is not what was asked for: {0}")]
    Unexpected(String),
}

pub(super) fn unexpected(text: impl Into<String>) -> FragmentError {
    FragmentError::Unexpected(text.into())
}

/// One coded picture or one coded block of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where it is in its file, in bytes.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Decode time in its file.
    pub(super) decode_ticks: u64,
    /// When it is shown, relative to `decode_ticks`.
    pub(super) composition_offset: i64,
    pub(super) is_sync: bool,
}

impl Sample {
    /// The byte behind it in its file.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.size))
    }

    fn presentation_ticks(&self) -> i64 {
        i64::try_from(self.decode_ticks).unwrap_or(i64::MAX).saturating_add(self.composition_offset)
    }
}

/// A file with one track, read as samples.
#[derive(Debug)]
pub(super) struct Recording {
    file: File,
    /// `ftyp` and `moov`.
    pub(super) init: Bytes,
    /// RFC 6381 codec string.
    pub(super) codecs: String,
    pub(super) timescale: u32,
    track_id: u32,
    pub(super) samples: Vec<Sample>,
    movie: Moov,
    /// Where the first box begins that has not been read.
    position: u64,
}

impl Recording {
    /// Reads all boxes of `path` but not the media itself.
    pub(super) fn open(path: &Path) -> Result<Self, FragmentError> {
        Self::begun(path)?.ok_or_else(|| unexpected("no moov"))
    }

    /// The same of a file that is still being written; `None` before its head is there.
    pub(super) fn begun(path: &Path) -> Result<Option<Self>, FragmentError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let (mut init, mut position, mut movie) = (Vec::new(), 0, None);
        let mut boxes = Boxes::at(&file, position)?;
        while movie.is_none()
            && let Some(found) = boxes.next()?
        {
            if matches!(found.header.kind.as_ref(), b"ftyp" | b"moov") {
                let body = boxes.body(&found)?;
                found.header.encode(&mut init)?;
                init.extend_from_slice(&body);
                if found.header.kind.as_ref() == b"moov" {
                    // Of boxes that it does not know (`fiel` around AV1) the parser warns, and reads on.
                    let decode = || Moov::decode_atom(&found.header, &mut body.as_slice());
                    movie = Some(with_default(NoSubscriber::default(), decode)?);
                }
            }
            position = boxes.skip(&found)?;
        }
        let Some(movie) = movie else { return Ok(None) };
        let (track_id, timescale, codecs) = describe(&movie)?;
        let mut recording =
            Self { file, init: init.into(), codecs, timescale, track_id, samples: Vec::new(), movie, position };
        recording.read_on()?;
        Ok(Some(recording))
    }

    /// Reads what has been written since.
    pub(super) fn read_on(&mut self) -> Result<(), FragmentError> {
        let mut boxes = Boxes::at(&self.file, self.position)?;
        while let Some(found) = boxes.next()? {
            if found.header.kind.as_ref() == b"moof" {
                // Its media come in the next box, and count only once that is whole.
                if !boxes.has_whole_box_after(&found)? {
                    break;
                }
                let fragment = Moof::decode_atom(&found.header, &mut boxes.body(&found)?.as_slice())?;
                append_samples(&mut self.samples, &fragment, &self.movie, found.start)?;
            }
            self.position = boxes.skip(&found)?;
        }
        Ok(())
    }

    /// Checks that the samples are pictures that follow each other by `frame_ticks`, and brings the first one to time 0.
    ///
    /// Encoders that reorder pictures start late; negative composition offsets take that back without an edit list.
    pub(super) fn align_pictures(&mut self, frame_ticks: u32) -> Result<(), FragmentError> {
        let mut shown: Vec<i64> = self.samples.iter().map(Sample::presentation_ticks).collect();
        shown.sort_unstable();
        let Some(&first) = shown.first() else { return Ok(()) };
        for (time, index) in shown.iter().zip(0_i64..) {
            if *time != first + index * i64::from(frame_ticks) {
                return Err(unexpected(format!(
                    "picture {index} is shown at {} and not at {}",
                    time - first,
                    index * i64::from(frame_ticks)
                )));
            }
        }
        for (sample, index) in self.samples.iter_mut().zip(0_u64..) {
            let shown = sample.presentation_ticks() - first;
            sample.decode_ticks = index * u64::from(frame_ticks);
            sample.composition_offset = shown - i64::try_from(sample.decode_ticks).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    /// Writes samples `range` as segment `number`, whose first sample is decoded at `start_ticks`; each lasts `sample_ticks`.
    ///
    /// Answers the size of the segment in bytes.
    pub(super) fn write_segment(
        &mut self,
        range: std::ops::Range<usize>,
        number: u32,
        start_ticks: u64,
        sample_ticks: u32,
        out: &mut impl Write,
    ) -> Result<u64, FragmentError> {
        let samples = self.samples.get(range).ok_or_else(|| unexpected("fewer samples than the segment needs"))?;
        if !samples.first().is_some_and(|sample| sample.is_sync) {
            return Err(unexpected(format!("segment {number} does not begin with a keyframe")));
        }
        let media_len: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        let head = segment_head(self.track_id, samples, number, start_ticks, sample_ticks, media_len)?;
        out.write_all(&head)?;
        for run in contiguous_runs(samples) {
            self.file.seek(SeekFrom::Start(run.start))?;
            let copied = io::copy(&mut (&self.file).take(run.end - run.start), out)?;
            if copied != run.end - run.start {
                return Err(unexpected("the media ends early"));
            }
        }
        Ok(u64::try_from(head.len()).unwrap_or(u64::MAX) + media_len)
    }
}

/// A box, of which the head has been read.
struct Found {
    header: Header,
    start: u64,
    body_start: u64,
    body_len: u64,
}

/// The whole boxes of a file, one after the other.
struct Boxes<'a> {
    reader: BufReader<&'a File>,
    at: u64,
    file_len: u64,
    left: usize,
}

impl<'a> Boxes<'a> {
    fn at(file: &'a File, at: u64) -> Result<Self, FragmentError> {
        let file_len = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(at))?;
        Ok(Self { reader, at, file_len, left: BOXES_MAX })
    }

    /// The next box; `None` at the end, and where the file ends in the middle of it.
    fn next(&mut self) -> Result<Option<Found>, FragmentError> {
        if self.left == 0 || self.file_len.saturating_sub(self.at) < HEAD_BYTES_MIN {
            return Ok(None);
        }
        self.left -= 1;
        let Some(header) = Option::<Header>::read_from(&mut self.reader)? else { return Ok(None) };
        let body_start = self.reader.stream_position()?;
        // Its writer fills in the size when it knows it.
        let Some(body_len) = header.size.and_then(|size| u64::try_from(size).ok()) else { return Ok(None) };
        let is_whole = body_start.saturating_add(body_len) <= self.file_len;
        Ok(is_whole.then_some(Found { header, start: self.at, body_start, body_len }))
    }

    fn body(&mut self, found: &Found) -> Result<Vec<u8>, FragmentError> {
        if found.body_len > BOX_BYTES_MAX {
            return Err(unexpected(format!("a box of {} bytes", found.body_len)));
        }
        self.reader.seek(SeekFrom::Start(found.body_start))?;
        let mut body = Vec::new();
        (&mut self.reader).take(found.body_len).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Whether the box behind this one is there to its end.
    fn has_whole_box_after(&mut self, found: &Found) -> Result<bool, FragmentError> {
        self.at = found.body_start + found.body_len;
        self.reader.seek(SeekFrom::Start(self.at))?;
        Ok(self.next()?.is_some())
    }

    /// Goes on behind this box; answers where that is.
    fn skip(&mut self, found: &Found) -> Result<u64, FragmentError> {
        self.at = found.body_start + found.body_len;
        self.reader.seek(SeekFrom::Start(self.at))?;
        Ok(self.at)
    }
}

/// Appends the samples of a `moof` that begins at byte `start` of the file.
fn append_samples(samples: &mut Vec<Sample>, fragment: &Moof, movie: &Moov, start: u64) -> Result<(), FragmentError> {
    let [traf] = fragment.traf.as_slice() else { return Err(unexpected("a moof with several tracks")) };
    let trex = movie.mvex.as_ref().and_then(|mvex| mvex.trex.iter().find(|trex| trex.track_id == traf.tfhd.track_id));
    let default =
        |own: Option<u32>, of_track: fn(&mp4_atom::Trex) -> u32| own.or_else(|| trex.map(of_track)).unwrap_or(0);
    let duration = default(traf.tfhd.default_sample_duration, |trex| trex.default_sample_duration);
    let size = default(traf.tfhd.default_sample_size, |trex| trex.default_sample_size);
    let flags = default(traf.tfhd.default_sample_flags, |trex| trex.default_sample_flags);
    let mut decode_ticks =
        traf.tfdt.as_ref().ok_or_else(|| unexpected("a fragment without a time"))?.base_media_decode_time;
    for trun in &traf.trun {
        let data_offset = trun.data_offset.and_then(|offset| u64::try_from(offset).ok());
        let mut offset = start + data_offset.ok_or_else(|| unexpected("a run without a data offset"))?;
        for entry in &trun.samples {
            let size = entry.size.unwrap_or(size);
            samples.push(Sample {
                offset,
                size,
                decode_ticks,
                composition_offset: entry.cts.unwrap_or(0),
                is_sync: entry.flags.unwrap_or(flags) & NON_SYNC_BIT == 0,
            });
            offset += u64::from(size);
            decode_ticks += u64::from(entry.duration.unwrap_or(duration));
        }
    }
    Ok(())
}

/// Track id, timescale and codec string of the only track.
fn describe(movie: &Moov) -> Result<(u32, u32, String), FragmentError> {
    let [trak] = movie.trak.as_slice() else { return Err(unexpected("not exactly one track")) };
    let codecs = match trak.mdia.minf.stbl.stsd.codecs.as_slice() {
        [Codec::Avc1(avc1)] => codec_string(&avc1.avcc),
        [Codec::Av01(av01)] => av1_codec_string(&av01.av1c),
        [Codec::Mp4a(mp4a)] => {
            let config = &mp4a.esds.es_desc.dec_config;
            match &config.dec_specific {
                Some(specific) => format!("mp4a.{:x}.{}", config.object_type_indication, specific.profile),
                None => format!("mp4a.{:x}", config.object_type_indication),
            }
        }
        _ => return Err(unexpected("another codec")),
    };
    Ok((trak.tkhd.track_id, trak.mdia.mdhd.timescale, codecs))
}

/// The byte ranges of the samples, neighbours joined.
fn contiguous_runs(samples: &[Sample]) -> Vec<std::ops::Range<u64>> {
    let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
    for sample in samples {
        let end = sample.offset + u64::from(sample.size);
        match runs.last_mut() {
            Some(run) if run.end == sample.offset => run.end = end,
            _ => runs.push(sample.offset..end),
        }
    }
    runs
}
