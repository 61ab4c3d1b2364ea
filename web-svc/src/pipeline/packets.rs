//! What all packets of a stream say of its length. Pure.

use std::time::Duration;

use super::Limits;
use super::error::SourceFault;
use super::source::Timestamp;

/// The longest time that the packets of sound alone may leave out. Encoders that send nothing in silence send something every
/// second.
const HOLE_MAX: Duration = Duration::from_secs(600);

/// What ffprobe's `pts_time,duration_time` lines say of a stream's packets.
#[derive(Debug, Default)]
pub(super) struct PacketScan {
    line: Vec<u8>,
    /// The latest end of any packet.
    end_seconds: f64,
    /// When the last one is to be heard.
    last_seconds: Option<f64>,
    /// The longest time from one packet to the next, or to its own end.
    hole_seconds: f64,
    packets: u64,
}

impl PacketScan {
    const LINE_BYTES_MAX: usize = 256;

    /// From the first picture to the end of what was seen.
    pub(super) fn seconds(&self, start: Timestamp) -> f64 {
        let seconds = self.end_seconds - start.seconds();
        if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
    }

    /// Sound that is silent for so long, and drawn, costs as much as any, though hardly a byte of it was sent.
    pub(super) fn hole(&self) -> Option<SourceFault> {
        let duration = Duration::from_secs_f64(self.hole_seconds.clamp(0.0, 1e12));
        (duration > HOLE_MAX).then_some(SourceFault::Hole { duration, max: HOLE_MAX })
    }

    /// What is known before the end: a stream may have none.
    pub(super) fn refusal(&self, start: Timestamp, limits: &Limits) -> Option<SourceFault> {
        let duration = Duration::from_secs_f64(self.seconds(start).min(1e12));
        if duration > limits.duration_max {
            return Some(SourceFault::TooLong { duration, max: limits.duration_max });
        }
        (self.packets > limits.frames_max).then_some(SourceFault::TooManyFrames { max: limits.frames_max })
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            if byte != b'\n' {
                if self.line.len() < Self::LINE_BYTES_MAX {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.packets += 1;
            let mut fields =
                std::str::from_utf8(&line).unwrap_or_default().split(',').map(|field| field.trim().parse::<f64>());
            if let Some(Ok(pts)) = fields.next() {
                let duration = fields.next().and_then(Result::ok).unwrap_or(0.0);
                // MP4 says of the packet before a hole that it lasts as long.
                let since_last = self.last_seconds.map_or(0.0, |last| pts - last);
                self.hole_seconds = self.hole_seconds.max(since_last).max(duration);
                self.last_seconds = Some(pts);
                self.end_seconds = self.end_seconds.max(pts + duration);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_packet_decides_the_duration() {
        let mut scan = PacketScan::default();
        scan.push(b"0.000000,0.040000\n0.12");
        scan.push(b"0000,0.040000\n0.080000,N/A\nN/A,N/A\n");
        assert!((scan.end_seconds - 0.16).abs() < 1e-9);
    }

    #[test]
    fn a_stream_without_end_is_refused_on_the_way() {
        let start = Timestamp { ticks: 10, numerator: 1, denominator: 1 };
        let limits = Limits { duration_max: Duration::from_secs(60), frames_max: 3, ..Limits::default() };
        let mut scan = PacketScan::default();
        scan.push(b"69.0,1.0\n");
        assert_eq!(scan.refusal(start, &limits), None);
        scan.push(b"70.0,1.0\n");
        assert!(matches!(scan.refusal(start, &limits), Some(SourceFault::TooLong { .. })));
        let mut clockless = PacketScan::default();
        clockless.push(b"N/A,N/A\nN/A,N/A\nN/A,N/A\n");
        assert_eq!(clockless.refusal(start, &limits), None);
        clockless.push(b"N/A,N/A\n");
        assert_eq!(clockless.refusal(start, &limits), Some(SourceFault::TooManyFrames { max: 3 }));
    }

    #[test]
    fn a_hole_is_one_between_packets_or_in_one_that_claims_to_last() {
        let hole = |lines: &[u8]| {
            let mut scan = PacketScan::default();
            scan.push(lines);
            scan.hole().is_some()
        };
        assert!(!hole(b"N/A,N/A\n5000.0,0.02\n"));
        assert!(!hole(b"5000.0,0.02\n5000.02,0.02\n5600.0,0.02\n"));
        assert!(hole(b"0.0,0.02\n601.0,0.02\n"));
        assert!(hole(b"0.0,601.0\n601.0,0.02\n"));
        assert!(hole(b"0.0,0.02\n0.02,601.0\n"));
    }
}
