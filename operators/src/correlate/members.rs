//! The members of a plan that have an event in a window.

use weir_schema::EventTime;

use super::run::{EventRun, RunEntry};

/// The time of the latest event of each member.
///
/// **Invariant.** The window that ends now contains a member if that time lies in the window, so
/// nothing has to be done when an event leaves the window.
///
/// **Cost.** O(1) per event and member, for any length of the window.
#[derive(Debug, Default)]
pub struct MemberTimes {
    latest: Vec<Option<EventTime>>,
}

impl MemberTimes {
    pub fn new(members: usize) -> Self {
        Self {
            latest: vec![None; members],
        }
    }

    /// Whether an event of `member` lies in the window that begins at `low`.
    pub fn has(&self, member: u16, low: EventTime) -> bool {
        let latest = self.latest.get(usize::from(member)).copied().flatten();
        latest.is_some_and(|latest| latest >= low)
    }

    /// Adds an event, in any order.
    pub fn add(&mut self, entry: &RunEntry) {
        let mut members = entry.mark.members();
        while members != 0 {
            if let Some(latest) = self.latest.get_mut(members.trailing_zeros() as usize) {
                *latest = (*latest).max(Some(entry.time));
            }
            members &= members - 1;
        }
    }

    /// Adds the events of `run` in `[low, before)`, newest first, until each wanted member has one.
    ///
    /// `wanted` has one bit per member.
    pub fn look_back(
        &mut self,
        run: &EventRun,
        mut wanted: u64,
        low: EventTime,
        before: EventTime,
    ) {
        let entries = &run.entries()[..run.count_before(before)];
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
        self.latest.capacity() * size_of::<Option<EventTime>>()
    }
}
