//! Memory for several endpoints at once: one is started when it fits beside those that run.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Memory that endpoints share. What they need is reckoned, not measured: one that has just started holds nothing yet.
pub struct Room {
    /// Bytes that were free before any was started; `None` where nobody tells.
    free: Option<u64>,
    /// Bytes of those that run.
    taken: Mutex<u64>,
    left: Condvar,
}

/// What one endpoint takes; given back when dropped.
pub struct Share<'r> {
    room: &'r Room,
    bytes: u64,
}

impl Room {
    /// So many bytes, all of them free.
    pub fn new(free: Option<u64>) -> Room {
        Room { free, taken: Mutex::new(0), left: Condvar::new() }
    }

    /// Takes so many bytes, and waits for them if need be; `waiting` then hears how many there are. What needs more than
    /// there is, or nobody knows how much, takes all of it and so runs alone.
    pub fn take(&self, bytes: Option<u64>, waiting: impl FnOnce(u64)) -> Share<'_> {
        let free = self.free.unwrap_or(u64::MAX);
        let bytes = self.free.map_or(0, |free| bytes.map_or(free, |bytes| bytes.min(free)));
        let mut taken = self.taken();
        if *taken + bytes > free {
            waiting(free - *taken);
            let is_full = |taken: &mut u64| *taken + bytes > free;
            taken = self.left.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Share { room: self, bytes }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.room.taken() -= self.bytes;
        self.room.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_does_not_fit_beside_the_others_waits_until_it_does() {
        fn there_is_room(_: u64) {
            panic!("there is room");
        }
        let room = &Room::new(Some(10));
        let (first, second) = (room.take(Some(6), there_is_room), room.take(Some(4), there_is_room));
        let (sender, left) = channel();
        std::thread::scope(|scope| {
            let third = scope.spawn(move || {
                let _share = room.take(Some(5), |left| sender.send(left).unwrap());
                *room.taken()
            });
            assert_eq!(left.recv().unwrap(), 0);
            drop(second);
            drop(first);
            // Beside the first it did not fit.
            assert_eq!(third.join().unwrap(), 5);
        });
        assert_eq!(*room.taken(), 0);
    }

    #[test]
    fn what_is_too_large_or_unknown_runs_alone_and_where_nobody_tells_nothing_waits() {
        let room = Room::new(Some(10));
        assert_eq!(room.take(Some(99), |_| ()).bytes, 10);
        assert_eq!(room.take(None, |_| ()).bytes, 10);
        let room = Room::new(None);
        let shares = [Some(u64::MAX), None, Some(7)].map(|bytes| room.take(bytes, |_| panic!("nobody knows")));
        assert!(shares.iter().all(|share| share.bytes == 0));
    }
}
