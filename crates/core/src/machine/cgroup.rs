//! Control groups (`man 7 cgroups`), versions 1 and 2: the quota of processor time, processes that the kernel killed for
//! memory, and a group of its own with a memory limit for a worker.
//!
//! Everything is read and made below a root folder, so that it is tested on made-up trees. Who is put into a group, and
//! what is done where none can be made, is `engine`'s business.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where made-up groups begin: `tokometer-{process}-{name}`.
const PREFIX: &str = "tokometer-";

/// Why there is no group with a limit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No memory controller is mounted, or this process is outside of what it sees.
    #[error("no memory controller is mounted")]
    NoController,
    /// The group above gives no memory controller to its children.
    #[error("{0} does not hand the memory controller on")]
    NotDelegated(PathBuf),
    /// A file or folder of the controller.
    #[error("cannot {doing} {path}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Processors that the quotas of this process's group and of those above it pay for; `None` without any.
pub fn cpu_quota(root: &Path) -> Option<f64> {
    let place = Place::find(root, "cpu")?;
    place.upwards().filter_map(quota).reduce(f64::min)
}

/// Bytes that the groups of this process, and those above, still let it take in version 1, the page cache counted as
/// free; `None` without a limit.
pub(super) fn headroom_of_version_1(root: &Path) -> Option<u64> {
    let place = Place::find(root, "memory").filter(|place| place.version == Version::One)?;
    place.upwards().filter_map(headroom).min()
}

/// Limit minus use of one group of version 1.
fn headroom(folder: &Path) -> Option<u64> {
    /// A group without a limit shows the largest number of whole pages instead.
    const NO_LIMIT: u64 = 1 << 60;
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let limit = text("memory.limit_in_bytes")?.trim().parse::<u64>().ok().filter(|limit| *limit < NO_LIMIT)?;
    let used: u64 = text("memory.usage_in_bytes")?.trim().parse().ok()?;
    let stat = text("memory.stat").unwrap_or_default();
    let cache =
        |name: &str| -> u64 { stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0) };
    let cached = cache("total_inactive_file ").saturating_add(cache("total_active_file "));
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// Processes that the kernel has killed for memory so far in `group`, or else in the group of this process; machine-wide
/// where groups do not tell.
pub fn oom_kills(root: &Path, group: Option<&MemoryGroup>) -> u64 {
    let own = || Place::find(root, "memory")?.upwards().find_map(kills);
    let counted = match group {
        Some(group) => kills(&group.folder),
        None => own(),
    };
    counted.or_else(|| counter(&root.join("proc/vmstat"))).unwrap_or(0)
}

/// A group with a memory limit. Dropped, it is removed, and what is still in it is killed.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// Makes a group in which processes may hold `limit` bytes together: below the group of this process, or beside it
    /// in version 2, where a group with processes has no children of its own.
    ///
    /// # Errors
    /// There is no memory controller, or this user may make no group in it.
    pub fn create(root: &Path, limit: u64) -> Result<MemoryGroup> {
        let place = Place::find(root, "memory").ok_or(Error::NoController)?;
        let mut refused = Error::NoController;
        for parent in place.upwards().take(if place.version == Version::Two { 2 } else { 1 }) {
            sweep(root, parent);
            match make(place.version, parent, limit) {
                Ok(group) => return Ok(group),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The file through which a process enters: it writes `0` for itself.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn entrance(&self) -> Result<File> {
        let path = self.folder.join("cgroup.procs");
        OpenOptions::new().write(true).open(&path).map_err(|cause| Error::Io { doing: "open", path, cause })
    }

    fn kill_members(&self) {
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        // Zero is a process that this one cannot name.
        for pid in members.lines().filter_map(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 0) {
            // SAFETY: only descendants of the worker are in the group.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Processes that were killed take a moment to leave.
        for _ in 0..200 {
            match fs::remove_dir(&self.folder) {
                Err(cause) if cause.raw_os_error() == Some(libc::EBUSY) => self.kill_members(),
                _ => return,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The two interfaces, by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where the files of a controller lie for this process.
#[derive(Debug, PartialEq)]
struct Place {
    version: Version,
    /// Of the group of this process.
    folder: PathBuf,
    /// The highest that is visible.
    top: PathBuf,
}

impl Place {
    /// Reads /proc/self/cgroup (which group) and /proc/self/mountinfo (where it is mounted).
    fn find(root: &Path, controller: &str) -> Option<Place> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let has = |list: &str| list.split(',').any(|name| name == controller);
        let mut lines = groups.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        });
        let first = lines.clone().find(|(controllers, _)| has(controllers));
        let (version, path) = match first {
            Some((_, path)) => (Version::One, path),
            None => (Version::Two, lines.find(|(controllers, _)| controllers.is_empty())?.1),
        };
        let mounted = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            let fits = match version {
                Version::One => kind == "cgroup" && has(options),
                Version::Two => kind == "cgroup2",
            };
            let mut left = left.split(' ').skip(3);
            fits.then_some((left.next()?, left.next()?))
        });
        let (shown, mount) = mounted?;
        let inside =
            path.strip_prefix(shown.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = inside.unwrap_or(path).trim_start_matches('/');
        // A process outside of its name space's root has a path that leads upwards.
        if below.split('/').any(|part| part == "..") {
            return None;
        }
        let top = root.join(mount.trim_start_matches('/'));
        Some(Place { version, folder: top.join(below), top })
    }

    /// The group and those above it.
    fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.folder.ancestors().take_while(move |folder| folder.starts_with(&self.top))
    }
}

/// Quota / period of one group.
fn quota(folder: &Path) -> Option<f64> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let (quota, period) = match text("cpu.max") {
        Some(both) => both.trim().split_once(' ').map(|(quota, period)| (quota.to_owned(), period.to_owned()))?,
        None => (text("cpu.cfs_quota_us")?, text("cpu.cfs_period_us")?),
    };
    // `max` and -1 stand for none.
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Kills for memory in one group, whoever's memory it was that ran out.
fn kills(folder: &Path) -> Option<u64> {
    counter(&folder.join("memory.events")).or_else(|| counter(&folder.join("memory.oom_control")))
}

/// The number in the line `oom_kill N`.
fn counter(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn make(version: Version, parent: &Path, limit: u64) -> Result<MemoryGroup> {
    if version == Version::Two {
        let handed_on = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
        if !handed_on.split_whitespace().any(|name| name == "memory") {
            return Err(Error::NotDelegated(parent.to_owned()));
        }
    }
    let name = format!("{PREFIX}{}-{}", std::process::id(), crate::fingerprint::fresh_name());
    let folder = parent.join(name);
    fs::create_dir(&folder).map_err(|cause| Error::Io { doing: "make the group", path: folder.clone(), cause })?;
    let group = MemoryGroup { folder };
    let write = |name: &str, text: &str| {
        let path = group.folder.join(name);
        fs::write(&path, text).map_err(|cause| Error::Io { doing: "write", path, cause })
    };
    let limit = limit.to_string();
    // Swap would turn a lack of memory into a slow engine. Not every kernel has these files: then it has no swap, or
    // its swap is not limited.
    match version {
        Version::One => {
            write("memory.limit_in_bytes", &limit)?;
            let _ = write("memory.memsw.limit_in_bytes", &limit);
        }
        Version::Two => {
            write("memory.max", &limit)?;
            let _ = write("memory.swap.max", "0");
            let _ = write("memory.oom.group", "1");
        }
    }
    Ok(group)
}

/// Removes groups of processes that were killed before they could. One that is in use cannot be removed.
fn sweep(root: &Path, parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        if maker.is_some_and(|(pid, _)| !root.join("proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    /// A root folder with these files in it, and these folders.
    fn tree(files: &[(&str, &str)], folders: &[&str]) -> Dir {
        let root = Dir::with(files);
        for folder in folders {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        root
    }

    const V1_GROUPS: &str = "4:memory:/jobs/a\n1:cpu,cpuacct:/jobs\n0::/\n";
    const V1_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V2_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_strictest_quota_on_the_way_up_counts() {
        let root = tree(
            &[
                ("proc/self/cgroup", V1_GROUPS),
                ("proc/self/mountinfo", V1_MOUNTS),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us", "150000\n"),
                ("sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us", "100000\n"),
            ],
            &[],
        );
        assert_eq!(cpu_quota(&root), Some(1.5));
        let root = tree(
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("proc/self/mountinfo", V2_MOUNTS),
                ("sys/fs/cgroup/a/cpu.max", "200000 100000\n"),
                ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ],
            &[],
        );
        assert_eq!(cpu_quota(&root), Some(2.0));
        assert_eq!(cpu_quota(Path::new("/nowhere")), None);
    }

    #[test]
    fn what_a_group_of_version_1_leaves_counts_without_the_page_cache() {
        let files = |limit: &'static str| {
            [
                ("proc/self/cgroup", V1_GROUPS),
                ("proc/self/mountinfo", V1_MOUNTS),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n"),
                ("sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes", limit),
                ("sys/fs/cgroup/memory/jobs/a/memory.usage_in_bytes", "3000\n"),
                (
                    "sys/fs/cgroup/memory/jobs/a/memory.stat",
                    "cache 9\ntotal_inactive_file 400\ntotal_active_file 600\n",
                ),
            ]
        };
        assert_eq!(headroom_of_version_1(&tree(&files("8000\n"), &[])), Some(6000));
        assert_eq!(headroom_of_version_1(&tree(&files("9223372036854771712\n"), &[])), None);
        assert_eq!(headroom_of_version_1(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_finds_it() {
        let mounts = "32 31 0:29 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let files = [("proc/self/cgroup", "1:cpu:/docker/x/y\n"), ("proc/self/mountinfo", mounts)];
        let root = tree(&files, &[]);
        let place = Place::find(&root, "cpu").unwrap();
        assert_eq!(place.folder, root.join("sys/fs/cgroup/cpu/y"));
        assert_eq!(place.upwards().count(), 2);
        assert_eq!(Place::find(&root, "memory"), None);
        let files = [("proc/self/cgroup", "0::/../x\n"), ("proc/self/mountinfo", V2_MOUNTS)];
        assert_eq!(Place::find(&tree(&files, &[]), "memory"), None);
    }

    #[test]
    fn kills_are_counted_in_the_nearest_group_that_tells_and_else_machine_wide() {
        let vmstat = ("proc/vmstat", "nr_free_pages 5\noom_kill 7\n");
        let v1 = [("proc/self/cgroup", V1_GROUPS), ("proc/self/mountinfo", V1_MOUNTS), vmstat];
        let root = tree(&v1, &[]);
        assert_eq!(oom_kills(&root, None), 7);
        let own = root.join("sys/fs/cgroup/memory/jobs/a");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n").unwrap();
        assert_eq!(oom_kills(&root, None), 3);
        let v2 = [
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", V2_MOUNTS),
            ("sys/fs/cgroup/a/memory.events", "low 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n"),
            vmstat,
        ];
        assert_eq!(oom_kills(&tree(&v2, &["sys/fs/cgroup/a/b"]), None), 2);
        assert_eq!(oom_kills(Path::new("/nowhere"), None), 0);
    }

    #[test]
    fn a_group_gets_its_limit_and_goes_when_dropped() {
        let v1 = [("proc/self/cgroup", V1_GROUPS), ("proc/self/mountinfo", V1_MOUNTS)];
        // Of a process that is gone: its number is above the largest there can be.
        let stale = "sys/fs/cgroup/memory/jobs/a/tokometer-99999999-0";
        let root = tree(&v1, &[stale]);
        let group = MemoryGroup::create(&root, 64_000_000).unwrap();
        let read = |name: &str| fs::read_to_string(group.folder.join(name)).unwrap();
        assert!(group.folder.starts_with(root.join("sys/fs/cgroup/memory/jobs/a")));
        assert_eq!(
            (read("memory.limit_in_bytes"), read("memory.memsw.limit_in_bytes")),
            ("64000000".into(), "64000000".into())
        );
        assert!(!root.join(stale).exists());
        // The kernel's own files would not keep a folder from being removed.
        let folder = group.folder.clone();
        fs::remove_file(folder.join("memory.limit_in_bytes")).unwrap();
        fs::remove_file(folder.join("memory.memsw.limit_in_bytes")).unwrap();
        drop(group);
        assert!(!folder.exists());
    }

    #[test]
    fn in_version_two_the_group_stands_where_the_controller_is_handed_on() {
        let files = [
            ("proc/self/cgroup", "0::/slice/scope\n"),
            ("proc/self/mountinfo", V2_MOUNTS),
            ("sys/fs/cgroup/slice/cgroup.subtree_control", "cpu memory pids\n"),
            ("sys/fs/cgroup/slice/scope/cgroup.subtree_control", "\n"),
        ];
        let root = tree(&files, &[]);
        let group = MemoryGroup::create(&root, 1_000_000).unwrap();
        assert_eq!(group.folder.parent().unwrap(), root.join("sys/fs/cgroup/slice"));
        assert_eq!(fs::read_to_string(group.folder.join("memory.max")).unwrap(), "1000000");
        fs::write(root.join("sys/fs/cgroup/slice/cgroup.subtree_control"), "cpu\n").unwrap();
        let refused = MemoryGroup::create(&root, 1_000_000).unwrap_err();
        assert!(matches!(refused, Error::NotDelegated(_)), "{refused}");
        let nothing = MemoryGroup::create(Path::new("/nowhere"), 1).unwrap_err();
        assert!(matches!(nothing, Error::NoController));
    }
}
