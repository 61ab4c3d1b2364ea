//! The index of a stranger's MP4, as far as it is needed. Pure.
//!
//! Only the tables that say where which picture is are decoded, each of which takes no more memory than a few times its own
//! bytes. Decoding all of it would let the stranger choose: twenty bytes of `sgpd` can claim four thousand million entries.

use mp4_atom::{
    Atom, Avc1, Avcc, Co64, Colr, Ctts, Decode as _, Elst, FourCC, Hdlr, Header, Matrix, Mdhd, Mvhd, Pasp, Stco, Stsc,
    Stss, Stsz, Stts, Tkhd, Visual,
};

use super::film::Doubt;

const DAMAGED: Doubt = "its index cannot be read";
/// The fields of a visual sample entry before its boxes (ISO/IEC 14496-12, section 12.1.3).
const VISUAL_BYTES: usize = 78;
/// Boxes looked at on one level: real files have a few dozen.
const BOXES_MAX: usize = 4096;

/// The only picture of a movie.
#[derive(Debug)]
pub(super) struct Picture {
    /// How the movie turns it, and how the track does.
    pub(super) matrices: [Matrix; 2],
    pub(super) timescale: u32,
    pub(super) edits: Option<Elst>,
    pub(super) entry: Avc1,
    pub(super) durations: Stts,
    pub(super) offsets: Option<Ctts>,
    pub(super) keyframes: Option<Stss>,
    pub(super) samples_per_chunk: Stsc,
    pub(super) sizes: Stsz,
    pub(super) chunks: Vec<u64>,
}

impl Picture {
    /// The H.264 picture of a `moov` box, given with its head.
    pub(super) fn of(index: &[u8]) -> Result<Self, Doubt> {
        let movie = child(index, *b"moov").ok_or(DAMAGED)?;
        let mut pictures =
            children(movie).filter(|(kind, _)| *kind == FourCC::new(b"trak")).map(|(_, track)| track).filter(|track| {
                let handler = at(track, &[*b"mdia"]).and_then(|media| decoded::<Hdlr>(media).ok().flatten());
                handler.is_some_and(|handler| handler.handler == FourCC::new(b"vide"))
            });
        let (Some(track), None) = (pictures.next(), pictures.next()) else {
            return Err("it has not exactly one picture");
        };
        let media = child(track, *b"mdia").ok_or(DAMAGED)?;
        let table = at(media, &[*b"minf", *b"stbl"]).ok_or(DAMAGED)?;
        let chunks = match (decoded::<Stco>(table)?, decoded::<Co64>(table)?) {
            (Some(stco), None) => stco.entries.into_iter().map(u64::from).collect(),
            (None, Some(co64)) => co64.entries,
            _ => return Err(DAMAGED),
        };
        Ok(Self {
            matrices: [needed::<Mvhd>(movie)?.matrix, needed::<Tkhd>(track)?.matrix],
            timescale: needed::<Mdhd>(media)?.timescale,
            edits: child(track, *b"edts").map(decoded).transpose()?.flatten(),
            entry: entry(child(table, *b"stsd").ok_or(DAMAGED)?)?,
            durations: needed(table)?,
            offsets: decoded(table)?,
            keyframes: decoded(table)?,
            samples_per_chunk: needed(table)?,
            sizes: needed(table)?,
            chunks,
        })
    }
}

/// The only sample entry of an `stsd` box.
fn entry(descriptions: &[u8]) -> Result<Avc1, Doubt> {
    const OTHER: Doubt = "it is not H.264 with one set of parameters";
    // Version, flags and the number of entries come first.
    let mut entries = children(descriptions.get(8..).ok_or(DAMAGED)?);
    let (Some((kind, entry)), None) = (entries.next(), entries.next()) else { return Err(OTHER) };
    if kind != Avc1::KIND {
        return Err(OTHER);
    }
    let (mut fields, boxes) = entry.split_at_checked(VISUAL_BYTES).ok_or(DAMAGED)?;
    Ok(Avc1 {
        visual: Visual::decode(&mut fields).map_err(|_| DAMAGED)?,
        avcc: needed::<Avcc>(boxes)?,
        colr: decoded::<Colr>(boxes)?,
        pasp: decoded::<Pasp>(boxes)?,
        btrt: None,
        taic: None,
        fiel: None,
        spatial: None,
    })
}

/// The boxes in a body, with their kinds; those after one that is not whole are not there.
fn children(mut body: &[u8]) -> impl Iterator<Item = (FourCC, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::decode(&mut body).ok()?;
        let (inside, rest) = body.split_at_checked(header.size.unwrap_or(body.len()))?;
        body = rest;
        Some((header.kind, inside))
    })
    .take(BOXES_MAX)
}

fn child(body: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    children(body).find(|(found, _)| *found == FourCC::new(&kind)).map(|(_, inside)| inside)
}

fn at<'a>(body: &'a [u8], path: &[[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, kind| child(body, *kind))
}

/// A box of a body, decoded, if it is there.
fn decoded<A: Atom>(body: &[u8]) -> Result<Option<A>, Doubt> {
    let found = children(body).find(|(kind, _)| *kind == A::KIND);
    found.map(|(_, mut inside)| A::decode_body(&mut inside).map_err(|_| DAMAGED)).transpose()
}

fn needed<A: Atom>(body: &[u8]) -> Result<A, Doubt> {
    decoded(body)?.ok_or(DAMAGED)
}
