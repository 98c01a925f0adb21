//! Copying a file whole or not at all, and never over another.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes that are compared at a time.
const PORTION: usize = 1 << 16;

/// Copies `from` to `to`: beside it under a hidden name, to the disk, then under its name. A file that is there stays.
///
/// # Errors
/// What the system said, [`ErrorKind::AlreadyExists`] among it; then nothing is left.
pub(super) fn whole(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!(".{name}.{}.merge", std::process::id()));
    let done = copied(from, &aside).and_then(|()| put(&aside, to));
    // After a link as after an error: a second name, or half a file.
    let _ = fs::remove_file(&aside);
    done
}

fn copied(from: &Path, aside: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(aside)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Gives a file its name if nobody has it. A link cannot replace a file as a rename would.
fn put(aside: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(aside, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // Cards and shared folders often have no links.
        Err(_) if to.try_exists()? => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(aside, to),
        Ok(()) => Ok(()),
    }
}

/// Whether two files hold the same bytes.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn same(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let mut left = a.metadata()?.len();
    if left != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (vec![0; PORTION], vec![0; PORTION]);
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PORTION).min(PORTION);
        a.read_exact(&mut one[..n])?;
        b.read_exact(&mut other[..n])?;
        if one[..n] != other[..n] {
            return Ok(false);
        }
        left -= n as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    #[test]
    fn a_copy_is_whole_and_never_replaces_anything() {
        let dir = Dir::new();
        let (from, to) = (dir.path().join("a"), dir.path().join("below/b"));
        fs::write(&from, "one").unwrap();
        whole(&from, &to).unwrap();
        assert!(same(&from, &to).unwrap());
        fs::write(&from, "two").unwrap();
        assert_eq!(whole(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(!same(&from, &to).unwrap() && fs::read_to_string(&to).unwrap() == "one");
        assert!(whole(&dir.path().join("none"), &dir.path().join("below/c")).is_err());
        let left: Vec<_> = fs::read_dir(dir.path().join("below")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"]);
    }
}
