//! The weights of a checkpoint: which safetensors files there are, and what lies where in them.
//! Pickles are never opened: they can run code.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype as StDtype;

use super::error::{Error, Result};
use super::files;

/// All tensors of a checkpoint, mapped but not read.
pub(super) struct Checkpoint {
    shards: Vec<Shard>,
    /// Ordered by file, then by name: the order of llama.cpp's converter.
    pub tensors: Vec<Source>,
}

struct Shard {
    path: PathBuf,
    map: Mmap,
}

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The name in the checkpoint.
    pub name: String,
    /// Elements per dimension, the slowest first.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: StDtype,
    shard: usize,
    range: Range<usize>,
}

const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    /// Finds and checks the files of a folder.
    pub fn open(folder: &Path) -> Result<Checkpoint> {
        let index = read_index(folder)?;
        let names: Vec<String> = match &index {
            Some(index) => index.values().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
            None => part_names(folder)?,
        };
        let mut checkpoint = Checkpoint { shards: Vec::new(), tensors: Vec::new() };
        for name in names {
            checkpoint.add(folder.join(name))?;
        }
        checkpoint.refuse_doubles()?;
        if let Some(index) = index {
            checkpoint.compare(&index, &folder.join(INDEX))?;
        }
        Ok(checkpoint)
    }

    /// The bytes of a tensor.
    pub fn data(&self, source: &Source) -> &[u8] {
        &self.shards[source.shard].map[source.range.clone()]
    }

    /// The file of a tensor.
    pub fn file(&self, source: &Source) -> &Path {
        &self.shards[source.shard].path
    }

    /// Takes a tensor's pages out of this process again, so that it never holds the whole model.
    #[cfg(unix)]
    pub fn forget(&self, source: &Source) {
        let map = &self.shards[source.shard].map;
        // SAFETY: the mapping is read-only and file-backed: a later access reads the same bytes from
        // the file again. The range was checked against the map when the header was read. Only a
        // hint, so a refusal does not matter.
        let _ = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, source.range.start, source.range.len())
        };
    }

    /// There is no such hint here.
    #[cfg(not(unix))]
    pub fn forget(&self, _: &Source) {}

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let read = |why| Error::Read { path: path.clone(), why };
        let file = File::open(&path).map_err(read)?;
        if file.metadata().map_err(read)?.len() == 0 {
            return Err(Error::Safetensors { path, why: "it is empty".to_owned() });
        }
        // SAFETY: the map is only read. Whoever cuts the file meanwhile kills this process, as with
        // every mapped file; the output is not in place until it is complete.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        let (header, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|why| Error::Safetensors { path: path.clone(), why: why.to_string() })?;
        let data_start = 8 + header;
        let mut found = Vec::new();
        for (name, info) in metadata.tensors() {
            let range = data_start + info.data_offsets.0..data_start + info.data_offsets.1;
            if range.start > range.end || range.end > map.len() {
                return Err(Error::Safetensors { path, why: format!("the tensor {name} lies outside of the file") });
            }
            found.push(Source { name, shape: info.shape.clone(), dtype: info.dtype, shard: self.shards.len(), range });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        self.tensors.append(&mut found);
        self.shards.push(Shard { path, map });
        Ok(())
    }

    fn refuse_doubles(&self) -> Result<()> {
        let mut seen: HashMap<&str, &Source> = HashMap::with_capacity(self.tensors.len());
        for source in &self.tensors {
            if let Some(first) = seen.insert(&source.name, source) {
                return Err(Error::Tensor {
                    file: self.file(source).to_owned(),
                    tensor: source.name.clone(),
                    what: format!(
                        "is in {} too, and there is no {INDEX} that says which one counts",
                        self.file(first).display()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Holds the files against their index.
    fn compare(&self, index: &HashMap<String, String>, path: &Path) -> Result<()> {
        let present: BTreeSet<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        let listed: BTreeSet<&str> = index.keys().map(String::as_str).collect();
        if let Some(name) = listed.difference(&present).next() {
            return Err(Error::Invalid {
                path: path.to_owned(),
                what: format!(
                    "it lists the tensor {name} in {}, which does not hold it ({} such tensors)",
                    index[*name],
                    listed.difference(&present).count()
                ),
            });
        }
        if let Some(name) = present.difference(&listed).next() {
            return Err(Error::Invalid {
                path: path.to_owned(),
                what: format!("the files hold the tensor {name}, which it does not list"),
            });
        }
        Ok(())
    }
}

/// Tensor name to file name; `None` when there is no index.
fn read_index(folder: &Path) -> Result<Option<HashMap<String, String>>> {
    let path = folder.join(INDEX);
    let Some(index) = files::read_object(&path)? else { return Ok(None) };
    let invalid = |what: String| Error::Invalid { path: path.clone(), what };
    let Some(map) = index.get("weight_map").and_then(serde_json::Value::as_object) else {
        return Err(invalid("it has no weight_map".to_owned()));
    };
    let mut out = HashMap::with_capacity(map.len());
    for (tensor, file) in map {
        let Some(file) = file.as_str() else { return Err(invalid(format!("the file of tensor {tensor} is no text"))) };
        let mut parts = Path::new(file).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || !file.ends_with(".safetensors") {
            return Err(invalid(format!(
                "the tensor {tensor} should be in {file:?}, which is not the name of a safetensors file in this folder"
            )));
        }
        out.insert(tensor.clone(), file.to_owned());
    }
    Ok(Some(out))
}

/// The safetensors files of a folder without index, in order.
fn part_names(folder: &Path) -> Result<Vec<String>> {
    let read = |why| Error::Read { path: folder.to_owned(), why };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        all.push(entry.map_err(read)?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    let parts: Vec<String> =
        all.iter().filter(|n| n.starts_with("model") && n.ends_with(".safetensors")).cloned().collect();
    if !parts.is_empty() {
        return Ok(parts);
    }
    let pickle = all.iter().find(|n| [".bin", ".pt", ".pth"].iter().any(|end| n.ends_with(end)));
    let what = match pickle {
        Some(name) => format!(
            "its weights are pickles ({name}), which can run code and are never read; use a revision with *.safetensors, or convert it with the `safetensors` Python package where you trust the file"
        ),
        None => "there are no model*.safetensors files; download the complete repository".to_owned(),
    };
    Err(Error::Missing { folder: folder.to_owned(), what })
}
