//! How far the sweep is: everything that is reported goes to the terminal as usual, and a summary of it into a file that
//! other terminals read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokometer_core::clock;
use tokometer_core::machine::Machine;
use tokometer_core::progress::{Progress, Task, Unit};
use tokometer_core::sweep::{Best, Live, Place};

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
    /// Seconds that the blocks after this one will take.
    after: Option<f64>,
    /// Seconds that this block was expected to take.
    own: Option<f64>,
    began: Instant,
    /// Repetitions that were measured before this process began with the block.
    before: u64,
    written: Option<Instant>,
}

impl Follow {
    /// Beside that progress.
    pub fn new(inner: Arc<dyn Progress>, place: Option<Place>) -> Follow {
        let live = Live { pid: std::process::id(), host: Machine::this().hostname, ..Live::default() };
        let state = State { live, after: None, own: None, began: Instant::now(), before: 0, written: None };
        Follow { inner, place, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another stage begins.
    pub fn stage(&self, name: &str) {
        let mut state = self.state();
        state.live.stage = name.to_owned();
        state.live.doing.clear();
        self.write(&mut state, true);
    }

    /// A block begins; `left` are the seconds for it and all after it, `own` those for it alone.
    pub fn block(&self, number: (usize, usize), best: Option<Best>, left: Option<f64>, own: Option<f64>) {
        let mut state = self.state();
        state.live.stage = "measure".into();
        state.live.block = number;
        state.live.best = best;
        state.live.repetitions = (0, 0);
        state.live.eta_s = left;
        state.after = left.map(|left| (left - own.unwrap_or(0.0)).max(0.0));
        state.own = own;
        state.began = Instant::now();
        state.before = 0;
        self.write(&mut state, true);
    }

    /// What is going on, where it is no block.
    pub fn doing(&self, text: &str) {
        let mut state = self.state();
        text.clone_into(&mut state.live.doing);
        self.write(&mut state, false);
    }

    /// What is handed to the stages.
    pub fn progress(follow: &Arc<Follow>) -> Following {
        Following(Arc::clone(follow))
    }

    fn write(&self, state: &mut State, now: bool) {
        let Some(place) = &self.place else { return };
        if !now && state.written.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        state.written = Some(Instant::now());
        state.live.updated_utc = clock::now_utc();
        state.live.write(place);
    }
}

impl State {
    /// The end, from how fast this block goes.
    fn foresee(&mut self) {
        let (done, all) = self.live.repetitions;
        let fresh = done.saturating_sub(self.before);
        let own = match fresh > 0 && all >= done {
            true => Some(self.began.elapsed().as_secs_f64() * (all - done) as f64 / fresh as f64),
            false => self.own,
        };
        self.live.eta_s = own.map(|own| own + self.after.unwrap_or(0.0));
    }
}

/// See [`Follow::progress`].
pub struct Following(Arc<Follow>);

impl Progress for Following {
    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        let inner = self.0.inner.task(label, total, unit);
        self.0.state().live.repetitions = (0, total.unwrap_or(0));
        Box::new(FollowedTask { inner, follow: Arc::clone(&self.0), began: false.into() })
    }

    fn note(&self, text: &str) {
        self.0.inner.note(text);
    }

    fn warn(&self, text: &str) {
        self.0.inner.warn(text);
    }
}

struct FollowedTask {
    inner: Box<dyn Task>,
    follow: Arc<Follow>,
    /// Whether anything was measured by this process.
    began: std::sync::atomic::AtomicBool,
}

impl Task for FollowedTask {
    fn advance(&self, n: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        self.inner.advance(n);
        let mut state = self.follow.state();
        state.live.repetitions.0 += n;
        // The first step of a run that is gone on with is what had been measured before.
        if !self.began.swap(true, Relaxed) && n > 1 {
            state.before = n;
        }
        state.foresee();
        self.follow.write(&mut state, false);
    }

    fn expect(&self, total: u64) {
        self.inner.expect(total);
        self.follow.state().live.repetitions.1 = total;
    }

    fn detail(&self, text: &str) {
        self.inner.detail(text);
        let mut state = self.follow.state();
        text.clone_into(&mut state.live.doing);
        self.follow.write(&mut state, false);
    }

    fn finish(self: Box<Self>, summary: &str) {
        self.inner.finish(summary);
    }
}
