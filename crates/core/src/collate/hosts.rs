//! Other names for machines whose logs give the same hostname: a file beside the raw logs, for those are never edited.
//!
//! `merge` writes it; whoever wants to may edit it. It is read by `collate`, so that all that comes after sees the names.

use super::{Error, Result};
use crate::record::Context;
use crate::{disk, fingerprint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Its name in the folder of the raw logs.
pub const FILE: &str = "hosts.toml";

const HEAD: &str = "# Hostnames to show instead of those in the raw logs, by the logs' uuids: `tokometer merge --host` adds them.\n\
                    # Different machines under one name would be averaged as one.\n";

/// The names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hosts {
    /// By the uuid of the log.
    hosts: BTreeMap<String, String>,
}

impl Hosts {
    /// Reads the file of a folder of raw logs; none is no names.
    ///
    /// # Errors
    /// [`Error::Hosts`] when it cannot be read or understood.
    pub fn read(dir: &Path) -> Result<Hosts> {
        let path = dir.join(FILE);
        let wrong = |reason: String| Error::Hosts { path: path.clone(), reason };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Hosts::default()),
            Err(cause) => return Err(wrong(cause.to_string())),
        };
        let hosts: Hosts = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        match hosts.hosts.iter().find(|(_, name)| name.trim().is_empty()) {
            Some((uuid, _)) => Err(wrong(format!("the name of {uuid} is empty"))),
            None => Ok(hosts),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let failed = |cause| Error::Write { path: path.clone(), cause };
        let text = toml::to_string(self).map_err(|error| failed(std::io::Error::other(error)))?;
        disk::write_whole(&path, format!("{HEAD}{text}").as_bytes()).map_err(failed)
    }

    /// The name of the machine that the log with this uuid is from, if it is another than the log says.
    pub fn name(&self, uuid: &str) -> Option<&str> {
        self.hosts.get(uuid).map(String::as_str)
    }

    /// Puts that name into what was read from a log.
    pub fn rename(&self, context: &mut Context) {
        if let Some(name) = context.uuid.as_deref().and_then(|uuid| self.name(uuid)) {
            context.hostname = Some(name.to_owned());
        }
    }

    /// Gives a log's machine a name.
    pub fn set(&mut self, uuid: &str, name: &str) {
        self.hosts.insert(uuid.to_owned(), name.to_owned());
    }

    /// A hash of all names; `None` where there are none.
    pub(super) fn fingerprint(&self) -> Option<String> {
        (!self.hosts.is_empty()).then(|| fingerprint::of_value(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    #[test]
    fn names_survive_the_file() {
        let dir = Dir::new();
        let mut hosts = Hosts::read(dir.path()).unwrap();
        assert_eq!((hosts.clone(), hosts.fingerprint()), (Hosts::default(), None));
        hosts.set("0123abcd", "phone");
        hosts.write(dir.path()).unwrap();
        let read = Hosts::read(dir.path()).unwrap();
        assert_eq!((read.name("0123abcd"), read.name("ffffffff")), (Some("phone"), None));
        assert!(read == hosts && read.fingerprint().is_some());
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.starts_with('#') && text.contains("[hosts]\n0123abcd = \"phone\"\n"), "{text}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let dir = Dir::new();
        for (text, words) in [("[host]\n", "host"), ("[hosts]\nx = 1\n", "string"), ("[hosts]\nx = \" \"\n", "empty")] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Hosts::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains("hosts.toml") && error.contains(words), "{error}");
        }
    }
}
