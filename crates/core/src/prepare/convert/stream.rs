//! The work itself: chunks of tensors are converted on all cores while the chunk before is written, and
//! hashed beside that. Memory: a few chunks, and the mapped pages of one tensor.

use std::io::Write;
use std::num::NonZero;
use std::ops::Range;
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::cast::{Stored, convert};
use super::checkpoint::Checkpoint;
use super::error::Result;
use super::tensors::{Job, Origin};
use crate::prepare::Pace;
use crate::prepare::gguf::{self, GgufWriter, Metadata, TensorSpec, Written};
use crate::progress::Task;

/// Bytes of output that are converted at a time, in whole rows.
const CHUNK: usize = 8 << 20;
/// Chunks that exist: one being converted, one on its way, one being written.
const BUFFERS: usize = 3;
/// Bytes of output below which another thread is not worth its start.
const LEAST_PER_THREAD: usize = 256 << 10;

/// What is read, and who wants to know how far.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub checkpoint: &'a Checkpoint,
    pub pace: Option<&'a Pace>,
}

/// Writes the whole file to `out`.
pub(super) fn write<W: Write + Send>(
    jobs: &[Job],
    reading: Reading<'_>,
    metadata: &Metadata,
    out: W,
    task: &dyn Task,
) -> Result<Written> {
    let specs: Vec<TensorSpec> = jobs.iter().map(|job| job.spec.clone()).collect();
    let mut writer = GgufWriter::start(out, metadata, &specs)?;
    let (full_out, full_in) = sync_channel::<Vec<u8>>(1);
    let (free_out, free_in) = channel::<Vec<u8>>();
    for _ in 0..BUFFERS {
        let _ = free_out.send(Vec::new());
    }
    thread::scope(|scope| {
        let write = scope.spawn(move || -> gguf::Result<Written> {
            while let Ok(chunk) = full_in.recv() {
                writer.write(&chunk)?;
                let _ = free_out.send(chunk);
            }
            writer.finish().map(|(_, written)| written)
        });
        // Ends early only when the writer does, and then the writer knows why.
        produce(jobs, reading, &full_out, &free_in, task);
        drop(full_out);
        match write.join() {
            Ok(written) => Ok(written?),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

/// Converts all tensors in order; stops when nobody takes the chunks any more.
fn produce(
    jobs: &[Job],
    Reading { checkpoint, pace }: Reading<'_>,
    full: &SyncSender<Vec<u8>>,
    free: &Receiver<Vec<u8>>,
    task: &dyn Task,
) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    for job in jobs {
        task.detail(&job.spec.name);
        let row_bytes = job.row_elements * job.target.width();
        let step = (CHUNK / row_bytes.max(1)).max(1);
        let mut row = 0;
        while row < job.rows {
            let rows = row..job.rows.min(row + step);
            row = rows.end;
            let Ok(mut chunk) = free.recv() else { return };
            chunk.resize(rows.len() * row_bytes, 0);
            let elements = rows.len() * job.row_elements;
            fill(job, checkpoint, rows, &mut chunk, threads);
            if let (Some(pace), Origin::Stored { stored, .. }) = (pace, &job.origin) {
                pace.advance((elements * stored.width()) as u64);
            }
            let bytes = chunk.len() as u64;
            if full.send(chunk).is_err() {
                return;
            }
            task.advance(bytes);
        }
        if let Origin::Stored { source, .. } = &job.origin {
            checkpoint.forget(source);
        }
    }
}

/// Converts some rows, split evenly among threads.
fn fill(job: &Job, checkpoint: &Checkpoint, rows: Range<usize>, chunk: &mut [u8], threads: usize) {
    let row_bytes = job.row_elements * job.target.width();
    let threads = threads.min(chunk.len() / LEAST_PER_THREAD).clamp(1, rows.len());
    let share = rows.len().div_ceil(threads);
    if threads == 1 {
        fill_part(job, checkpoint, rows.start, chunk);
        return;
    }
    thread::scope(|scope| {
        for (i, part) in chunk.chunks_mut(share * row_bytes).enumerate() {
            let first = rows.start + i * share;
            scope.spawn(move || fill_part(job, checkpoint, first, part));
        }
    });
}

/// Converts the rows from `first` that fill `part`.
fn fill_part(job: &Job, checkpoint: &Checkpoint, first: usize, part: &mut [u8]) {
    match &job.origin {
        Origin::Computed(values) => {
            let start = first * job.row_elements;
            for (value, raw) in values[start..].iter().zip(part.as_chunks_mut::<4>().0) {
                *raw = value.to_le_bytes();
            }
        }
        Origin::Stored { source, stored } => copy_rows(job, checkpoint.data(source), *stored, first, part),
    }
}

fn copy_rows(job: &Job, data: &[u8], stored: Stored, first: usize, part: &mut [u8]) {
    let width = job.row_elements * stored.width();
    let row_bytes = job.row_elements * job.target.width();
    if job.half_head.is_none() {
        let rows = part.len() / row_bytes;
        convert(stored, &data[first * width..(first + rows) * width], job.target, part);
        return;
    }
    for (i, row) in part.chunks_mut(row_bytes).enumerate() {
        let from = job.source_row(first + i) * width;
        convert(stored, &data[from..from + width], job.target, row);
    }
}
