//! A checkpoint -> the engine's file: GGUF by `conversion` and the engine's own quantizer, or the checkpoint as it is.

use super::conversion::converted;
use super::source::Found;
use super::{Error, Manifest, Prepared, Request, Result, Source, SourceFile, Store, convert, gguf, io_error};
use crate::disk::{amount, steadily};
use crate::engine::{Timeouts, Worker};
use crate::plan::size_label;
use crate::progress::{Progress, Unit};
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tokometer_protocol::{Answer, Request as Ask};

/// The file in a prepared model's folder.
pub(super) const FILE: &str = "model.gguf";
/// The conversion that quantizations are made from; it is kept beside them.
const BASE: (&str, convert::Dtype) = ("F16", convert::Dtype::F16);
/// Native types that are conversions, not quantizations.
const PLAIN: &[(&str, convert::Dtype)] =
    &[("F16", convert::Dtype::F16), ("BF16", convert::Dtype::Bf16), ("F32", convert::Dtype::F32)];

/// A GGUF file of the native type.
pub fn gguf(store: &Store, found: Found, request: &Request<'_>, progress: &dyn Progress) -> Result<Prepared> {
    if found.source.is_gguf {
        return from_gguf(store, &found.identified(progress)?, request, progress);
    }
    match PLAIN.iter().find(|(name, _)| *name == request.native) {
        Some(plain) => Ok(converted(store, found, request, *plain, progress)?.0),
        None => {
            let (base, source) = converted(store, found, request, BASE, progress)?;
            quantized(store, &source, request, &base.path, base.manifest.tools, progress)
        }
    }
}

/// The native type of the file that a quantization of a checkpoint is made from; `None` for what is converted at once.
pub fn base_of(native: &str) -> Option<&'static str> {
    PLAIN.iter().all(|(name, _)| *name != native).then_some(BASE.0)
}

/// The checkpoint itself, for engines that load and quantize it themselves.
pub fn checkpoint(source: &Source, request: &Request<'_>) -> Result<Prepared> {
    let mut manifest = manifest(source, request, BTreeMap::new());
    if source.is_gguf {
        measure(&mut manifest, &gguf::Gguf::open(&source.path)?);
        manifest.bits_per_weight = None;
    }
    Ok(Prepared { path: source.path.clone(), manifest, reused: true })
}

/// From a GGUF file: as it is where the type fits, else quantized from full precision.
fn from_gguf(store: &Store, source: &Source, request: &Request<'_>, progress: &dyn Progress) -> Result<Prepared> {
    let file = gguf::Gguf::open(&source.path)?;
    let own = file.metadata.u64("general.file_type").and_then(|id| gguf::file_type_name(u32::try_from(id).ok()?));
    if request.as_it_is || own.is_some_and(|own| own.eq_ignore_ascii_case(request.native)) {
        let mut manifest = manifest(source, request, BTreeMap::new());
        manifest.native = own.unwrap_or("unknown").to_owned();
        measure(&mut manifest, &file);
        return Ok(Prepared { path: source.path.clone(), manifest, reused: true });
    }
    match own {
        Some("F16" | "BF16" | "F32") => quantized(store, source, request, &source.path, BTreeMap::new(), progress),
        _ => Err(Error::Refused(format!(
            "{} is {} already: quantizing it again to {} would measure two losses at once; name a F16, BF16 or F32 file, or --quantize default to run it as it is",
            source.path.display(),
            own.unwrap_or("of an unknown type"),
            request.native,
        ))),
    }
}

fn quantized(
    store: &Store,
    source: &Source,
    request: &Request<'_>,
    base: &Path,
    mut tools: BTreeMap<String, String>,
    progress: &dyn Progress,
) -> Result<Prepared> {
    let native = request.native;
    let failed =
        |failed| Error::Engine { engine: request.engine.title.into(), doing: format!("quantize to {native}"), failed };
    let Some(discovery) = request.worker else {
        return Err(Error::Refused(format!("quantizing to {native} needs {}'s worker", request.engine.title)));
    };
    // A large tensor takes a while without any sign of progress: give it time in proportion to the file.
    let bytes = std::fs::metadata(base).map_err(io_error("read", base))?.len();
    let request_time = Duration::from_secs(600 + bytes / 2_000_000);
    let mut worker =
        Worker::start(discovery, Timeouts { request: request_time, ..Timeouts::default() }).map_err(failed)?;
    let quantizer = format!("{} {}", worker.hello.engine, worker.hello.engine_version);
    tools.insert("quantizer".into(), quantizer);
    let place = store.place(&format!("{}-{native}", source.name), &(&source.info.files, native, &tools));
    let (manifest, reused) = store.make(&place, progress, |folder| {
        crate::disk::require(store.folder(), estimated_bytes(bytes, native))?;
        let output = folder.join(FILE);
        let task = progress.task(&format!("quantize {} to {native}", source.name), None, Unit::Count);
        let ask = Ask::Quantize {
            input: base.display().to_string(),
            output: output.display().to_string(),
            native: native.into(),
            threads: request.threads,
        };
        let mut done = 0;
        let tell = |at: &tokometer_protocol::Progress| {
            at.total.into_iter().for_each(|total| task.expect(total));
            task.advance(at.done.saturating_sub(done));
            done = done.max(at.done);
        };
        let answer = steadily(&output, || worker.call(ask, tell)).map_err(failed)?;
        let Answer::Quantized(made) = answer else {
            return Err(Error::Refused(format!(
                "{}'s worker answered a quantization with {answer:?}",
                request.engine.title
            )));
        };
        task.finish(&format!("{} in {:.1} s", amount(made.bytes), made.elapsed_ns as f64 / 1e9));
        let mut manifest = manifest(source, request, tools.clone());
        finish(&mut manifest, &output, None, progress)?;
        Ok(manifest)
    })?;
    worker.shutdown();
    Ok(Prepared { path: place.join(FILE), manifest, reused })
}

/// An upper estimate of a quantization's size from a 16-bit file: type by its leading digits, and a quarter more for
/// embeddings and output that are kept wider.
fn estimated_bytes(base: u64, native: &str) -> u64 {
    let digits: String = native.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let bits: u64 = digits.parse().unwrap_or(16);
    base.saturating_mul((bits + 1).min(33)) / 16 * 5 / 4 + (16 << 20)
}

pub(super) fn manifest(source: &Source, request: &Request<'_>, tools: BTreeMap<String, String>) -> Manifest {
    Manifest {
        manifest: 1,
        name: source.name.clone(),
        size: size_label(&source.name, 0),
        engine: request.engine.name.into(),
        native: request.native.into(),
        source: source.info.clone(),
        files: Vec::new(),
        tools,
        n_params: None,
        weights_bytes: None,
        bits_per_weight: None,
        prompt_ids: source.prompt_ids,
        bos: source.bos,
    }
}

/// Checks what was written, brings it to the disk and notes what it is; `sha256` if it is known from writing.
pub(super) fn finish(
    manifest: &mut Manifest,
    output: &Path,
    sha256: Option<String>,
    progress: &dyn Progress,
) -> Result<()> {
    let file = gguf::Gguf::open(output)?;
    measure(manifest, &file);
    let bytes = std::fs::metadata(output).map_err(io_error("read", output))?.len();
    // Nobody tells how far the disk is.
    let to_hash = sha256.is_none().then_some(bytes);
    let task = progress.task(&format!("check {} {}", manifest.name, manifest.native), to_hash, Unit::Bytes);
    let (sha256, synced) = thread::scope(|scope| {
        let syncing = scope.spawn(|| File::open(output).and_then(|file| file.sync_all()));
        let sha256 = match sha256 {
            Some(sha256) => Ok(sha256),
            None => crate::fingerprint::of_file(output, |n| task.advance(n)),
        };
        (sha256, syncing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let sha256 = sha256.map_err(io_error("read", output))?;
    synced.map_err(io_error("sync", output))?;
    let bits = manifest.bits_per_weight.unwrap_or(f64::NAN);
    task.finish(&format!("{}, {bits:.2} bits per weight", amount(bytes)));
    manifest.files = vec![SourceFile { name: FILE.into(), bytes, sha256 }];
    Ok(())
}

fn measure(manifest: &mut Manifest, file: &gguf::Gguf) {
    manifest.n_params = Some(file.n_params());
    manifest.weights_bytes = Some(file.tensor_bytes());
    manifest.bits_per_weight = file.bits_per_weight();
    manifest.size = size_label(&manifest.name, file.n_params());
}

#[cfg(test)]
mod tests {
    use super::{base_of, estimated_bytes};

    #[test]
    fn what_is_quantized_has_a_base_and_what_is_converted_has_none() {
        assert_eq!(["Q4_K_M", "F16", "BF16"].map(base_of), [Some("F16"), None, None]);
    }

    #[test]
    fn estimates_are_above_what_was_seen() {
        // MiB of a 1B model: F16 2360, Q8_0 1252, Q6_K 967, Q4_K_M 763.
        let mib = 1 << 20;
        for (native, seen) in [("Q8_0", 1252), ("Q6_K", 967), ("Q4_K_M", 763)] {
            assert!(estimated_bytes(2360 * mib, native) > seen * mib, "{native}");
        }
    }
}
