//! The state of a group whose plan reads from other plans, or reports to one.

use weir_schema::{Cause, EventTime, EvidenceItem, GroupLink, TimeMark};

use super::run::RunEntry;

/// An anchor that was reported: its last event, with the mark of that event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportedAnchor {
    pub item: EvidenceItem,
    pub time_mark: Option<TimeMark>,
}

/// The part of a group that exists only in a chain of plans.
#[derive(Clone, Debug, Default)]
pub struct ChainState {
    /// The group of the plan that this one reports to, then the group after that, and so on.
    pub links: Vec<GroupLink>,
    /// The anchors that were reported and are not settled, in order of time.
    pub reported: Vec<ReportedAnchor>,
    /// Entries that earlier stages retracted; removed at the next evaluation.
    pub retracted: Vec<RunEntry>,
    /// The cause of this epoch's changes, where they came from another plan.
    pub cause: Option<Cause>,
}

impl ChainState {
    /// Forgets the reported anchors before `line`.
    pub fn forget_before(&mut self, line: EventTime) {
        let settled = self.reported.partition_point(|one| one.item.time < line);
        self.reported.drain(..settled);
    }

    /// Forgets the reported anchors at or after `end`, the former end of a plan that grows: the
    /// plan that reads it ended there, too, and refused them.
    pub fn forget_reports_from(&mut self, end: EventTime) {
        let refused = self.reported.partition_point(|one| one.item.time < end);
        self.reported.truncate(refused);
    }

    pub fn heap_bytes(&self) -> usize {
        let links = self.links.capacity() * size_of::<GroupLink>();
        let reported = self.reported.capacity() * size_of::<ReportedAnchor>();
        let retracted = self.retracted.capacity() * size_of::<RunEntry>();
        size_of::<Self>() + links + reported + retracted
    }
}
