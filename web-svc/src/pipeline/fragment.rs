//! Fragmented MP4 as ffmpeg writes it, and CMAF segments as we publish them.
//!
//! ffmpeg's output is read as a list of samples and written anew, one `moof` and `mdat` per segment. So where a
//! segment begins is ours to decide, and sequence numbers and times are those of the whole rendition and not of one chunk.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use mp4_atom::{
    Avc1, Avcc, Codec, DecodeAtom, Dinf, Dref, DrefEntry, Encode, Ftyp, Hdlr, Header, Mdhd, Mdia, Mfhd, Minf, Moof,
    Moov, Mvex, Mvhd, ReadFrom, Stbl, Stco, Stsd, Styp, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry,
    TrunSamples, Url, Vmhd,
};

/// The only track of a segment that is not the encoder's own.
pub(super) const TRACK_ID: u32 = 1;
/// `sample_depends_on` = 2: the flags of a picture that needs no other.
const SYNC_FLAGS: u32 = 0x0200_0000;
/// `sample_depends_on` = 1 and `sample_is_non_sync_sample`.
const NON_SYNC_FLAGS: u32 = 0x0101_0000;
/// The bit `sample_is_non_sync_sample`.
const NON_SYNC_BIT: u32 = 0x0001_0000;
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

fn unexpected(text: impl Into<String>) -> FragmentError {
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
}

impl Recording {
    /// Reads all boxes of `path` but not the media itself.
    pub(super) fn open(path: &Path) -> Result<Self, FragmentError> {
        let mut file = File::open(path)?;
        let (mut init, mut movie, mut samples) = (Vec::new(), None::<Moov>, Vec::new());
        let mut reader = BufReader::new(&mut file);
        let mut position = 0_u64;
        for _ in 0..BOXES_MAX {
            let Some(header) = Option::<Header>::read_from(&mut reader)? else { break };
            let body_start = reader.stream_position()?;
            let body_len =
                u64::try_from(header.size.ok_or_else(|| unexpected("a box without a size"))?).unwrap_or(u64::MAX);
            let next = body_start.saturating_add(body_len);
            match header.kind.as_ref() {
                b"ftyp" | b"moov" => {
                    let body = read_body(&mut reader, body_len)?;
                    header.encode(&mut init)?;
                    init.extend_from_slice(&body);
                    if header.kind.as_ref() == b"moov" {
                        movie = Some(Moov::decode_atom(&header, &mut body.as_slice())?);
                    }
                }
                b"moof" => {
                    let body = read_body(&mut reader, body_len)?;
                    let fragment = Moof::decode_atom(&header, &mut body.as_slice())?;
                    let movie = movie.as_ref().ok_or_else(|| unexpected("a moof before the moov"))?;
                    append_samples(&mut samples, &fragment, movie, position)?;
                }
                _ => {}
            }
            reader.seek(SeekFrom::Start(next))?;
            position = next;
        }
        let movie = movie.ok_or_else(|| unexpected("no moov"))?;
        let (track_id, timescale, codecs) = describe(&movie)?;
        Ok(Self { file, init: init.into(), codecs, timescale, track_id, samples })
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

fn read_body(reader: &mut impl Read, body_len: u64) -> Result<Vec<u8>, FragmentError> {
    if body_len > BOX_BYTES_MAX {
        return Err(unexpected(format!("a box of {body_len} bytes")));
    }
    let mut body = Vec::new();
    reader.take(body_len).read_to_end(&mut body)?;
    Ok(body)
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

/// RFC 6381 codec string of H.264.
pub(super) fn codec_string(config: &Avcc) -> String {
    let Avcc {
        avc_profile_indication: profile, profile_compatibility: constraints, avc_level_indication: level, ..
    } = config;
    format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
}

/// The init segment of a picture that is not the encoder's own: `ftyp` and `moov`, the same bytes for the same entry.
pub(super) fn init_of(entry: Avc1, timescale: u32) -> Result<Bytes, mp4_atom::Error> {
    let (width, height) = (entry.visual.width, entry.visual.height);
    let ftyp = Ftyp {
        major_brand: b"iso5".into(),
        minor_version: 512,
        compatible_brands: vec![b"iso5".into(), b"iso6".into(), b"mp41".into(), b"cmfc".into()],
    };
    let stbl = Stbl { stsd: Stsd { codecs: vec![Codec::Avc1(entry)] }, stco: Some(Stco::default()), ..Stbl::default() };
    let here = Dref { entries: vec![DrefEntry::Url(Url::default())] };
    let trak = Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd { timescale, language: "und".to_owned(), ..Mdhd::default() },
            hdlr: Hdlr { handler: b"vide".into(), name: "VideoHandler".to_owned() },
            minf: Minf { vmhd: Some(Vmhd::default()), dinf: Dinf { dref: here }, stbl, ..Minf::default() },
        },
        ..Trak::default()
    };
    let trex = Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() };
    let movie = Moov {
        mvhd: Mvhd { timescale: 1000, rate: 1.into(), next_track_id: TRACK_ID + 1, ..Mvhd::default() },
        trak: vec![trak],
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        ..Moov::default()
    };
    let mut init = Vec::new();
    ftyp.encode(&mut init)?;
    movie.encode(&mut init)?;
    Ok(init.into())
}

/// Everything of a segment before the media: `styp`, `moof` and the header of `mdat`.
pub(super) fn segment_head(
    track_id: u32,
    samples: &[Sample],
    number: u32,
    start_ticks: u64,
    sample_ticks: u32,
    media_len: u64,
) -> Result<Vec<u8>, FragmentError> {
    let mut head = Vec::with_capacity(160 + samples.len() * 12);
    let styp =
        Styp { major_brand: b"msdh".into(), minor_version: 0, compatible_brands: vec![b"msdh".into(), b"cmfs".into()] };
    styp.encode(&mut head)?;
    let mdat = Header {
        kind: b"mdat".into(),
        size: Some(usize::try_from(media_len).map_err(|_| unexpected("a segment too large"))?),
    };
    let mut mdat_header = Vec::new();
    mdat.encode(&mut mdat_header)?;
    // The first pass only tells how long the moof is; its length does not depend on the offset's value.
    let mut moof_bytes = Vec::new();
    for _ in 0..2 {
        let offset = i32::try_from(moof_bytes.len() + mdat_header.len())
            .map_err(|_| unexpected("a segment of too many samples"))?;
        moof_bytes.clear();
        segment_moof(track_id, samples, number, start_ticks, sample_ticks, offset).encode(&mut moof_bytes)?;
    }
    head.extend_from_slice(&moof_bytes);
    head.extend_from_slice(&mdat_header);
    Ok(head)
}

fn segment_moof(
    track_id: u32,
    samples: &[Sample],
    number: u32,
    start_ticks: u64,
    sample_ticks: u32,
    data_offset: i32,
) -> Moof {
    let reordered = samples.iter().any(|sample| sample.composition_offset != 0);
    let all_sync = samples.iter().all(|sample| sample.is_sync);
    let keyframes = samples.iter().filter(|sample| sample.is_sync).count();
    // Where only the first sample differs from the default, its flags stand once in the head of the run.
    let flags = |sample: &Sample| match (sample.is_sync, keyframes) {
        (true, _) => Some(SYNC_FLAGS),
        (false, 1) => None,
        (false, _) => Some(NON_SYNC_FLAGS),
    };
    let entry = |sample: &Sample| TrunEntry {
        duration: None,
        size: Some(sample.size),
        flags: if all_sync { None } else { flags(sample) },
        cts: reordered.then_some(sample.composition_offset),
    };
    let tfhd = Tfhd {
        track_id,
        default_sample_duration: Some(sample_ticks),
        default_sample_flags: Some(if all_sync { SYNC_FLAGS } else { NON_SYNC_FLAGS }),
        default_base_is_moof: true,
        ..Tfhd::default()
    };
    let trun =
        Trun { data_offset: Some(data_offset), samples: TrunSamples::Explicit(samples.iter().map(entry).collect()) };
    let traf =
        Traf { tfhd, tfdt: Some(Tfdt { base_media_decode_time: start_ticks }), trun: vec![trun], ..Traf::default() };
    Moof { mfhd: Mfhd { sequence_number: number }, traf: vec![traf] }
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
