//! Recorded answers of Slurm 22.05, and a shell that gives them.

use super::{Result, Said, Shell};
pub use crate::record::testing::Dir;
use std::cell::RefCell;
use std::collections::VecDeque;

/// `squeue -h -r -t all -o '%F|%K|%T|%N|%r'`.
pub const SQUEUE: &str = "\
1|5|PENDING||JobArrayTaskLimit
1|0|COMPLETED|n1|None
1|2|FAILED|n1|NonZeroExitCode
1|4|RUNNING|n1|None
9|0|NODE_FAIL|n2|NodeDown
10|7|TIMEOUT|n1|TimeLimit
";

/// `scontrol -o show job 1_1`.
pub const SCONTROL_FAILED: &str = "JobId=3 ArrayJobId=1 ArrayTaskId=1 ArrayTaskThrottle=2 JobName=tok UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901759 Nice=0 Account=(null) QOS=(null) JobState=FAILED Reason=NonZeroExitCode Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=3:0 RunTime=00:00:00 TimeLimit=365-00:00:00 TimeMin=N/A Partition=main ReqNodeList=(null) ExcNodeList=(null) NodeList=n2 BatchHost=n2 NumNodes=1 NumCPUs=2 WorkDir=/tmp StdOut=/tmp/1_1.out Power= \n";

/// Part of `scontrol show config`.
pub const CONFIG: &str = "Configuration data as of 2026-11-29T17:29:02\nMaxArraySize            = 1001\nMaxJobCount             = 10000\nSchedulerParameters     = bf_interval=1,max_array_tasks=500\n";

/// A cluster that answers from a list: the first entry whose words begin the command line is used up.
#[derive(Default)]
pub struct Recorded {
    answers: RefCell<VecDeque<(String, Said)>>,
    /// Every command line that was run.
    pub asked: RefCell<Vec<String>>,
}

impl Recorded {
    /// The next command that begins with `words` prints `out`.
    pub fn says(&self, words: &str, out: &str) -> &Recorded {
        self.answer(words, Said { code: Some(0), out: out.to_owned(), err: String::new() })
    }

    /// The next command that begins with `words` fails.
    pub fn fails(&self, words: &str, err: &str) -> &Recorded {
        self.answer(words, Said { code: Some(1), out: String::new(), err: err.to_owned() })
    }

    fn answer(&self, words: &str, said: Said) -> &Recorded {
        self.answers.borrow_mut().push_back((words.to_owned(), said));
        self
    }

    /// The command lines that began so.
    pub fn asked(&self, words: &str) -> Vec<String> {
        self.asked.borrow().iter().filter(|line| line.starts_with(words)).cloned().collect()
    }
}

impl Shell for Recorded {
    fn ask(&self, program: &str, arguments: &[String]) -> Result<Said> {
        let line = [&[program.to_owned()][..], arguments].concat().join(" ");
        self.asked.borrow_mut().push(line.clone());
        let mut answers = self.answers.borrow_mut();
        let place = answers.iter().position(|(words, _)| line.starts_with(words));
        match place.and_then(|place| answers.remove(place)) {
            Some((_, said)) => Ok(said),
            None => Ok(Said { code: Some(1), out: String::new(), err: format!("nothing recorded for {line}") }),
        }
    }
}
