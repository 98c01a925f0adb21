//! Reading a header: every length is held against the bytes that are there before it is used.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::cursor::Cursor;
use super::error::{Error, Result};
use super::types::GgmlType;
use super::value::{ARRAY_ID, Array, Metadata, Value};
use super::{DEFAULT_ALIGNMENT, MAGIC, align_up};

/// The header of a GGUF file. Tensor data stays in the file: see [`Gguf::tensor_data`].
#[derive(Debug, Clone)]
pub struct Gguf {
    /// 2 or 3.
    pub version: u32,
    /// Alignment of tensor data, in bytes; a power of two.
    pub alignment: u64,
    /// Keys and values in file order.
    pub metadata: Metadata,
    /// The tensors in file order.
    pub tensors: Vec<TensorInfo>,
    /// Where tensor data starts, in bytes from the start of the file.
    pub data_offset: u64,
    /// Size of the whole file.
    pub file_bytes: u64,
}

/// What the header says about one tensor; checked against the file's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Elements per dimension, the fastest-running one first (ggml's order), at most four.
    pub dims: Vec<u64>,
    /// How its elements are stored.
    pub ty: GgmlType,
    /// Where its data starts, in bytes after [`Gguf::data_offset`].
    pub offset: u64,
    /// Elements in all.
    pub elements: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

/// Bytes that one key and value take at least: key length, value type, one byte.
const LEAST_ENTRY: u64 = 8 + 4 + 1;
/// Bytes that one tensor info takes at least: name length, dimensions, type, offset.
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;
/// ggml's limit.
const MAX_DIMS: u32 = 4;
/// Places that are reserved on a file's word; what is more grows as it is read.
const AT_ONCE: usize = 1 << 16;

impl Gguf {
    /// Maps a file and reads its header.
    ///
    /// # Errors
    /// When the file cannot be read or its header cannot be true of a file of that size.
    pub fn open(path: &Path) -> Result<Gguf> {
        let name = path.display().to_string();
        let io = |why| Error::Io { file: name.clone(), why };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Gguf::parse(&[], &name);
        }
        // SAFETY: the map is only read, and dropped before this function returns. Somebody who cuts
        // the file in that moment kills this process, as with every mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Gguf::parse(&map, &name)
    }

    /// Reads the header of a whole file that lies in memory; `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn parse(bytes: &[u8], name: &str) -> Result<Gguf> {
        let mut cursor = Cursor::new(bytes, name);
        let version = preamble(&mut cursor)?;
        let tensor_count_at = cursor.at();
        let tensor_count = cursor.count(LEAST_TENSOR, "the number of tensors")?;
        let entry_count = cursor.count(LEAST_ENTRY, "the number of metadata entries")?;
        let metadata = metadata(&mut cursor, entry_count)?;
        if (tensor_count as u64).saturating_mul(LEAST_TENSOR) > cursor.remaining() {
            return Err(cursor.malformed(
                tensor_count_at,
                format!("{tensor_count} tensors are announced but the file is too short for them"),
            ));
        }
        let alignment = alignment(&metadata, &cursor)?;
        let tensors = tensors(&mut cursor, tensor_count, alignment)?;
        let end = cursor.at();
        let data_offset =
            align_up(end, alignment).ok_or_else(|| cursor.malformed(end, "the header's end overflows"))?;
        let gguf = Gguf { version, alignment, metadata, tensors, data_offset, file_bytes: bytes.len() as u64 };
        check_ranges(&gguf, &cursor)?;
        Ok(gguf)
    }

    /// The bytes of one of this header's tensors; `file` is the whole file. `None` when `file` is
    /// shorter than the one that the header was read from.
    pub fn tensor_data<'a>(&self, file: &'a [u8], tensor: &TensorInfo) -> Option<&'a [u8]> {
        let start = self.data_offset.checked_add(tensor.offset)?;
        let end = start.checked_add(tensor.bytes)?;
        file.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

/// Magic and version.
fn preamble(cursor: &mut Cursor<'_>) -> Result<u32> {
    let magic: [u8; 4] = cursor.array("the magic")?;
    if magic != MAGIC {
        return Err(cursor.malformed_with(
            0,
            format!("the magic is {:?} instead of \"GGUF\"", String::from_utf8_lossy(&magic)),
            "Give a .gguf file; a Hugging Face folder is converted with `tokometer prepare`",
        ));
    }
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        1 => Err(cursor.malformed_with(
            4,
            "version 1 is no longer in use",
            "Convert the model again with a current llama.cpp",
        )),
        v if v != 0 && v & 0xffff == 0 => Err(cursor.malformed_with(
            4,
            "the file is big-endian",
            "Convert the model again on, or for, a little-endian machine",
        )),
        v => Err(cursor.malformed_with(
            4,
            format!("version {v} is unknown (2 and 3 are read)"),
            "Use a newer tokometer, or convert the model with an older llama.cpp",
        )),
    }
}

fn metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<Metadata> {
    let mut out = Metadata::new();
    let mut seen = HashSet::with_capacity(count.min(AT_ONCE));
    for _ in 0..count {
        let at = cursor.at();
        let key = cursor.string("a metadata key")?;
        let ty = cursor.u32("a metadata value's type")?;
        let value = value(cursor, ty, &key)?;
        if !seen.insert(key.clone()) {
            return Err(cursor.malformed(at, format!("the key \"{key}\" appears twice")));
        }
        out.push(key, value);
    }
    Ok(out)
}

fn value(cursor: &mut Cursor<'_>, ty: u32, key: &str) -> Result<Value> {
    let at = cursor.at();
    Ok(match ty {
        0 => Value::U8(u8::from_le_bytes(cursor.array(key)?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array(key)?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array(key)?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array(key)?)),
        4 => Value::U32(cursor.u32(key)?),
        5 => Value::I32(i32::from_le_bytes(cursor.array(key)?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array(key)?)),
        7 => Value::Bool(cursor.array::<1>(key)? != [0]),
        8 => Value::String(cursor.string(key)?),
        ARRAY_ID => Value::Array(array(cursor, key)?),
        10 => Value::U64(cursor.u64(key)?),
        11 => Value::I64(i64::from_le_bytes(cursor.array(key)?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array(key)?)),
        _ => return Err(cursor.malformed(at, format!("the key \"{key}\" has the unknown value type {ty}"))),
    })
}

/// `count` numbers of one type from the cursor; the count was checked against the file already.
macro_rules! numbers {
    ($cursor:expr, $key:expr, $ty:ty) => {{
        let count = $cursor.count(size_of::<$ty>() as u64, $key)?;
        let bytes = $cursor.take((count * size_of::<$ty>()) as u64, $key)?;
        bytes.as_chunks::<{ size_of::<$ty>() }>().0.iter().map(|raw| <$ty>::from_le_bytes(*raw)).collect()
    }};
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Result<Array> {
    let at = cursor.at();
    let ty = cursor.u32("an array's item type")?;
    Ok(match ty {
        0 => Array::U8(numbers!(cursor, key, u8)),
        1 => Array::I8(numbers!(cursor, key, i8)),
        2 => Array::U16(numbers!(cursor, key, u16)),
        3 => Array::I16(numbers!(cursor, key, i16)),
        4 => Array::U32(numbers!(cursor, key, u32)),
        5 => Array::I32(numbers!(cursor, key, i32)),
        6 => Array::F32(numbers!(cursor, key, f32)),
        7 => {
            let count = cursor.count(1, key)?;
            Array::Bool(cursor.take(count as u64, key)?.iter().map(|b| *b != 0).collect())
        }
        8 => {
            let count = cursor.count(8, key)?;
            let mut texts = Vec::with_capacity(count.min(AT_ONCE));
            for _ in 0..count {
                texts.push(cursor.string(key)?);
            }
            Array::String(texts)
        }
        10 => Array::U64(numbers!(cursor, key, u64)),
        11 => Array::I64(numbers!(cursor, key, i64)),
        12 => Array::F64(numbers!(cursor, key, f64)),
        ARRAY_ID => {
            return Err(
                cursor.malformed(at, format!("the key \"{key}\" holds arrays in an array, which no engine reads"))
            );
        }
        _ => return Err(cursor.malformed(at, format!("the key \"{key}\" holds an array of the unknown type {ty}"))),
    })
}

fn alignment(metadata: &Metadata, cursor: &Cursor<'_>) -> Result<u64> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(a)) if a.is_power_of_two() => Ok(u64::from(*a)),
        Some(other) => {
            Err(cursor
                .malformed(cursor.at(), format!("general.alignment is {other:?}, not a power of two of type U32")))
        }
    }
}

fn tensors(cursor: &mut Cursor<'_>, count: usize, alignment: u64) -> Result<Vec<TensorInfo>> {
    let mut out = Vec::with_capacity(count.min(AT_ONCE));
    let mut seen = HashSet::with_capacity(count.min(AT_ONCE));
    let mut expected = 0u64;
    for _ in 0..count {
        let at = cursor.at();
        let tensor = tensor(cursor)?;
        if !seen.insert(tensor.name.clone()) {
            return Err(cursor.malformed(at, format!("the tensor \"{}\" appears twice", tensor.name)));
        }
        // llama.cpp refuses gaps and overlaps as well.
        if tensor.offset != expected {
            return Err(cursor.malformed(
                at,
                format!(
                    "the tensor \"{}\" starts at {} instead of {expected}, right after the one before",
                    tensor.name, tensor.offset
                ),
            ));
        }
        expected = tensor
            .offset
            .checked_add(tensor.bytes)
            .and_then(|end| align_up(end, alignment))
            .ok_or_else(|| cursor.malformed(at, format!("the tensor \"{}\" ends beyond any file", tensor.name)))?;
        out.push(tensor);
    }
    Ok(out)
}

fn tensor(cursor: &mut Cursor<'_>) -> Result<TensorInfo> {
    let at = cursor.at();
    let name = cursor.string("a tensor's name")?;
    let n_dims = cursor.u32("a tensor's number of dimensions")?;
    if n_dims > MAX_DIMS {
        return Err(
            cursor.malformed(at, format!("the tensor \"{name}\" has {n_dims} dimensions, more than {MAX_DIMS}"))
        );
    }
    let mut dims = Vec::with_capacity(MAX_DIMS as usize);
    for _ in 0..n_dims {
        dims.push(cursor.u64("a tensor's dimension")?);
    }
    let type_id = cursor.u32("a tensor's type")?;
    let offset = cursor.u64("a tensor's offset")?;
    let ty = GgmlType::from_id(type_id).ok_or_else(|| {
        cursor.malformed_with(
            at,
            format!("the tensor \"{name}\" has the unknown type {type_id}"),
            "The type may be newer than this tokometer, or withdrawn from llama.cpp: quantize the model again with a current type",
        )
    })?;
    let elements = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let row = dims.first().copied().unwrap_or(1);
    let rows = dims.iter().skip(1).try_fold(1u64, |n, d| n.checked_mul(*d));
    let bytes = rows.and_then(|rows| ty.bytes_of(row, rows));
    let (Some(elements), Some(bytes)) = (elements, bytes) else {
        return Err(
            cursor.malformed(at, format!("the tensor \"{name}\" has impossible dimensions {dims:?} for type {ty}"))
        );
    };
    Ok(TensorInfo { name, dims, ty, offset, elements, bytes })
}

fn check_ranges(gguf: &Gguf, cursor: &Cursor<'_>) -> Result<()> {
    for tensor in &gguf.tensors {
        let start = gguf.data_offset.checked_add(tensor.offset);
        let end = start.and_then(|s| s.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > gguf.file_bytes) {
            return Err(cursor.malformed(
                start.unwrap_or(u64::MAX),
                format!(
                    "the data of tensor \"{}\" ({} bytes) should start, but the file has only {} bytes",
                    tensor.name, tensor.bytes, gguf.file_bytes
                ),
            ));
        }
    }
    Ok(())
}
