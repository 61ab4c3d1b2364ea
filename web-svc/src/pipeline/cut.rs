//! Cuts what the encoder recorded into segments, each in a file of its own.

use std::io::{BufWriter, Write};
use std::path::Path;

use tempfile::TempDir;

use super::chunk::recording_file;
use super::encoded::{Encoded, RenditionOutput, Segment, segment_file};
use super::encoder::Part;
use super::error::PipelineError;
use super::fragment::{FragmentError, Recording};
use super::grid::Chunk;
use super::ladder::Rung;
use super::rate::FrameRate;

/// Cuts the recordings of all rungs into segments.
pub(super) async fn cut_all(part: Part<'_>, directory: TempDir) -> Result<Encoded, PipelineError> {
    let (rungs, chunk, rate) = (part.rungs().to_vec(), part.chunk.clone(), part.plan.info.video.frame_rate);
    let operation = format!("cut chunk {} into segments", chunk.index);
    let task = move || {
        let mut renditions = Vec::with_capacity(rungs.len());
        if !has_pictures(&directory.path().join(recording_file(0))) {
            return Ok(Encoded { renditions, source_ended: true, directory });
        }
        for (index, rung) in rungs.iter().enumerate() {
            renditions.push(cut(directory.path(), index, rung, &chunk, rate)?);
        }
        let planned = chunk.frames() * u64::from(rate.frame_ticks());
        let made =
            renditions.iter().map(|output| output.segments.iter().map(|segment| segment.duration_ticks).sum::<u64>());
        let source_ended = made.min().unwrap_or(0) < planned;
        Ok::<_, FragmentError>(Encoded { renditions, source_ended, directory })
    };
    let encoded =
        tokio::task::spawn_blocking(task).await.map_err(|error| PipelineError::transient(&*operation, error))?;
    encoded.map_err(|error| PipelineError::transient(operation, error))
}

/// Whether the encoder wrote anything but a head: with no picture to encode, not even that is certain.
fn has_pictures(path: &Path) -> bool {
    Recording::open(path).is_ok_and(|recording| !recording.samples.is_empty())
}

fn cut(
    directory: &Path,
    index: usize,
    rung: &Rung,
    chunk: &Chunk,
    rate: FrameRate,
) -> Result<RenditionOutput, FragmentError> {
    let path = directory.join(recording_file(index));
    let mut recording = Recording::open(&path)?;
    recording.align_pictures(rate.frame_ticks())?;
    let folder = directory.join(rung.name.as_str());
    std::fs::create_dir(&folder)?;
    let lengths = segment_lengths(&chunk.segments, recording.samples.len());
    let (mut segments, mut frame) = (Vec::with_capacity(lengths.len()), 0_usize);
    for (number, length) in (chunk.first_segment..).zip(lengths) {
        let start_ticks = (chunk.start_frame + frame as u64) * u64::from(rate.frame_ticks());
        let segment =
            write_file(&mut recording, &folder, frame..frame + length, number, start_ticks, rate.frame_ticks())?;
        segments.push(segment);
        frame += length;
    }
    std::fs::remove_file(&path)?;
    Ok(RenditionOutput {
        rendition: rung.name.clone(),
        init: recording.init.clone(),
        codecs: recording.codecs.clone(),
        timescale: recording.timescale,
        segments,
    })
}

/// Writes one segment to a file of its own.
pub(super) fn write_file(
    recording: &mut Recording,
    folder: &Path,
    samples: std::ops::Range<usize>,
    number: u32,
    start_ticks: u64,
    sample_ticks: u32,
) -> Result<Segment, FragmentError> {
    let path = folder.join(segment_file(number));
    let mut out = BufWriter::new(std::fs::File::create_new(&path)?);
    let duration_ticks = samples.len() as u64 * u64::from(sample_ticks);
    let bytes_len = recording.write_segment(samples, number, start_ticks, sample_ticks, &mut out)?;
    out.flush()?;
    Ok(Segment { number, path, bytes_len, duration_ticks })
}

/// How many of `made` frames each segment gets: the planned numbers until they run out; more than planned join the last one.
fn segment_lengths(planned: &[u32], made: usize) -> Vec<usize> {
    let mut rest = made;
    let mut lengths = Vec::with_capacity(planned.len());
    for &frames in planned {
        let length = rest.min(usize::try_from(frames).unwrap_or(usize::MAX));
        if length == 0 {
            break;
        }
        lengths.push(length);
        rest -= length;
    }
    if let Some(last) = lengths.last_mut() {
        *last += rest;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_ends_early_leaves_no_empty_segment() {
        assert_eq!(segment_lengths(&[100, 100, 100], 200), [100, 100]);
        assert_eq!(segment_lengths(&[100, 100, 100], 201), [100, 100, 1]);
        assert_eq!(segment_lengths(&[100, 100], 0), [0_usize; 0]);
    }

    #[test]
    fn a_source_that_goes_on_lengthens_the_last_segment() {
        assert_eq!(segment_lengths(&[100, 30], 145), [100, 45]);
    }
}
