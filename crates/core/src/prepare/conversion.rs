//! A checkpoint -> a GGUF file of plain floats, by our own converter or by a script of somebody else's.
//!
//! The place of the result is named after the source's hashes. A large source that nobody has hashed yet is hashed while
//! it is converted, and the result finds its place at the end: each byte comes from the disk once.

use super::pace::Pace;
use super::quantize::{FILE, finish, manifest};
use super::source::Found;
use super::{Error, Manifest, Prepared, Request, Result, Source, SourceFile, Store, convert, gguf, io_error};
use crate::progress::{Progress, Unit};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// Version of the conversion: a change makes prepared models anew.
const CONVERTER: u32 = 1;

/// Converts to the native type, unless that is done; also returns the source with its files' hashes.
pub fn converted(
    store: &Store,
    found: Found,
    request: &Request<'_>,
    (native, dtype): (&str, convert::Dtype),
    progress: &dyn Progress,
) -> Result<(Prepared, Source)> {
    let work = Work { store, found: &found, request, native, dtype, tool: tool(request)? };
    let name = format!("{}-{native}", found.source.name);
    let place_of = |files: &[SourceFile]| store.place(&name, &(files, native, &work.tool));
    let identity = &found.identity;
    // What has this name already was probably made of the same files: hashing them is less work than converting in vain.
    let (place, manifest, reused) = if identity.takes_long() && !store.holds(&name) {
        let provisional = store.place(&name, &(identity.stamps(), native, &work.tool));
        let known = || identity.recall().map(|files| place_of(&files));
        store.make_unplaced(&provisional, progress, &known, |folder| {
            let manifest = work.fill(folder, None, progress)?;
            Ok((place_of(&manifest.source.files), manifest))
        })?
    } else {
        let files = identity.complete(None, progress)?;
        let place = place_of(&files);
        let (manifest, reused) = store.make(&place, progress, |folder| work.fill(folder, Some(files), progress))?;
        (place, manifest, reused)
    };
    // What was there already was made of the same files: its name says so.
    let files = manifest.source.files.clone();
    Ok((Prepared { path: place.join(FILE), manifest, reused }, found.with(files)))
}

/// What converts, for the manifest and the place's name.
fn tool(request: &Request<'_>) -> Result<String> {
    let Some(script) = request.converter else { return Ok(format!("tokometer converter {CONVERTER}")) };
    let sha256 = crate::fingerprint::of_file(script, |_| ()).map_err(io_error("read the converter", script))?;
    Ok(format!("{} sha256 {sha256}", script.display()))
}

/// One conversion.
struct Work<'a> {
    store: &'a Store,
    found: &'a Found,
    request: &'a Request<'a>,
    native: &'a str,
    dtype: convert::Dtype,
    tool: String,
}

impl Work<'_> {
    /// Converts into `folder`; the source's hashes are computed meanwhile if nobody knows them.
    fn fill(&self, folder: &Path, files: Option<Vec<SourceFile>>, progress: &dyn Progress) -> Result<Manifest> {
        let identity = &self.found.identity;
        // A 16-bit checkpoint doubles at most (F32); metadata and tokenizer are small.
        let times = if self.native == "F32" { 2 } else { 1 };
        crate::disk::require(self.store.folder(), identity.bytes_of(".safetensors") * times + (64 << 20))?;
        let pace = Pace::default();
        let (made, files) = thread::scope(|scope| {
            let hashing = scope.spawn(|| files.map_or_else(|| identity.complete(Some(&pace), progress), Ok));
            let made = pace.lead(|| self.make(&folder.join(FILE), &pace, progress));
            (made, hashing.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let mut manifest = made?;
        manifest.source.files = files?;
        identity.refuse_change()?;
        Ok(manifest)
    }

    /// Converts, and brings the file to the disk.
    fn make(&self, output: &Path, pace: &Pace, progress: &dyn Progress) -> Result<Manifest> {
        let source = &self.found.source;
        let sha256 = match self.request.converter {
            Some(script) => {
                // It does not tell how far it is.
                pace.release();
                run_script(script, &source.path, output, self.native, progress)?;
                None
            }
            None => {
                let job = convert::Conversion {
                    folder: &source.path,
                    output,
                    dtype: self.dtype,
                    name_hint: source.name_hint.as_deref(),
                    pace: Some(pace),
                };
                Some(convert::convert(&job, progress)?.sha256)
            }
        };
        pace.release();
        let tools = BTreeMap::from([("converter".to_owned(), self.tool.clone())]);
        let mut manifest = manifest(source, self.request, tools);
        manifest.native = self.native.to_owned();
        finish(&mut manifest, output, sha256, progress)?;
        Ok(manifest)
    }
}

/// llama.cpp's own converter, for architectures that ours does not know.
fn run_script(script: &Path, folder: &Path, output: &Path, native: &str, progress: &dyn Progress) -> Result<()> {
    let task = progress.task(&format!("convert with {}", script.display()), None, Unit::Count);
    let run = std::process::Command::new("python3")
        .arg(script)
        .arg(folder)
        .arg("--outfile")
        .arg(output)
        .arg("--outtype")
        .arg(native.to_lowercase())
        .output()
        .map_err(io_error("start python3 for", script))?;
    let failed = |what: String| Error::Refused(format!("{} {what}", script.display()));
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        let last: Vec<_> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        return Err(failed(format!("failed on {} ({}): {}", folder.display(), run.status, last.join(" | "))));
    }
    if !output.is_file() {
        return Err(failed(format!(
            "ended without an error on {}, but wrote nothing to its --outfile",
            folder.display()
        )));
    }
    gguf::Gguf::open(output)
        .map_err(|error| failed(format!("wrote no usable model of {}: {error}", folder.display())))?;
    task.finish("done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ENGINES, Engine};
    use crate::plan::ModelRef;
    use crate::prepare::source::find;
    use crate::prepare::{Target, synthetic};
    use crate::progress::{Silent, Task};
    use crate::testing::Dir;
    use std::fs;
    use std::sync::Mutex;

    /// More than can be hashed in passing.
    const MUCH: u64 = 101 << 20;

    /// A folder with a tiny checkpoint in `source` that is long to hash: a file that no index names is in it.
    struct Folder(Dir);

    impl Folder {
        fn new() -> Folder {
            let folder = Dir::new();
            let source = folder.join("source");
            synthetic::generate(synthetic::Geometry::find("tiny").unwrap(), 1, &source, &Silent).unwrap();
            fs::File::create(source.join("unused.safetensors")).unwrap().set_len(MUCH).unwrap();
            Folder(folder)
        }

        fn store(&self, name: &str) -> Store {
            Store::new(self.0.join(name))
        }

        /// Converts to F16 for llama.cpp.
        fn converted(&self, store: &Store, progress: &dyn Progress) -> Result<(Prepared, Source)> {
            let model = ModelRef::Folder(self.0.join("source"));
            let engine: &'static Engine = ENGINES.iter().find(|engine| engine.name == "llamacpp").unwrap();
            let options = BTreeMap::new();
            let target = Target { device: None, ctx_tokens: 64, ubatch: None, options: &options };
            let request = Request {
                engine,
                model: &model,
                native: "F16",
                as_it_is: false,
                worker: None,
                converter: None,
                threads: 2,
                target,
            };
            let found = find(store, &model, progress)?;
            converted(store, found, &request, ("F16", convert::Dtype::F16), progress)
        }
    }

    /// Does something when the weights begin to be converted; knows what was begun.
    struct Watching<'a> {
        act: &'a (dyn Fn() + Sync),
        begun: Mutex<Vec<String>>,
    }

    impl<'a> Watching<'a> {
        fn new(act: &'a (dyn Fn() + Sync)) -> Watching<'a> {
            Watching { act, begun: Mutex::default() }
        }

        fn has_begun(&self, what: &str) -> bool {
            self.begun.lock().unwrap().iter().any(|label| label.starts_with(what))
        }
    }

    impl Progress for Watching<'_> {
        fn task(&self, label: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
            if label == "converting" {
                (self.act)();
            }
            self.begun.lock().unwrap().push(label.to_owned());
            Box::new(Silent)
        }
        fn note(&self, _: &str) {}
        fn warn(&self, _: &str) {}
    }

    /// Hashes of what was read before something failed are right and may stay.
    fn only_hashes_are_left(store: &Store) {
        let left: Vec<_> = fs::read_dir(store.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == ".hashes.json"), "{left:?}");
    }

    #[test]
    fn hashed_meanwhile_or_before_the_result_is_the_same() {
        let folder = Folder::new();
        let (meanwhile, before) = (folder.store("meanwhile"), folder.store("before"));
        let nothing = || ();
        let watching = Watching::new(&nothing);
        let (made, source) = folder.converted(&meanwhile, &watching).unwrap();
        assert!(!made.reused && watching.has_begun("hash unused.safetensors") && watching.has_begun("check"));
        for file in &source.info.files {
            let path = source.path.join(&file.name);
            assert_eq!(file.sha256, crate::fingerprint::of_file(&path, |_| ()).unwrap(), "{}", file.name);
        }
        let told = &made.manifest.files[0];
        assert_eq!(told.sha256, crate::fingerprint::of_file(&made.path, |_| ()).unwrap());
        assert_eq!(told.bytes, fs::metadata(&made.path).unwrap().len());

        find(&before, &ModelRef::Folder(source.path.clone()), &Silent).unwrap().identified(&Silent).unwrap();
        let (other, _) = folder.converted(&before, &Silent).unwrap();
        assert_eq!(made.path.strip_prefix(meanwhile.folder()), other.path.strip_prefix(before.folder()));
        assert_eq!(made.manifest, other.manifest);

        // Nothing is made twice: neither when the hashes are remembered, nor when only the name is there.
        assert!(folder.converted(&meanwhile, &Silent).unwrap().0.reused);
        fs::remove_file(meanwhile.folder().join(".hashes.json")).unwrap();
        let watching = Watching::new(&nothing);
        assert!(folder.converted(&meanwhile, &watching).unwrap().0.reused);
        assert!(watching.has_begun("hash") && !watching.has_begun("converting"));
    }

    #[test]
    fn a_source_that_changes_while_it_is_converted_is_noticed_and_nothing_is_left() {
        for is_hashed_before in [false, true] {
            let folder = Folder::new();
            let store = folder.store("models");
            let weights = folder.0.join("source").join("model.safetensors");
            if is_hashed_before {
                let model = ModelRef::Folder(folder.0.join("source"));
                find(&store, &model, &Silent).unwrap().identified(&Silent).unwrap();
            }
            let change = || {
                let mut bytes = fs::read(&weights).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(weights.with_extension("new"), bytes).unwrap();
                fs::rename(weights.with_extension("new"), &weights).unwrap();
            };
            let error = folder.converted(&store, &Watching::new(&change)).unwrap_err().to_string();
            assert!(error.contains("model.safetensors changed while it was read"), "{error}");
            only_hashes_are_left(&store);
        }
    }

    #[test]
    fn what_fails_while_it_is_hashed_says_why_and_leaves_nothing() {
        let folder = Folder::new();
        let store = folder.store("models");
        fs::write(folder.0.join("source").join("config.json"), r#"{"architectures": ["Strange"]}"#).unwrap();
        let error = folder.converted(&store, &Silent).unwrap_err().to_string();
        assert!(error.contains("Strange") && error.contains("--converter"), "{error}");
        only_hashes_are_left(&store);
    }
}
