//! What a document may see: files below one folder, and the fonts that it was given.

use super::clock;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use typst::diag::{FileError, FileResult, PackageError};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, Source, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

/// A folder as the compiler sees it. Each file is read once, so that one compilation sees one state of it.
pub struct Folder {
    root: PathBuf,
    main: FileId,
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    epoch: Option<i64>,
    files: Mutex<HashMap<FileId, FileResult<Bytes>>>,
    sources: Mutex<HashMap<FileId, FileResult<Source>>>,
}

impl Folder {
    /// `root` is canonical: symbolic links are followed and compared with it. `epoch`: now, in seconds since 1970, UTC.
    pub fn new(root: PathBuf, main: FileId, fonts: Vec<Font>, epoch: Option<i64>) -> Folder {
        Folder {
            root,
            main,
            library: LazyHash::new(Library::default()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            epoch,
            files: Mutex::default(),
            sources: Mutex::default(),
        }
    }

    fn read(&self, id: FileId) -> FileResult<Bytes> {
        if let VirtualRoot::Package(spec) = id.root() {
            let why = format!(
                "packages are not offered here; copy the files of {spec} into the project and import them by path"
            );
            return Err(FileError::Package(PackageError::Other(Some(why.into()))));
        }
        let path = id.vpath().realize(&self.root)?;
        let io = |error| FileError::from_io(error, &path);
        let real = fs::canonicalize(&path).map_err(io)?;
        if !real.starts_with(&self.root) {
            return Err(outside(&path));
        }
        if real.is_dir() {
            return Err(FileError::IsDirectory);
        }
        fs::read(&real).map(Bytes::new).map_err(io)
    }
}

fn outside(path: &Path) -> FileError {
    FileError::Other(Some(format!("{} leads outside of the project; copy the file into it", path.display()).into()))
}

/// The value of a key, made once. The maps stay usable after a panic elsewhere: they only ever gain whole entries.
fn cached<T: Clone>(map: &Mutex<HashMap<FileId, T>>, id: FileId, make: impl FnOnce() -> T) -> T {
    let known = map.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    known.unwrap_or_else(|| {
        let made = make();
        map.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(made).clone()
    })
}

impl World for Folder {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        cached(&self.sources, id, || {
            let bytes = self.file(id)?;
            let text = std::str::from_utf8(&bytes)?;
            Ok(Source::new(id, text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()))
        })
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        cached(&self.files, id, || self.read(id))
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index).cloned()
    }

    fn today(&self, offset: Option<Duration>) -> Option<Datetime> {
        let shift = offset.map_or(0.0, |offset| offset.seconds().trunc());
        let time = clock::utc(self.epoch?.checked_add(shift as i64)?)?;
        Datetime::from_ymd(time.year()?, time.month()?, time.day()?)
    }
}
