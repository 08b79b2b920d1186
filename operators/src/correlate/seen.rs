//! Which members of a plan the events of a window are of.

use super::run::{Entry, Run};

/// When an event of each member came last, up to now: the window that ends now has the member if
/// that lies in it. So nothing has to be done where an event leaves the window.
#[derive(Debug, Default)]
pub struct Seen {
    last: Vec<Option<i64>>,
}

impl Seen {
    pub fn new(members: usize) -> Self {
        Self {
            last: vec![None; members],
        }
    }

    /// Whether an event of `member` lies in the window that begins at `low`.
    pub fn has(&self, member: u16, low: i64) -> bool {
        let last = self.last.get(usize::from(member)).copied().flatten();
        last.is_some_and(|last| last >= low)
    }

    /// Takes an event in, in any order.
    pub fn add(&mut self, entry: &Entry) {
        let mut members = entry.mark.members();
        while members != 0 {
            if let Some(last) = self.last.get_mut(members.trailing_zeros() as usize) {
                *last = (*last).max(Some(entry.time));
            }
            members &= members - 1;
        }
    }

    /// Takes in what of `run` is in `[low, before)`, from the newest on, until each of the members
    /// `wanted`, a bit each, was met.
    pub fn look_back(&mut self, run: &Run, mut wanted: u64, low: i64, before: i64) {
        let entries = &run.entries()[..run.before(before)];
        for entry in entries.iter().rev() {
            if wanted == 0 || entry.time < low {
                break;
            }
            if entry.mark.members() & wanted != 0 {
                self.add(entry);
                wanted &= !entry.mark.members();
            }
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.last.capacity() * size_of::<Option<i64>>()
    }
}
