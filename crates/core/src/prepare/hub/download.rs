//! One file from the hub into the cache's blobs: goes on where a broken download stopped, hashes what passes, and lets
//! nothing through that is not what the hub promised.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::address;
use super::cache::RepoCache;
use super::client::{Ask, Client, Failure, Reply, Subject};
use super::error::{Error, Result};
use super::name::Repo;
use super::retry::Patience;
use super::sums::{Promise, Sum, Sums};
use crate::progress::{Progress, Task, Unit};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A file to be had.
pub(super) struct Job<'a> {
    pub(super) client: &'a Client,
    pub(super) cache: &'a RepoCache,
    pub(super) repo: &'a Repo,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
    pub(super) size: u64,
    pub(super) promise: &'a Promise,
}

impl Job<'_> {
    /// Downloads the file unless another process does so meanwhile. Gives its SHA-256 if it passed through here.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<Option<String>> {
        let _lock = self.cache.lock(self.promise, &|text| progress.note(text))?;
        if self.cache.find(self.commit, self.file, self.promise, self.size).is_some() {
            return Ok(None);
        }
        let task = progress.task(self.file, Some(self.size), Unit::Bytes);
        let meter = &mut Meter { task: &*task, shown: 0 };
        let mut sum = self.receive(meter, progress)?;
        if let Some(got) = sum.0.breaks(self.promise) {
            self.discard()?;
            progress.warn(&format!(
                "{}: expected {}, got {got}; downloading it again",
                self.subject(),
                self.promise.describe()
            ));
            sum = self.receive(meter, progress)?;
            if let Some(got) = sum.0.breaks(self.promise) {
                self.discard()?;
                let (file, repo) = (self.file.to_owned(), self.repo.to_string());
                return Err(Error::WrongHash { file, repo, expected: self.promise.describe(), got });
            }
        }
        let (sum, file) = sum;
        self.cache.publish(self.promise, &file)?;
        task.finish(match self.promise {
            Promise::Sha256(_) => "downloaded, sha256 checked",
            Promise::GitBlob(_) => "downloaded, git hash checked",
            Promise::Opaque(_) => "downloaded, length checked",
        });
        Ok(Some(sum.sha256))
    }

    fn subject(&self) -> Subject<'_> {
        Subject { repo: self.repo, file: Some(self.file) }
    }

    fn discard(&self) -> Result<()> {
        let path = self.cache.partial(self.promise);
        fs::remove_file(&path).map_err(Error::io("deleting", &path))
    }

    /// Everything up to the promised length, over as many connections as it takes.
    fn receive(&self, meter: &mut Meter<'_>, progress: &dyn Progress) -> Result<(Sum, File)> {
        let url = address::file(&self.client.endpoint, self.repo, self.commit, self.file);
        let mut partial = Partial::open(self)?;
        let mut patience = Patience::new(&self.client.retry);
        meter.at(partial.at);
        while partial.at < self.size {
            let before = partial.at;
            let result = self.one_connection(&url, &mut partial, meter);
            if partial.at > before {
                patience.restored();
            }
            match result {
                Ok(()) => {}
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unreachable(why)) => patience.again(&self.subject(), why, None, &|t| progress.note(t))?,
                Err(Failure::Again { why, asked }) => {
                    patience.again(&self.subject(), why, asked, &|t| progress.note(t))?
                }
            }
        }
        Ok((partial.sums.finish(), partial.file))
    }

    /// Asks for what is missing and takes what comes, until the end or until the connection breaks.
    fn one_connection(
        &self,
        url: &str,
        partial: &mut Partial<'_>,
        meter: &mut Meter<'_>,
    ) -> std::result::Result<(), Failure> {
        let reply = self.client.open(url, Ask::From(partial.at), self.subject())?;
        self.check_facts(&reply).map_err(Failure::Final)?;
        self.check_start(&reply, partial)?;
        let shown = reply.url.clone();
        let mut body = reply.body.into_reader();
        let mut buffer = vec![0; CHUNK];
        while partial.at < self.size {
            let left = usize::try_from(self.size - partial.at).unwrap_or(CHUNK).min(CHUNK);
            let n = body.read(&mut buffer[..left]).map_err(|e| self.broken(&shown, &e.to_string()))?;
            if n == 0 {
                return Err(
                    self.broken(&shown, &format!("the answer ended after {} of {} bytes", partial.at, self.size))
                );
            }
            partial.push(&buffer[..n]).map_err(Failure::Final)?;
            meter.at(partial.at);
        }
        Ok(())
    }

    fn broken(&self, url: &str, why: &str) -> Failure {
        Failure::Again { why: self.client.scrub(&format!("{url}: {why}")), asked: None }
    }

    /// The hub's own headers must speak of the commit and the content that it listed.
    fn check_facts(&self, reply: &Reply) -> Result<()> {
        let (file, repo) = (self.file.to_owned(), self.repo.to_string());
        if let Some(size) = reply.facts.size.filter(|size| *size != self.size) {
            return Err(Error::WrongSize { file, repo, expected: self.size, got: format!("{size}") });
        }
        if let Some(commit) = reply.facts.commit.as_ref().filter(|c| !c.eq_ignore_ascii_case(self.commit)) {
            let (expected, got) = (format!("commit {}", self.commit), format!("commit {}", self.client.scrub(commit)));
            return Err(Error::WrongHash { file, repo, expected, got });
        }
        let promised = reply.facts.etag.as_deref().and_then(Promise::from_etag);
        let same_kind = |p: &Promise| std::mem::discriminant(p) == std::mem::discriminant(self.promise);
        match promised.filter(same_kind) {
            Some(other) if other != *self.promise => {
                Err(Error::WrongHash { file, repo, expected: self.promise.describe(), got: other.describe() })
            }
            _ => Ok(()),
        }
    }

    /// Lines the partial file up with the first byte of the answer.
    fn check_start(&self, reply: &Reply, partial: &mut Partial<'_>) -> std::result::Result<(), Failure> {
        let expected = match reply.status {
            206 => {
                let range = reply.header("content-range").unwrap_or_default();
                if first_and_total(&range) != Some((partial.at, self.size)) {
                    let at = partial.at;
                    partial.restart().map_err(Failure::Final)?;
                    return Err(self.broken(&reply.url, &format!("asked for bytes from {at} on, got {range:?}")));
                }
                self.size - partial.at
            }
            416 => {
                partial.restart().map_err(Failure::Final)?;
                return Err(self.broken(&reply.url, "the server does not have the range that is missing (HTTP 416)"));
            }
            _ => self.size,
        };
        if let Some(length) = reply.length().filter(|length| *length != expected) {
            let kind =
                reply.header("content-type").map(|k| format!(" of {}", self.client.scrub(&k))).unwrap_or_default();
            let (file, repo) = (self.file.to_owned(), self.repo.to_string());
            return Err(Failure::Final(Error::WrongSize { file, repo, expected, got: format!("{length}{kind}") }));
        }
        if reply.status != 206 && partial.at > 0 {
            // The server ignored the range and sends everything.
            partial.restart().map_err(Failure::Final)?;
        }
        Ok(())
    }
}

/// `bytes 5-9/10` -> first byte and total.
fn first_and_total(range: &str) -> Option<(u64, u64)> {
    let (span, total) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last, total): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (first <= last && last.checked_add(1)? == total).then_some((first, total))
}

/// The file that grows, with the hashes of what it holds.
struct Partial<'a> {
    job: &'a Job<'a>,
    path: PathBuf,
    file: File,
    sums: Sums,
    /// Bytes that are in it and in the hashes.
    at: u64,
}

impl<'a> Partial<'a> {
    /// Opens what an earlier attempt left and hashes it; one that is too long is emptied.
    fn open(job: &'a Job<'a>) -> Result<Self> {
        let path = job.cache.partial(job.promise);
        let file = job.cache.open_partial(job.promise)?;
        let mut partial = Self { job, path, file, sums: Sums::new(job.promise, job.size), at: 0 };
        let length = partial.file.metadata().map_err(Error::io("reading", &partial.path))?.len();
        if length > job.size {
            partial.restart()?;
            return Ok(partial);
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = partial.file.read(&mut buffer).map_err(Error::io("reading", &partial.path))?;
            if n == 0 {
                return Ok(partial);
            }
            partial.sums.update(&buffer[..n]);
            partial.at += n as u64;
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("writing", &self.path))?;
        self.sums.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io("emptying", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(Error::io("emptying", &self.path))?;
        self.sums = Sums::new(self.job.promise, self.job.size);
        self.at = 0;
        Ok(())
    }
}

/// Tells a task of progress only: bytes that come a second time do not count twice.
struct Meter<'a> {
    task: &'a dyn Task,
    shown: u64,
}

impl Meter<'_> {
    fn at(&mut self, position: u64) {
        if position > self.shown {
            self.task.advance(position - self.shown);
            self.shown = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_up_to_the_end_is_taken() {
        assert_eq!(first_and_total("bytes 5-9/10"), Some((5, 10)));
        for bad in [
            "",
            "bytes",
            "bytes 5-9/*",
            "bytes 5-8/10",
            "bytes 9-5/10",
            "bytes */10",
            "items 5-9/10",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(first_and_total(bad), None, "{bad}");
        }
    }
}
