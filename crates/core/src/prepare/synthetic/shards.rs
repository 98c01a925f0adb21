//! Lays tensors out in safetensors files and writes them: an 8-byte little-endian length, a JSON header, then the
//! values without gaps (<https://github.com/huggingface/safetensors#format>). Memory is one piece per thread,
//! whatever the size of the model. The values come from `weights`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::iter;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::geometry::{Geometry, Tensor};
use super::weights::Recipe;
use super::{Error, Result};
use crate::progress::Task;

/// The most bytes of tensors that go into one file, unless one tensor alone has more.
pub(super) const LIMIT: u64 = 2_000_000_000;
/// Bytes that a thread makes and writes at a time; even, so that no value is split.
const PIECE: u64 = 4 << 20;

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub tensor: Tensor,
    /// First byte, counted from the end of the header.
    pub start: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// One safetensors file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shard {
    /// The file's name.
    pub file: String,
    /// Its tensors, one after another.
    pub tensors: Vec<Placed>,
}

/// Distributes the tensors over as few files of at most `limit` bytes as their order allows.
pub(super) fn plan(tensors: Vec<Tensor>, limit: u64) -> Vec<Shard> {
    let mut groups: Vec<Vec<Placed>> = vec![Vec::new()];
    let mut filled = 0;
    for tensor in tensors {
        let bytes = tensor.count() * 2;
        if filled > 0 && filled + bytes > limit {
            groups.push(Vec::new());
            filled = 0;
        }
        if let Some(group) = groups.last_mut() {
            group.push(Placed { tensor, start: filled, bytes });
        }
        filled += bytes;
    }
    let n = groups.len();
    let name = |i: usize| match n {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
    };
    groups.into_iter().enumerate().map(|(i, tensors)| Shard { file: name(i), tensors }).collect()
}

/// The content of `model.safetensors.index.json`. One file needs none by the format, but some converters look for
/// nothing else.
pub(super) fn index(shards: &[Shard]) -> Value {
    let entries = shards.iter().flat_map(|s| s.tensors.iter().map(|t| (&t.tensor.name, &s.file)));
    let total: u64 = shards.iter().map(Shard::data_bytes).sum();
    json!({ "metadata": { "total_size": total }, "weight_map": entries.collect::<BTreeMap<_, _>>() })
}

impl Shard {
    /// Bytes of all its tensors.
    pub fn data_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.bytes).sum()
    }

    /// Everything before the values: the length and the JSON, filled up with blanks so that the values begin at a
    /// multiple of 8.
    pub fn header(&self) -> Vec<u8> {
        let entry = |t: &Placed| {
            let about =
                json!({ "data_offsets": [t.start, t.start + t.bytes], "dtype": "BF16", "shape": t.tensor.shape });
            format!("{}:{about}", json!(t.tensor.name))
        };
        // Put together here rather than as a JSON map, whose order depends on how serde_json was built.
        let metadata = r#""__metadata__":{"format":"pt"}"#.to_owned();
        let entries: Vec<String> = iter::once(metadata).chain(self.tensors.iter().map(entry)).collect();
        let mut json = format!("{{{}}}", entries.join(",")).into_bytes();
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.append(&mut json);
        header
    }

    /// Writes the file into `folder` with `threads` threads, under a name ending in `.part` until it is complete.
    /// Returns its size in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] with the file's path when it cannot be created, written or renamed.
    pub fn write(&self, folder: &Path, job: &Job<'_>, progress: &Mutex<Box<dyn Task>>) -> Result<u64> {
        let path = folder.join(&self.file);
        let part = folder.join(format!("{}.part", self.file));
        let header = self.header();
        let size = header.len() as u64 + self.data_bytes();
        let file = File::create(&part).map_err(Error::io("creating", &part))?;
        let written = file
            .set_len(size)
            .and_then(|()| file.write_all_at(&header, 0))
            .and_then(|()| self.write_values(&file, header.len() as u64, job, progress));
        drop(file);
        if let Err(why) = written {
            // Half a file would only take space that somebody may lack; that it cannot be removed is the smaller of
            // two errors.
            let _ = fs::remove_file(&part);
            return Err(Error::io("writing", &part)(why));
        }
        fs::rename(&part, &path).map_err(Error::io("renaming to its final name", &part))?;
        Ok(size)
    }

    /// Lets the threads take pieces off one list until none is left or one has failed.
    fn write_values(&self, file: &File, header: u64, job: &Job<'_>, progress: &Mutex<Box<dyn Task>>) -> io::Result<()> {
        let pieces = self.pieces();
        let recipes: Vec<Recipe> =
            self.tensors.iter().map(|t| Recipe::new(job.seed, &t.tensor, job.geometry, job.used_rows)).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> io::Result<()> {
            let mut buffer = Vec::new();
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                if failed.load(Ordering::Relaxed) {
                    break;
                }
                buffer.resize(piece.bytes as usize, 0);
                recipes[piece.tensor].fill(piece.first / 2, &mut buffer);
                let offset = header + self.tensors[piece.tensor].start + piece.first;
                file.write_all_at(&buffer, offset).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                lock(progress).advance(piece.bytes);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..job.threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// The file's values in pieces that one thread makes at a time.
    fn pieces(&self) -> Vec<Piece> {
        let of = |(tensor, placed): (usize, &Placed)| {
            let bytes = placed.bytes;
            (0..bytes.div_ceil(PIECE)).map(move |i| Piece {
                tensor,
                first: i * PIECE,
                bytes: PIECE.min(bytes - i * PIECE),
            })
        };
        self.tensors.iter().enumerate().flat_map(of).collect()
    }
}

/// What is the same for all files of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub geometry: &'a Geometry,
    pub seed: u64,
    /// Rows of the embedding that get full scale.
    pub used_rows: usize,
    pub threads: usize,
}

/// A stretch of one tensor.
struct Piece {
    tensor: usize,
    /// First byte within the tensor.
    first: u64,
    bytes: u64,
}

/// Locks even where a thread has panicked: the panic itself is passed on by its join.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_each_other_and_sizes_match_shapes() {
        for g in super::super::geometry::GEOMETRIES {
            let shards = plan(g.tensors(), LIMIT);
            assert_eq!(shards.iter().map(Shard::data_bytes).sum::<u64>(), g.n_params() * 2, "{}", g.name);
            for shard in &shards {
                assert!(shard.data_bytes() <= LIMIT, "{}: {}", g.name, shard.file);
                let mut end = 0;
                for t in &shard.tensors {
                    assert_eq!((t.start, t.bytes), (end, t.tensor.count() * 2), "{}", t.tensor.name);
                    end += t.bytes;
                }
                assert_eq!(shard.pieces().iter().map(|p| p.bytes).sum::<u64>(), end);
            }
        }
    }

    #[test]
    fn large_models_are_split_and_the_index_names_every_tensor() {
        let g = Geometry::find("8B").unwrap();
        let shards = plan(g.tensors(), LIMIT);
        assert!(shards.len() >= 9, "{}", shards.len());
        assert_eq!(shards[0].file, format!("model-00001-of-{:05}.safetensors", shards.len()));
        let index = index(&shards);
        assert_eq!(index["weight_map"].as_object().unwrap().len(), g.tensors().len());
        assert_eq!(index["metadata"]["total_size"], json!(g.n_params() * 2));
        assert_eq!(index["weight_map"]["lm_head.weight"], json!(shards.last().unwrap().file));
    }

    #[test]
    fn the_header_states_its_own_length_and_is_aligned() {
        let g = Geometry::find("tiny").unwrap();
        let shards = plan(g.tensors(), LIMIT);
        let header = shards[0].header();
        let stated = u64::from_le_bytes(header[..8].try_into().unwrap());
        assert_eq!((stated as usize, header.len() % 8), (header.len() - 8, 0));
        let json: Value = serde_json::from_slice(&header[8..]).unwrap();
        assert_eq!(json["lm_head.weight"]["shape"], json!([2048, 256]));
        assert_eq!(json["model.embed_tokens.weight"]["data_offsets"], json!([0, 2048 * 256 * 2]));
    }
}
