//! A Slurm cluster of three nodes on this machine, for as long as a value lives: munged, slurmctld and three slurmd as child
//! processes with a configuration of their own, without systemd, control groups or accounting. Any user may start it; as
//! root each node has a hostname of its own, as the nodes of real clusters have.

use std::fs;
use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokometer_core::cluster::System;

/// The nodes. The first has the feature `fast`.
pub const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// How long the daemons may take to start.
const START: Duration = Duration::from_secs(20);

/// A cluster; all of it ends with the value.
pub struct Cluster {
    folder: PathBuf,
    daemons: Vec<Child>,
    /// Whether each node has its own hostname.
    pub own_hostnames: bool,
}

impl Cluster {
    /// Starts a cluster. `None` where Slurm is not installed, which is said.
    pub fn start(name: &str) -> Option<Cluster> {
        let wanted = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol"];
        if let Some(missing) = wanted.iter().find(|program| find(program).is_none()) {
            eprintln!("skipped: {missing} is not installed (Debian: slurm-wlm and munge)");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("tokometer-slurm-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("log")).unwrap();
        let mut cluster = Cluster { folder, daemons: Vec::new(), own_hostnames: may_name_hosts() };
        cluster.configure();
        cluster.munge();
        // In the foreground, and with nothing of an earlier life.
        cluster.spawn("slurmctld", &["-D", "-i", "-c"], None);
        for node in NODES {
            cluster.spawn("slurmd", &["-D", "-N", node], cluster.own_hostnames.then_some(node));
        }
        cluster.wait("three idle nodes", |cluster| {
            cluster.try_ask("sinfo", &["-h", "-t", "idle", "-o", "%D"]).is_some_and(|out| out.trim() == "3")
        });
        Some(cluster)
    }

    /// What commands must have in their environment to find this cluster.
    pub fn env(&self) -> (String, String) {
        ("SLURM_CONF".to_owned(), self.folder.join("slurm.conf").display().to_string())
    }

    /// Runs Slurm's commands on this cluster.
    pub fn shell(&self) -> System {
        System { env: vec![self.env()] }
    }

    /// What a command of Slurm's prints; it must work.
    pub fn ask(&self, program: &str, arguments: &[&str]) -> String {
        self.try_ask(program, arguments).unwrap_or_else(|| panic!("{program} {arguments:?}\n{}", self.logs()))
    }

    /// Takes a node out as if it had failed: what runs on it is over.
    pub fn fail(&self, node: &str) {
        self.ask("scontrol", &["update", &format!("NodeName={node}"), "State=DOWN", "Reason=test"]);
    }

    /// Waits until something is so.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Cluster) -> bool) {
        let end = Instant::now() + START;
        while !is_so(self) {
            assert!(Instant::now() < end, "there were never {what}:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).envs([self.env()]).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn configure(&self) {
        for folder in ["state", "n1", "n2", "n3"] {
            fs::create_dir_all(self.folder.join(folder)).unwrap();
        }
        fs::write(self.folder.join("slurm.conf"), configuration(&self.folder)).unwrap();
        // No group is ever made, but slurmd loads a plugin for them; that of version 2 wants systemd.
        fs::write(self.folder.join("cgroup.conf"), "CgroupPlugin=cgroup/v1\n").unwrap();
    }

    fn munge(&mut self) {
        let key = self.folder.join("munge.key");
        let mut bytes = [0; 128];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        let file = |option: &str, name: &str| format!("--{option}={}", self.folder.join(name).display());
        let words = [
            // The folder for temporary files may be written by everybody.
            "--force".to_owned(),
            "--foreground".to_owned(),
            "--num-threads=2".to_owned(),
            file("key-file", "munge.key"),
            file("socket", "munge.socket"),
            file("pid-file", "munged.pid"),
            file("log-file", "log/munge"),
            file("seed-file", "munge.seed"),
        ];
        self.spawn("munged", &words.each_ref().map(String::as_str), None);
        self.wait("a munge socket", |cluster| cluster.folder.join("munge.socket").exists());
    }

    /// Starts a daemon that does not outlive us, in a system that believes to be called `hostname`.
    fn spawn(&mut self, program: &str, arguments: &[&str], hostname: Option<&'static str>) {
        let log = fs::File::create(self.folder.join("log").join(format!("{program}-{}", self.daemons.len()))).unwrap();
        let mut command = Command::new(find(program).unwrap());
        command.args(arguments).envs([self.env()]).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // SAFETY: plain system calls between fork and exec, on memory that lives as long as the program.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                hostname.map_or(Ok(()), name_host)
            });
        }
        self.daemons.push(command.spawn().unwrap());
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let mut text = String::new();
        for name in crate::dir::names(&self.folder.join("log")) {
            let log = fs::read_to_string(self.folder.join("log").join(&name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!("{name}:\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n")));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Jobs are no children of ours: they end only when they are cancelled.
        let jobs = self.try_ask("squeue", &["-h", "-o", "%A"]).unwrap_or_default();
        if !jobs.trim().is_empty() {
            self.try_ask("scancel", &jobs.split_whitespace().collect::<Vec<_>>());
            let end = Instant::now() + Duration::from_secs(5);
            let left = || self.try_ask("squeue", &["-h", "-o", "%A"]).is_some_and(|jobs| !jobs.trim().is_empty());
            while left() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The smallest configuration that runs jobs in Slurm 22.05: two processors a node whatever the machine has, the user's own
/// rights, no accounts.
fn configuration(folder: &Path) -> String {
    let ports = free_ports();
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let (user, at) = (String::from_utf8_lossy(&user).trim().to_owned(), folder.display());
    let mut text = format!(
        "ClusterName=tokometer\nSlurmctldHost=localhost\nSlurmctldPort={}\nSlurmUser={user}\nSlurmdUser={user}\n\
         AuthType=auth/munge\nAuthInfo=socket={at}/munge.socket\n\
         StateSaveLocation={at}/state\nSlurmdSpoolDir={at}/%n\n\
         SlurmctldPidFile={at}/slurmctld.pid\nSlurmdPidFile={at}/%n.pid\n\
         SlurmctldLogFile={at}/log/slurmctld\nSlurmdLogFile={at}/log/%n\n\
         SlurmdParameters=config_overrides\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
         AccountingStorageType=accounting_storage/none\nMpiDefault=none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
         SchedulerType=sched/backfill\nSchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0\n\
         ReturnToService=2\nKillWait=2\n",
        ports[0]
    );
    for (i, node) in NODES.iter().enumerate() {
        let feature = if i == 0 { " Feature=fast" } else { "" };
        text.push_str(&format!(
            "NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={} CPUs=2 RealMemory=1000{feature}\n",
            ports[i + 1]
        ));
    }
    text.push_str("PartitionName=main Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP\n");
    text
}

/// Ports that nobody listens on: one for the controller, one for each node.
fn free_ports() -> [u16; 4] {
    let listeners = [0; 4].map(|_: i32| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A program on PATH, or where daemons lie.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Gives this process a hostname of its own.
fn name_host(name: &str) -> io::Result<()> {
    // SAFETY: plain system calls; the name is as long as is said.
    let done =
        unsafe { libc::unshare(libc::CLONE_NEWUTS) == 0 && libc::sethostname(name.as_ptr().cast(), name.len()) == 0 };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether that is allowed here.
fn may_name_hosts() -> bool {
    let mut command = Command::new("true");
    // SAFETY: as in `spawn`.
    unsafe { command.pre_exec(|| name_host("probe")) };
    command.status().is_ok_and(|status| status.success())
}
