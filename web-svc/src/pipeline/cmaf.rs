//! CMAF as we publish it: one `moof` and `mdat` per segment, written by ourselves.
//!
//! So where a segment begins is ours to decide, and sequence numbers and times are those of the whole rendition and not of one
//! chunk.

use bytes::Bytes;
use mp4_atom::{
    Av1c, Avc1, Avcc, Codec, Dinf, Dref, DrefEntry, Encode, Ftyp, Hdlr, Header, Mdhd, Mdia, Mfhd, Minf, Moof, Moov,
    Mvex, Mvhd, Stbl, Stco, Stsd, Styp, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Vmhd,
};

use super::fragment::{FragmentError, Sample, unexpected};

/// The only track of a segment that is not the encoder's own.
pub(super) const TRACK_ID: u32 = 1;
/// `sample_depends_on` = 2: the flags of a picture that needs no other.
const SYNC_FLAGS: u32 = 0x0200_0000;
/// `sample_depends_on` = 1 and `sample_is_non_sync_sample`.
const NON_SYNC_FLAGS: u32 = 0x0101_0000;

/// RFC 6381 codec string of H.264.
pub(super) fn codec_string(config: &Avcc) -> String {
    let Avcc {
        avc_profile_indication: profile, profile_compatibility: constraints, avc_level_indication: level, ..
    } = config;
    format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
}

/// RFC 6381 codec string of AV1 (AV1 Codec ISO Media File Format Binding, section 5), without what is as it always is.
pub(super) fn av1_codec_string(config: &Av1c) -> String {
    let tier = if config.seq_tier_0 { 'H' } else { 'M' };
    let depth = match (config.high_bitdepth, config.twelve_bit) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", config.seq_profile, config.seq_level_idx_0)
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
