//! What is measured at the same time: with `--overlap` the blocks of different GPUs, each lane in a thread of its own, and
//! everything else one block after the other.

use super::measure::Measuring;
use anyhow::Result;
use std::panic::resume_unwind;
use tokometer_core::plan::Case;
use tokometer_core::plan::sweep::Block;
use tokometer_core::sweep::{Company, Lane, Order};

/// The lane in which a block is measured.
pub struct InLane<'a> {
    /// The lane.
    pub lane: &'a Lane,
    /// Who is measured beside it.
    pub company: &'a Company,
    /// How many lanes share the machine's memory.
    pub lanes: u64,
}

impl Measuring<'_> {
    /// Measures all open cases of these blocks, given by number; `overlap`: different GPUs at the same time. Returns whether
    /// it came to the end.
    pub fn all(&self, blocks: &[usize], overlap: bool) -> Result<bool> {
        let terminal = self.session.terminal;
        terminal.say(&format!("measuring on {}", self.machine.line()));
        let order = if overlap { self.order(blocks) } else { Order::in_turn(blocks) };
        if overlap && order.at_once.is_empty() {
            terminal.say("nothing overlaps: no two blocks to be measured name GPUs that are certainly different ones");
        }
        for (at, lanes) in order.at_once.iter().enumerate() {
            if !self.at_once(lanes, self.time_after(&order, at + 1))? {
                return Ok(false);
            }
        }
        self.in_turn(&order.alone, None)
    }

    /// Lanes for the cases that are to be started.
    fn order(&self, blocks: &[usize]) -> Order {
        let cases = |at: &usize| Some((*at, self.to_start(self.stored.blocks.get(*at)?)));
        let blocks: Vec<(usize, Vec<&Case>)> = blocks.iter().filter_map(cases).collect();
        Order::overlapping(&blocks, |case| self.shelf.has_gpu(case))
    }

    fn to_start<'b>(&self, block: &'b Block) -> Vec<&'b Case> {
        let open = self.open(block).into_iter();
        open.filter(|planned| self.shelf.take(planned).is_ok()).map(|planned| &planned.case).collect()
    }

    /// Seconds for what comes after the first `sets` of lanes, as far as can be told.
    fn time_after(&self, order: &Order, sets: usize) -> Option<f64> {
        let slowest = |lanes: &Vec<Lane>| lanes.iter().filter_map(|lane| self.left(&lane.blocks)).reduce(f64::max);
        let sets = order.at_once[sets..].iter().filter_map(slowest);
        sets.chain(self.left(&order.alone)).reduce(|a, b| a + b)
    }

    /// Measures lanes at the same time. A block that fails stops nobody, a record that cannot be written stops all: it could
    /// not be written for the others either.
    fn at_once(&self, lanes: &[Lane], after: Option<f64>) -> Result<bool> {
        let names: Vec<&str> = lanes.iter().map(|lane| lane.device.as_str()).collect();
        self.session.terminal.say(&format!(
            "{} are measured at the same time; they share the processor and the power supply, and their rows say so",
            names.join(", ")
        ));
        self.follow.lanes(after);
        let company = Company::default();
        let one = |lane: &Lane| {
            let within = InLane { lane, company: &company, lanes: lanes.len() as u64 };
            let result = self.in_turn(&lane.blocks, Some(&within));
            self.follow.lane_over(&lane.device);
            if result.is_err() {
                self.stop.after_case();
            }
            result
        };
        let one = &one;
        let results: Vec<Result<bool>> = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes.iter().map(|lane| scope.spawn(move || one(lane))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        results.into_iter().try_fold(true, |all, ended| Ok(all & ended?))
    }
}
