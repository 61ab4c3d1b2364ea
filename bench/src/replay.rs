//! How long several workers would take for the jobs of one video: recorded costs, replayed in the order in which
//! jobs are leased. Pure.

use web_svc::{
    catalog::{JobKind, JobRecord},
    pipeline::Plan,
};

/// A job that ran, and how long that took one worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) kind: JobKind,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
}

/// What jobs cost one worker, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    /// Of a chunk, whatever its length: starting, seeking, storing.
    chunk: f64,
    chunk_frame: f64,
    audio_frame: f64,
    poster: f64,
    finalize: f64,
}

impl Costs {
    /// The straight line through the chunks with the least squares of errors, and what the others took by themselves.
    pub(crate) fn of(recorded: &[Recorded]) -> Self {
        let of = |wanted: fn(JobKind) -> bool| recorded.iter().filter(move |job| wanted(job.kind));
        let total = |wanted| of(wanted).map(|job| job.seconds).sum::<f64>();
        let (chunk, chunk_frame) = line(of(is_chunk).map(|job| (count(job.frames), job.seconds)));
        let frames = of(is_chunk).map(|job| job.frames).sum::<u64>().max(1);
        Self {
            chunk: chunk.max(0.0),
            chunk_frame,
            audio_frame: total(is_audio) / count(frames),
            poster: total(|kind| kind == JobKind::Poster),
            finalize: total(|kind| kind == JobKind::Finalize),
        }
    }

    fn seconds(&self, job: &JobRecord, plan: &Plan) -> f64 {
        match job.kind {
            JobKind::Chunk { .. } | JobKind::Extra { .. } => self.chunk + self.chunk_frame * count(job.cost_frames),
            JobKind::Audio { .. } => self.audio_frame * count(plan.info.video.frames),
            JobKind::Poster => self.poster,
            JobKind::Finalize | JobKind::FinalizeExtra => self.finalize,
        }
    }
}

fn is_chunk(kind: JobKind) -> bool {
    matches!(kind, JobKind::Chunk { .. })
}

fn is_audio(kind: JobKind) -> bool {
    matches!(kind, JobKind::Audio { .. })
}

#[expect(clippy::cast_precision_loss, reason = "frames of a video")]
fn count(frames: u64) -> f64 {
    frames as f64
}

/// Offset and slope of the line through points, by least squares.
fn line(points: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in points {
        n += 1.0;
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    let spread = n * sxx - sx * sx;
    let slope = if spread > 0.0 { (n * sxy - sx * sy) / spread } else { sy / f64::max(sx, 1.0) };
    ((sy - slope * sx) / f64::max(n, 1.0), slope)
}

/// The jobs of one video as workers lease them: those of the smallest priority first, what publishes after all others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queue {
    seconds: Vec<f64>,
    finalize_seconds: f64,
}

impl Queue {
    /// The order is that of the query by which workers look for work (`web-svc/src/store/jobs.rs`).
    pub(crate) fn new(mut jobs: Vec<JobRecord>, plan: &Plan, costs: &Costs) -> Self {
        jobs.sort_by_key(|job| (job.priority, job.created_at, job.id()));
        let (last, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.kind == JobKind::Finalize);
        Self {
            seconds: others.iter().map(|job| costs.seconds(job, plan)).collect(),
            finalize_seconds: last.iter().map(|job| costs.seconds(job, plan)).sum(),
        }
    }

    /// When the video is ready: whoever is free takes the first job that is left.
    pub(crate) fn ready_seconds(&self, workers: usize) -> f64 {
        let mut free_at = vec![0.0_f64; workers.max(1)];
        for seconds in &self.seconds {
            if let Some(next) = free_at.iter_mut().min_by(|one, other| one.total_cmp(other)) {
                *next += seconds;
            }
        }
        free_at.into_iter().fold(0.0, f64::max) + self.finalize_seconds
    }

    /// How much sooner than with one worker.
    pub(crate) fn speed_up(&self, workers: usize) -> f64 {
        self.ready_seconds(1) / self.ready_seconds(workers)
    }

    /// No number of workers is faster than the longest job.
    pub(crate) fn speed_up_max(&self) -> f64 {
        self.speed_up(self.seconds.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.seconds.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(seconds: &[f64]) -> Queue {
        Queue { seconds: seconds.to_vec(), finalize_seconds: 1.0 }
    }

    fn close(actual: f64, wanted: f64) {
        assert!((actual - wanted).abs() < 1e-9, "{actual} and not {wanted}");
    }

    #[test]
    fn one_worker_takes_the_sum_and_many_take_the_longest_job() {
        let queue = queue(&[1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        close(queue.ready_seconds(1), 32.0);
        close(queue.ready_seconds(64), 9.0);
        close(queue.speed_up_max(), 32.0 / 9.0);
    }

    #[test]
    fn who_is_free_takes_the_first_job_that_is_left() {
        // 1 + 4 + 3 beside 2 + 5, and in the other order 3 + 4 beside 5 + 2 + 1.
        close(queue(&[1.0, 2.0, 4.0, 5.0, 3.0]).ready_seconds(2), 9.0);
        close(queue(&[3.0, 5.0, 4.0, 2.0, 1.0]).ready_seconds(2), 9.0);
        // A long job that comes last keeps everybody waiting.
        close(queue(&[1.0, 1.0, 6.0]).ready_seconds(2), 8.0);
        close(queue(&[6.0, 1.0, 1.0]).ready_seconds(2), 7.0);
    }

    #[test]
    fn more_workers_are_never_slower_and_never_faster_than_their_number() {
        let queue = queue(&[1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 5.0, 0.5, 1.5]);
        for workers in 1..64 {
            assert!(queue.ready_seconds(workers + 1) <= queue.ready_seconds(workers));
            assert!(queue.speed_up(workers) <= f64::from(u32::try_from(workers).unwrap()) + 1e-9);
        }
    }

    #[test]
    fn costs_are_the_line_through_the_chunks() {
        let chunk = |frames: u64, seconds| Recorded { kind: JobKind::Chunk { index: 0 }, frames, seconds };
        let other = |kind, seconds| Recorded { kind, frames: 0, seconds };
        let audio = other(JobKind::Audio { index: 0 }, 3.0);
        let recorded = [chunk(100, 1.5), chunk(200, 2.5), audio, other(JobKind::Poster, 0.7)];
        let costs = Costs::of(&recorded);
        close(costs.chunk, 0.5);
        close(costs.chunk_frame, 0.01);
        close(costs.audio_frame, 0.01);
        close(costs.poster, 0.7);
        close(costs.finalize, 0.0);
    }
}
