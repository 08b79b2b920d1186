//! One group of one plan: its events, its episodes, and what is left of them once they are settled.
//!
//! ```text
//!   forgotten │ window of the       │ settled line A            W
//!             │ earliest open anchor│
//!  ───────────┼─────────────────────┼──────────────●──●───●─────●──────► event time
//!             A - w                 A              anchors that an event may still change
//!  ◄─ summary of the last episode ──►
//! ```
//!
//! **Invariant.** Anchors before `frozen` never change again: no event before it is let in. Windows
//! of the others reach back to `frozen - w`, so entries before that may go, once the part of each
//! episode that lies before `frozen` is held as a summary.

use std::sync::Arc;

use weir_schema::{AlertRow, AlertState, Evidence};

use super::chain::Chained;
use super::episode::{Episode, Said, Stretch, Summary, assign, glue};
use super::evidence::{evidence, head};
use super::fault::{self, Fault};
use super::identity::{Waits, source_at};
use super::run::{Entry, Run};
use super::tail::Tail;
use super::windows::Condition;

/// Buffers that one group after another uses.
#[derive(Debug, Default)]
pub struct Scratch {
    times: Vec<i64>,
    dirty: Vec<(i64, i64)>,
    firing: Vec<i64>,
}

impl Scratch {
    /// Whether the last group that was settled was given an event of this time.
    pub fn came(&self, time: i64) -> bool {
        self.times.contains(&time)
    }
}

/// State of one group. Times are event times in nanoseconds.
#[derive(Debug)]
pub struct Group {
    /// Events that are anchors and count.
    pub run: Run,
    /// Events that only a negation reads.
    pub others: Run,
    /// The window of the newest anchor, where it is worth keeping.
    pub tail: Tail,
    /// In order of time, not overlapping, further apart than the timespan.
    pub episodes: Vec<Episode>,
    /// Anchors before it never change again.
    pub frozen: i64,
    /// Whether the group waits in the list of those that this epoch touched.
    pub touched: bool,
    /// Whether the calendar knows when it can next forget something.
    pub expected: bool,
    /// Of a group whose plan hears others, or is heard by another.
    pub chain: Option<Box<Chained>>,
}

impl Group {
    pub fn new(frozen: i64) -> Self {
        Self {
            run: Run::default(),
            others: Run::default(),
            tail: Tail::default(),
            episodes: Vec::new(),
            frozen,
            touched: false,
            expected: false,
            chain: None,
        }
    }

    /// A group that holds and has said the same; between epochs.
    pub fn copy(&self) -> Self {
        Self {
            run: self.run.copy(),
            others: self.others.copy(),
            tail: Tail::default(),
            episodes: self.episodes.clone(),
            ..Self::new(self.frozen)
        }
    }

    pub fn push(&mut self, entry: Entry, condition: &Condition) {
        if condition.is_anchor(&entry) {
            self.run.push(entry);
        } else {
            self.others.push(entry);
        }
    }

    /// Whether what was pushed can make nothing fire, and nothing has fired.
    pub fn is_quiet(&self, condition: &Condition) -> bool {
        self.episodes.is_empty() && condition.is_out_of_reach(&self.run)
    }

    /// Takes in what was pushed without looking at it; for a group that is quiet.
    pub fn absorb(&mut self, condition: &Condition, scratch: &mut Scratch) {
        scratch.times.clear();
        self.tail.clear();
        self.run.settle(&mut scratch.times);
        self.others.settle(&mut scratch.times);
        self.take_out(condition, &mut scratch.dirty);
    }

    /// Takes out what other plans have taken back; adds what that can change to `dirty`.
    fn take_out(&mut self, condition: &Condition, dirty: &mut Vec<(i64, i64)>) {
        let Some(chain) = self.chain.as_mut().filter(|chain| !chain.gone.is_empty()) else {
            return;
        };
        self.tail.clear();
        for entry in chain.gone.drain(..) {
            let run = match condition.is_anchor(&entry) {
                true => &mut self.run,
                false => &mut self.others,
            };
            if run.pull(&entry) && !fault::active(Fault::NeverTakenOut) {
                let end = entry.time.saturating_add(condition.timespan);
                dirty.push((condition.reach_back(entry.time), end));
            }
        }
    }

    /// Takes in what was pushed: re-evaluates the anchors that it can have changed. Returns the
    /// stretch of time in which episodes may have changed, if there is any, and the alerts whose
    /// episodes are gone. Anchors after `open` are not concluded yet.
    pub fn settle(
        &mut self,
        (condition, open): (&Condition, i64),
        gone: &mut Vec<Said>,
        scratch: &mut Scratch,
    ) -> Option<(i64, i64)> {
        let Scratch {
            times,
            dirty,
            firing,
        } = scratch;
        times.clear();
        dirty.clear();
        self.tail.expect(self.run.pushed());
        self.tail.expect(self.others.pushed());
        self.run.settle(times);
        let ours = times.len();
        if condition.is_silence()
            && let Some(first) = times.first()
        {
            let neighbour = first.saturating_sub(condition.timespan);
            self.run.thin(neighbour, condition.timespan);
        }
        self.others.settle(times);
        for (place, time) in times.iter().enumerate() {
            let end = if place < ours {
                condition.reach(&self.run, *time)
            } else {
                time.saturating_add(condition.timespan)
            };
            dirty.push((condition.reach_back(*time), end));
        }
        self.take_out(condition, dirty);
        dirty.sort_unstable();
        let all = (dirty.first()?.0, dirty.iter().map(|range| range.1).max()?);
        let mut ranges = dirty.drain(..);
        let mut current = ranges.next()?;
        for next in ranges {
            if next.0 <= current.1 {
                current.1 = current.1.max(next.1);
            } else {
                self.admit(current, (condition, open), gone, firing);
                current = next;
            }
        }
        self.admit(current, (condition, open), gone, firing);
        let reach = condition.timespan.saturating_mul(2);
        Some((
            all.0.saturating_sub(condition.timespan),
            all.1.saturating_add(reach),
        ))
    }

    /// Re-evaluates a stretch to which events were added, unless they cannot have changed it.
    fn admit(
        &mut self,
        mut range: (i64, i64),
        (condition, open): (&Condition, i64),
        gone: &mut Vec<Said>,
        firing: &mut Vec<i64>,
    ) {
        // What is added stops nothing that is monotone, and inside an episode it starts nothing.
        if condition.monotone && condition.additive {
            let place = self
                .episodes
                .partition_point(|episode| episode.to < range.0);
            let episode = self.episodes.get(place);
            if let Some(episode) = episode.filter(|episode| episode.from <= range.0) {
                if episode.to >= range.1 {
                    return;
                }
                range.0 = episode.to.saturating_add(1);
            }
        }
        self.reevaluate(range, (condition, open), gone, firing);
    }

    /// Evaluates the anchors in `[from, to]` anew and mends the episodes around them. Those after
    /// `open` do not fire.
    pub fn reevaluate(
        &mut self,
        (from, to): (i64, i64),
        (condition, open): (&Condition, i64),
        gone: &mut Vec<Said>,
        firing: &mut Vec<i64>,
    ) {
        let from = from.max(self.frozen);
        if from > to {
            return; // Settled.
        }
        let w = condition.timespan;
        let low = self
            .episodes
            .partition_point(|episode| episode.to.saturating_add(w) < from);
        let high = low
            + self.episodes[low..].partition_point(|episode| episode.from <= to.saturating_add(w));
        firing.clear();
        let runs = (&self.run, &self.others);
        let start = self.start_near(&self.episodes[low..high], from);
        condition.firing(runs, (start, to.min(open)), &mut self.tail, firing);
        if low == high && firing.is_empty() {
            return;
        }
        let (before, firing) = firing.split_at(firing.partition_point(|time| *time < from));
        let old: Vec<Episode> = self.episodes.drain(low..high).collect();
        let mut stretches: Vec<Stretch> = Vec::with_capacity(old.len() + 1);
        for episode in old.iter().filter(|episode| episode.from < from) {
            let known = before.last().filter(|time| **time >= episode.from);
            let to = match known {
                Some(last) if episode.to >= from => *last,
                _ => self.last_before(episode, from, condition),
            };
            stretches.push(Stretch {
                from: episode.from,
                to,
            });
        }
        stretches.extend(firing.iter().map(|t| Stretch { from: *t, to: *t }));
        for episode in old.iter().filter(|episode| episode.to > to) {
            let start = if episode.from > to {
                Some(episode.from)
            } else {
                condition.first_firing(&self.run, &self.others, to, episode.to)
            };
            if let Some(start) = start {
                stretches.push(Stretch {
                    from: start,
                    to: episode.to,
                });
            }
        }
        let new = assign(glue(stretches, w), old, w, gone);
        self.episodes.splice(low..low, new);
    }

    /// From where to evaluate anchors so that the last one that fires before `from`, where an episode
    /// goes on over it, is likely among them: it is nearly always the neighbour.
    fn start_near(&self, episodes: &[Episode], from: i64) -> i64 {
        const NEIGHBOURS: usize = 4;
        let over = |episode: &&Episode| episode.from < from && episode.to >= from;
        let Some(episode) = episodes.iter().find(over) else {
            return from;
        };
        let place = self.run.before(from).saturating_sub(NEIGHBOURS);
        let near = self.run.entries().get(place).map(|entry| entry.time);
        let near = near.unwrap_or(from).max(episode.from);
        near.max(self.frozen).min(from)
    }

    /// The last firing anchor of `episode` before `before`, which is not before `frozen`.
    fn last_before(&self, episode: &Episode, before: i64, condition: &Condition) -> i64 {
        if episode.to < before {
            return episode.to;
        }
        let floor = episode.from.max(self.frozen);
        condition
            .last_firing(&self.run, &self.others, floor, before)
            .or(episode.summary.as_ref().map(|summary| summary.last))
            .unwrap_or(episode.from)
    }

    /// Settles what lies before `line`: holds it in summaries and never evaluates it again.
    pub fn freeze(&mut self, line: i64, condition: &Condition) {
        if line <= self.frozen {
            return;
        }
        for place in 0..self.episodes.len() {
            let episode = &self.episodes[place];
            if episode.from >= line {
                break;
            }
            let last = self.last_before(episode, line, condition);
            let known = episode
                .summary
                .as_ref()
                .is_some_and(|summary| summary.last >= last);
            if !known && !fault::active(Fault::LostSummary) {
                let (summary, _) = self.measure(episode, last, condition);
                self.episodes[place].summary = Some(Box::new(summary));
            }
        }
        self.frozen = line;
    }

    /// What was said of the episodes that [`Self::forget`] would drop.
    pub fn bygone(&self, condition: &Condition) -> Vec<Arc<AlertRow>> {
        let line = self.frozen.saturating_sub(condition.timespan);
        let gone = self.episodes.iter().filter(|episode| episode.to < line);
        let said = gone.filter_map(|episode| episode.said.as_ref());
        said.filter_map(|said| said.row.clone()).collect()
    }

    /// Forgets what no anchor at or after `frozen` can see. What was said stands.
    pub fn forget(&mut self, condition: &Condition) {
        let mut line = self.frozen.saturating_sub(condition.timespan);
        self.episodes.retain(|episode| episode.to >= line);
        if fault::active(Fault::FactsOnlyToLine) {
            line = self.frozen;
        }
        self.tail.forget_before(line);
        let forgotten = self.run.forget_before(line);
        for episode in &mut self.episodes {
            episode.low_hint = episode.low_hint.saturating_sub(forgotten);
        }
        self.others.forget_before(line);
        if let Some(chain) = &mut self.chain {
            chain.forget_before(self.frozen);
        }
    }

    /// First event, last anchor, count and evidence of `episode` up to its firing anchor `to`, and
    /// where its first member stands in the run.
    pub fn measure(&self, episode: &Episode, to: i64, condition: &Condition) -> (Summary, usize) {
        let entries = self.run.entries();
        let high = self.run.up_to(to);
        let Some(summary) = &episode.summary else {
            let start = condition.members_from(episode.from);
            let low = self.run.before_near(start, episode.low_hint);
            let members = &entries[low..high];
            let row = episode.said.as_ref().and_then(|said| said.row.as_ref());
            let row = row.filter(|_| condition.additive);
            let summary = Summary {
                first: members.first().map_or(episode.from, |entry| entry.time),
                last: to,
                count: members.len() as u64,
                evidence: evidence(head(members, row), &[], members),
            };
            return (summary, low);
        };
        let after = summary.last.saturating_add(1);
        let low = self.run.before_near(after, episode.low_hint).min(high);
        let members = &entries[low..high];
        let Evidence { head, tail } = &summary.evidence;
        let summary = Summary {
            first: summary.first,
            last: to,
            count: summary.count + members.len() as u64,
            evidence: evidence((head.clone(), 0), tail, members),
        };
        (summary, low)
    }

    /// What the alerts wait for that were said last.
    pub fn waits(&self) -> Waits {
        let mut waits = Waits::default();
        for episode in &self.episodes {
            let row = episode.said.as_ref().and_then(|said| said.row.as_ref());
            match row.map(|row| row.state) {
                Some(AlertState::Provisional) => waits.provisional.push(episode.from),
                Some(AlertState::Blind) => {
                    let source = source_at(self, episode.to);
                    waits
                        .blind
                        .extend(source.map(|source| (source, episode.to)));
                }
                Some(AlertState::Confirmed | AlertState::SupersededBy(_)) | None => {}
            }
        }
        waits
    }

    /// Whether nothing of the group needs keeping.
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.others.is_empty() && self.episodes.is_empty()
    }

    /// Bytes on the heap, roughly: entries, episodes and their evidence.
    pub fn heap_bytes(&self) -> usize {
        let episodes = self.episodes.capacity() * size_of::<Episode>();
        let chain = self.chain.as_ref().map_or(0, |chain| chain.heap_bytes());
        let runs = self.run.heap_bytes() + self.others.heap_bytes();
        runs + self.tail.heap_bytes() + episodes + chain
    }
}
