//! Writing a GGUF file in one pass: header first, then tensor data as it comes, hashed while it is written.

use std::fmt::Write as _;
use std::io::Write;
use std::thread;

use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::types::GgmlType;
use super::value::{Array, Metadata, Value};
use super::{DEFAULT_ALIGNMENT, MAGIC, VERSION, align_up};

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Elements per dimension, the fastest-running one first (ggml's order).
    pub dims: Vec<u64>,
    /// How its elements are stored.
    pub ty: GgmlType,
}

impl TensorSpec {
    /// Elements in all; `None` on overflow.
    pub fn elements(&self) -> Option<u64> {
        self.dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
    }

    /// Bytes of its data; `None` when a row is no whole number of blocks, or on overflow.
    pub fn bytes(&self) -> Option<u64> {
        let rows = self.dims.iter().skip(1).try_fold(1u64, |n, d| n.checked_mul(*d))?;
        self.ty.bytes_of(self.dims.first().copied().unwrap_or(1), rows)
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Writes one file. Memory: the header, and whatever the output buffers.
///
/// The data of the tensors follows in the order of the specs, in chunks of any size that do not
/// cross from one tensor into the next.
pub struct GgufWriter<W> {
    out: Hashed<W>,
    alignment: u64,
    /// Name and bytes of the tensors still to come, the next one last.
    pending: Vec<(String, u64)>,
    /// Bytes that the current tensor still lacks.
    left: u64,
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header. Alignment is `general.alignment`, or 32.
    ///
    /// # Errors
    /// When a spec has no size, the alignment is not a power of two, or the output fails.
    pub fn start(out: W, metadata: &Metadata, tensors: &[TensorSpec]) -> Result<GgufWriter<W>> {
        let alignment = match metadata.u64("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(a) if a.is_power_of_two() => a,
            Some(a) => return Err(Error::Plan(format!("general.alignment is {a}, not a power of two"))),
        };
        let header = header(metadata, tensors, alignment)?;
        let mut pending = Vec::with_capacity(tensors.len());
        for tensor in tensors.iter().rev() {
            pending.push((tensor.name.clone(), size(tensor)?));
        }
        let mut writer = GgufWriter { out: Hashed::new(out), alignment, pending, left: 0 };
        writer.out.put(&header)?;
        writer.pad()?;
        writer.next_tensor();
        Ok(writer)
    }

    /// Appends data to the current tensor.
    ///
    /// # Errors
    /// When the chunk is longer than what the tensor lacks, or the output fails.
    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let length = chunk.len() as u64;
        if length > self.left {
            let name = self.pending.last().map_or("(none)", |(name, _)| name.as_str());
            return Err(Error::Plan(format!("{length} bytes came for tensor {name}, which lacks only {}", self.left)));
        }
        self.out.put(chunk)?;
        self.left -= length;
        if self.left == 0 && !self.pending.is_empty() {
            self.pending.pop();
            self.pad()?;
            self.next_tensor();
        }
        Ok(())
    }

    /// Flushes and returns the output with its size and hash.
    ///
    /// # Errors
    /// When tensor data is missing, or the output fails.
    pub fn finish(mut self) -> Result<(W, Written)> {
        if let Some((name, _)) = self.pending.last() {
            return Err(Error::Plan(format!("tensor {name} still lacks {} bytes", self.left)));
        }
        self.out.inner.flush().map_err(|why| Error::Write { why })?;
        let mut sha256 = String::with_capacity(64);
        for byte in self.out.hash.finalize().as_slice() {
            let _ = write!(sha256, "{byte:02x}");
        }
        Ok((self.out.inner, Written { bytes: self.out.bytes, sha256 }))
    }

    /// Zero bytes up to the next multiple of the alignment.
    fn pad(&mut self) -> Result<()> {
        let end = align_up(self.out.bytes, self.alignment)
            .ok_or_else(|| Error::Plan("the file would be too long".to_owned()))?;
        let mut left = end - self.out.bytes;
        while left > 0 {
            let step = left.min(64);
            self.out.put(&[0; 64][..step as usize])?;
            left -= step;
        }
        Ok(())
    }

    /// Makes the next tensor that has data the current one.
    fn next_tensor(&mut self) {
        while let Some((_, bytes)) = self.pending.last() {
            self.left = *bytes;
            if self.left > 0 {
                break;
            }
            self.pending.pop();
        }
    }
}

/// Bytes from which on hashing them on another core is worth a thread's start.
const WORTH_A_THREAD: usize = 1 << 20;

/// An output that counts and hashes; what is much is hashed on another core while it is written.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    fn new(inner: W) -> Hashed<W> {
        Hashed { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let (inner, hash) = (&mut self.inner, &mut self.hash);
        let written = if bytes.len() < WORTH_A_THREAD {
            hash.update(bytes);
            inner.write_all(bytes)
        } else {
            thread::scope(|scope| {
                scope.spawn(|| hash.update(bytes));
                inner.write_all(bytes)
            })
        };
        written.map_err(|why| Error::Write { why })?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn size(tensor: &TensorSpec) -> Result<u64> {
    tensor.bytes().ok_or_else(|| {
        Error::Plan(format!(
            "tensor {} cannot be stored as {} with dimensions {:?}",
            tensor.name, tensor.ty, tensor.dims
        ))
    })
}

fn header(metadata: &Metadata, tensors: &[TensorSpec], alignment: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    out.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata.iter() {
        put_string(&mut out, key);
        out.extend_from_slice(&value.type_id().to_le_bytes());
        put_value(&mut out, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        put_string(&mut out, &tensor.name);
        out.extend_from_slice(&(tensor.dims.len() as u32).to_le_bytes());
        for dim in &tensor.dims {
            out.extend_from_slice(&dim.to_le_bytes());
        }
        out.extend_from_slice(&tensor.ty.id.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        offset = offset
            .checked_add(size(tensor)?)
            .and_then(|end| align_up(end, alignment))
            .ok_or_else(|| Error::Plan("the file would be too long".to_owned()))?;
    }
    Ok(out)
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I8(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::U16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::U32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::F32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_string(out, v),
        Value::Array(v) => put_array(out, v),
        Value::U64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::F64(v) => out.extend_from_slice(&v.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    macro_rules! numbers {
        ($items:expr) => {
            for item in $items {
                out.extend_from_slice(&item.to_le_bytes());
            }
        };
    }
    out.extend_from_slice(&array.type_id().to_le_bytes());
    out.extend_from_slice(&(array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => out.extend_from_slice(v),
        Array::I8(v) => numbers!(v),
        Array::U16(v) => numbers!(v),
        Array::I16(v) => numbers!(v),
        Array::U32(v) => numbers!(v),
        Array::I32(v) => numbers!(v),
        Array::F32(v) => numbers!(v),
        Array::Bool(v) => out.extend(v.iter().map(|b| u8::from(*b))),
        Array::String(v) => v.iter().for_each(|text| put_string(out, text)),
        Array::U64(v) => numbers!(v),
        Array::I64(v) => numbers!(v),
        Array::F64(v) => numbers!(v),
    }
}
