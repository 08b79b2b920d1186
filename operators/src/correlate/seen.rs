//! Which members of a plan the events of a window are of.

use weir_schema::Plan;

use super::run::Entry;

/// How many entries of the window each member has.
#[derive(Debug)]
pub struct Seen([u32; Plan::MEMBERS_MAX]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; Plan::MEMBERS_MAX])
    }
}

impl Seen {
    pub fn has(&self, member: u16) -> bool {
        self.0.get(usize::from(member)).is_some_and(|n| *n > 0)
    }

    pub fn add(&mut self, entry: &Entry) {
        self.change(entry, |n| n + 1);
    }

    pub fn remove(&mut self, entry: &Entry) {
        self.change(entry, |n| n - 1);
    }

    fn change(&mut self, entry: &Entry, change: impl Fn(u32) -> u32) {
        let mut members = entry.mark.members();
        while members != 0 {
            let member = members.trailing_zeros() as usize;
            self.0[member] = change(self.0[member]);
            members &= members - 1;
        }
    }
}
