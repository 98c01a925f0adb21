//! How far the sweep is: everything that is reported goes to the terminal as usual, and a summary of it into a file that
//! other terminals read. Lanes that are measured at the same time report through one [`Follow`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokometer_core::clock;
use tokometer_core::machine::Machine;
use tokometer_core::progress::{Progress, Task, Unit};
use tokometer_core::sweep::{Best, Live, LiveLane, Place};

/// Between two writings of the file.
const INTERVAL: Duration = Duration::from_millis(500);

/// Tells the terminal and the file.
pub struct Follow {
    inner: Arc<dyn Progress>,
    /// None for a task of a cluster: who submitted it tells how far all of them are.
    place: Option<Place>,
    state: Mutex<State>,
}

struct State {
    live: Live,
    /// The blocks under way by the device of their lane; `None` where nothing is measured beside it.
    blocks: BTreeMap<Option<String>, Pace>,
    /// Seconds for all that comes after the lanes.
    after: Option<f64>,
    written: Option<Instant>,
}

/// How far a block is.
struct Pace {
    /// Its number, and how many there are.
    number: (usize, usize),
    /// Repetitions that are measured, and all of them.
    repetitions: (u64, u64),
    doing: String,
    /// Seconds that the blocks after this one will take, in its lane.
    after: Option<f64>,
    /// Seconds that this block was expected to take.
    own: Option<f64>,
    began: Instant,
    /// Repetitions that were measured before this process began with the block.
    before: u64,
}

impl Follow {
    /// Beside that progress.
    pub fn new(inner: Arc<dyn Progress>, place: Option<Place>) -> Follow {
        let live = Live { pid: std::process::id(), host: Machine::this().hostname, ..Live::default() };
        let state = State { live, blocks: BTreeMap::new(), after: None, written: None };
        Follow { inner, place, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another stage begins.
    pub fn stage(&self, name: &str) {
        let mut state = self.state();
        state.blocks.clear();
        state.live.stage = name.to_owned();
        state.live.doing.clear();
        self.write(&mut state, true);
    }

    /// Lanes begin that are measured at the same time; `after` are the seconds for all that comes after them.
    pub fn lanes(&self, after: Option<f64>) {
        let mut state = self.state();
        state.blocks.clear();
        state.after = after;
    }

    /// The lane on that device has come to its end.
    pub fn lane_over(&self, device: &str) {
        let mut state = self.state();
        state.blocks.remove(&Some(device.to_owned()));
        self.write(&mut state, true);
    }

    /// A block begins, in the lane on that device if it has one; `left` are the seconds for it and all after it, there,
    /// `own` those for it alone.
    pub fn block(
        &self,
        lane: Option<&str>,
        number: (usize, usize),
        best: Option<Best>,
        left: Option<f64>,
        own: Option<f64>,
    ) {
        let mut state = self.state();
        if lane.is_none() {
            state.blocks.clear();
            state.after = None;
        }
        state.live.stage = "measure".into();
        state.live.best = best;
        let after = left.map(|left| (left - own.unwrap_or(0.0)).max(0.0));
        let (repetitions, doing, began) = ((0, 0), String::new(), Instant::now());
        let pace = Pace { number, repetitions, doing, after, own, began, before: 0 };
        state.blocks.insert(lane.map(str::to_owned), pace);
        self.write(&mut state, true);
    }

    /// What is going on, where it is no block.
    pub fn doing(&self, text: &str) {
        let mut state = self.state();
        text.clone_into(&mut state.live.doing);
        self.write(&mut state, false);
    }

    /// What is handed to the stages that measure a block, of the lane on that device if it has one.
    pub fn progress(follow: &Arc<Follow>, lane: Option<&str>) -> Following {
        Following { follow: Arc::clone(follow), lane: lane.map(str::to_owned) }
    }

    /// Changes what is known of the block that a lane is at.
    fn change(&self, lane: &Option<String>, change: impl FnOnce(&mut Pace)) {
        let mut state = self.state();
        if let Some(pace) = state.blocks.get_mut(lane) {
            change(pace);
        }
        self.write(&mut state, false);
    }

    fn write(&self, state: &mut State, now: bool) {
        let Some(place) = &self.place else { return };
        if !now && state.written.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        state.written = Some(Instant::now());
        state.sum_up();
        state.live.updated_utc = clock::now_utc();
        state.live.write(place);
    }
}

impl State {
    /// Puts what is known of the blocks into the summary. It ends when its slowest lane and all after it have ended.
    fn sum_up(&mut self) {
        let live = &mut self.live;
        if !self.blocks.is_empty() {
            let alone = self.blocks.get(&None);
            live.block = alone.map_or((0, 0), |pace| pace.number);
            live.repetitions = alone.map_or((0, 0), |pace| pace.repetitions);
            live.doing = alone.map(|pace| pace.doing.clone()).unwrap_or_default();
            let left = self.blocks.values().filter_map(Pace::left).reduce(f64::max);
            live.eta_s = left.map(|left| left + self.after.unwrap_or(0.0));
        }
        let lane = |(device, pace): (&Option<String>, &Pace)| {
            let (block, repetitions, doing) = (pace.number, pace.repetitions, pace.doing.clone());
            Some(LiveLane { device: device.clone()?, block, repetitions, doing })
        };
        live.lanes = self.blocks.iter().filter_map(lane).collect();
    }
}

impl Pace {
    /// Seconds to the end of its lane, from how fast this block goes.
    fn left(&self) -> Option<f64> {
        let (done, all) = self.repetitions;
        let fresh = done.saturating_sub(self.before);
        let own = match fresh > 0 && all >= done {
            true => Some(self.began.elapsed().as_secs_f64() * (all - done) as f64 / fresh as f64),
            false => self.own,
        };
        own.into_iter().chain(self.after).reduce(|own, after| own + after)
    }
}

/// See [`Follow::progress`].
pub struct Following {
    follow: Arc<Follow>,
    lane: Option<String>,
}

impl Following {
    /// The text, with the lane that it is of.
    fn named(&self, text: &str) -> String {
        match &self.lane {
            Some(device) => format!("{device}: {text}"),
            None => text.to_owned(),
        }
    }
}

impl Progress for Following {
    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        let inner = self.follow.inner.task(&self.named(label), total, unit);
        self.follow.change(&self.lane, |pace| pace.repetitions = (0, total.unwrap_or(0)));
        let (follow, lane) = (Arc::clone(&self.follow), self.lane.clone());
        Box::new(FollowedTask { inner, follow, lane, began: false.into() })
    }

    fn note(&self, text: &str) {
        self.follow.inner.note(&self.named(text));
    }

    fn warn(&self, text: &str) {
        self.follow.inner.warn(&self.named(text));
    }
}

struct FollowedTask {
    inner: Box<dyn Task>,
    follow: Arc<Follow>,
    lane: Option<String>,
    /// Whether anything was measured by this process.
    began: AtomicBool,
}

impl Task for FollowedTask {
    fn advance(&self, n: u64) {
        self.inner.advance(n);
        // The first step of a run that is gone on with is what had been measured before.
        let first = !self.began.swap(true, Ordering::Relaxed);
        self.follow.change(&self.lane, |pace| {
            pace.repetitions.0 += n;
            if first && n > 1 {
                pace.before = n;
            }
        });
    }

    fn expect(&self, total: u64) {
        self.inner.expect(total);
        self.follow.change(&self.lane, |pace| pace.repetitions.1 = total);
    }

    fn detail(&self, text: &str) {
        self.inner.detail(text);
        self.follow.change(&self.lane, |pace| text.clone_into(&mut pace.doing));
    }

    fn finish(self: Box<Self>, summary: &str) {
        self.inner.finish(summary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::progress::Silent;

    fn summed(follow: &Follow) -> Live {
        let mut state = follow.state();
        state.sum_up();
        state.live.clone()
    }

    #[test]
    fn lanes_are_told_apart_and_the_slowest_one_gives_the_end() {
        let follow = Arc::new(Follow::new(Arc::new(Silent), None));
        follow.lanes(Some(10.0));
        follow.block(Some("GPU0"), (1, 4), None, Some(30.0), Some(20.0));
        follow.block(Some("GPU1"), (2, 4), None, Some(50.0), Some(50.0));
        let task = Follow::progress(&follow, Some("GPU1")).task("measure", Some(8), Unit::Count);
        task.detail("round 1");
        let live = summed(&follow);
        assert_eq!((live.eta_s, live.block, live.doing.as_str()), (Some(60.0), (0, 0), ""));
        let lanes: Vec<_> =
            live.lanes.iter().map(|lane| (lane.device.as_str(), lane.block, lane.repetitions)).collect();
        assert_eq!(lanes, [("GPU0", (1, 4), (0, 0)), ("GPU1", (2, 4), (0, 8))]);
        assert_eq!(live.lanes[1].doing, "round 1");
        follow.lane_over("GPU1");
        assert_eq!(summed(&follow).eta_s, Some(40.0));
        // What is measured alone has the file to itself again.
        follow.block(None, (3, 4), None, Some(5.0), None);
        let live = summed(&follow);
        assert_eq!((live.block, live.eta_s, live.lanes.len()), ((3, 4), Some(5.0), 0));
    }
}
