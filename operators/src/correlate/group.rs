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

use weir_schema::{AlertId, AlertRow, Epoch, Evidence, EvidenceItem};

use super::fault::{self, Fault};
use super::run::{Entry, Run};
use super::windows::Condition;

/// The part of an episode before the settled line: what forgetting may not lose.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Time of its first member event.
    pub first: i64,
    /// Its last firing anchor before the settled line.
    pub last: i64,
    /// Member events in the union of its firing windows up to `last`.
    pub count: u64,
    pub evidence: Evidence,
}

/// Firing anchors whose gaps are no longer than the timespan.
#[derive(Debug)]
pub struct Episode {
    /// First and last firing anchor.
    pub from: i64,
    pub to: i64,
    pub summary: Option<Box<Summary>>,
    pub said: Option<Said>,
    /// Where its first member event was found last.
    pub low_hint: usize,
}

/// Buffers that one group after another uses.
#[derive(Debug, Default)]
pub struct Scratch {
    times: Vec<i64>,
    dirty: Vec<(i64, i64)>,
    firing: Vec<i64>,
}

/// The alert as which an episode was said aloud.
#[derive(Debug)]
pub struct Said {
    /// First firing anchor of the episode when `row` was said.
    pub from: i64,
    pub alert: AlertId,
    pub raised: Epoch,
    pub supersedes: Vec<AlertId>,
    /// The row that stands for it downstream.
    pub row: Option<Arc<AlertRow>>,
    /// Rows of the alerts that it swallowed since `row` was said.
    pub taken_back: Vec<Arc<AlertRow>>,
}

/// State of one group. Times are event times in nanoseconds.
#[derive(Debug)]
pub struct Group {
    /// Events that are anchors and count.
    pub run: Run,
    /// Events that only a negation reads.
    pub others: Run,
    /// In order of time, not overlapping, further apart than the timespan.
    pub episodes: Vec<Episode>,
    /// Anchors before it never change again.
    pub frozen: i64,
    /// Whether the group waits in the list of those that this epoch touched.
    pub touched: bool,
    /// Whether the calendar knows when it can next forget something.
    pub expected: bool,
}

/// A stretch of firing anchors on the way to becoming an episode.
struct Stretch {
    from: i64,
    to: i64,
}

impl Group {
    pub fn new(frozen: i64) -> Self {
        Self {
            run: Run::default(),
            others: Run::default(),
            episodes: Vec::new(),
            frozen,
            touched: false,
            expected: false,
        }
    }

    pub fn push(&mut self, entry: Entry, condition: &Condition) {
        if entry.members & condition.positive != 0 {
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
    pub fn absorb(&mut self, scratch: &mut Scratch) {
        scratch.times.clear();
        self.run.settle(&mut scratch.times);
        self.others.settle(&mut scratch.times);
    }

    /// Takes in what was pushed: re-evaluates the anchors that it can have changed. Returns the
    /// stretch of time in which episodes may have changed, if there is any, and the alerts whose
    /// episodes are gone.
    pub fn settle(
        &mut self,
        condition: &Condition,
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
        self.run.settle(times);
        let ours = times.len();
        self.others.settle(times);
        for (place, time) in times.iter().enumerate() {
            let end = if place < ours {
                condition.reach(&self.run, *time)
            } else {
                time.saturating_add(condition.timespan)
            };
            dirty.push((*time, end));
        }
        dirty.sort_unstable();
        let all = (dirty.first()?.0, dirty.iter().map(|range| range.1).max()?);
        let mut ranges = dirty.drain(..);
        let mut current = ranges.next()?;
        for next in ranges {
            if next.0 <= current.1 {
                current.1 = current.1.max(next.1);
            } else {
                self.admit(current, condition, gone, firing);
                current = next;
            }
        }
        self.admit(current, condition, gone, firing);
        let reach = condition.timespan.saturating_mul(2);
        Some((
            all.0.saturating_sub(condition.timespan),
            all.1.saturating_add(reach),
        ))
    }

    /// Re-evaluates a stretch to which events were added, unless they cannot have changed it.
    fn admit(
        &mut self,
        range: (i64, i64),
        condition: &Condition,
        gone: &mut Vec<Said>,
        firing: &mut Vec<i64>,
    ) {
        let place = self
            .episodes
            .partition_point(|episode| episode.to < range.1);
        let covers = |episode: &Episode| episode.from <= range.0;
        // What is added stops nothing that is monotone, and inside an episode it starts nothing.
        if condition.monotone && self.episodes.get(place).is_some_and(covers) {
            return;
        }
        self.reevaluate(range, condition, gone, firing);
    }

    /// Evaluates the anchors in `[from, to]` anew and mends the episodes around them.
    pub fn reevaluate(
        &mut self,
        (from, to): (i64, i64),
        condition: &Condition,
        gone: &mut Vec<Said>,
        firing: &mut Vec<i64>,
    ) {
        let from = from.max(self.frozen);
        let w = condition.timespan;
        let low = self
            .episodes
            .partition_point(|episode| episode.to.saturating_add(w) < from);
        let high = low
            + self.episodes[low..].partition_point(|episode| episode.from <= to.saturating_add(w));
        firing.clear();
        condition.firing(&self.run, &self.others, from, to, firing);
        if low == high && firing.is_empty() {
            return;
        }
        let old: Vec<Episode> = self.episodes.drain(low..high).collect();
        let mut stretches: Vec<Stretch> = Vec::with_capacity(old.len() + 1);
        for episode in old.iter().filter(|episode| episode.from < from) {
            stretches.push(Stretch {
                from: episode.from,
                to: self.last_before(episode, from, condition),
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
                let (summary, _) = self.measure(episode, last, condition.timespan);
                self.episodes[place].summary = Some(Box::new(summary));
            }
        }
        self.frozen = line;
    }

    /// Forgets what no anchor at or after `frozen` can see. What was said stands.
    pub fn forget(&mut self, condition: &Condition) {
        let mut line = self.frozen.saturating_sub(condition.timespan);
        self.episodes.retain(|episode| episode.to >= line);
        if fault::active(Fault::FactsOnlyToLine) {
            line = self.frozen;
        }
        self.run.forget_before(line);
        self.others.forget_before(line);
    }

    /// First event, last anchor, count and evidence of `episode` up to its firing anchor `to`, and
    /// where its first member stands in the run.
    pub fn measure(&self, episode: &Episode, to: i64, timespan: i64) -> (Summary, usize) {
        let entries = self.run.entries();
        let high = self.run.up_to(to);
        let Some(summary) = &episode.summary else {
            let start = episode.from.saturating_sub(timespan);
            let low = self.run.before_near(start, episode.low_hint);
            let members = &entries[low..high];
            let row = episode.said.as_ref().and_then(|said| said.row.as_ref());
            let summary = Summary {
                first: members.first().map_or(episode.from, |entry| entry.time),
                last: to,
                count: members.len() as u64,
                evidence: evidence(head(members, row), &[], members),
            };
            return (summary, low);
        };
        let low = self.run.up_to(summary.last).min(high);
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

    /// Whether nothing of the group needs keeping.
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.others.is_empty() && self.episodes.is_empty()
    }

    /// Bytes on the heap, roughly: entries, episodes and their evidence.
    pub fn heap_bytes(&self) -> usize {
        let episodes = self.episodes.capacity() * size_of::<Episode>();
        self.run.heap_bytes() + self.others.heap_bytes() + episodes
    }
}

/// Joins stretches whose gap is no longer than `w`; they are in order of time.
fn glue(stretches: Vec<Stretch>, w: i64) -> Vec<Stretch> {
    let mut glued: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for next in stretches {
        match glued.last_mut() {
            Some(last) if next.from.saturating_sub(last.to) <= w => last.to = last.to.max(next.to),
            _ => glued.push(next),
        }
    }
    glued
}

/// Gives the alerts of the `old` episodes to the new stretches: to the earliest that overlaps the
/// old episode, else to the earliest within `w` of it. Of several alerts, the one raised first stays.
fn assign(
    stretches: Vec<Stretch>,
    old: Vec<Episode>,
    w: i64,
    gone: &mut Vec<Said>,
) -> Vec<Episode> {
    let mut new: Vec<Episode> = stretches
        .into_iter()
        .map(|stretch| Episode {
            from: stretch.from,
            to: stretch.to,
            summary: None,
            said: None,
            low_hint: 0,
        })
        .collect();
    for episode in old {
        let near = |reach: i64, new: &[Episode]| {
            new.iter().position(|stretch| {
                stretch.from.saturating_sub(reach) <= episode.to
                    && stretch.to.saturating_add(reach) >= episode.from
            })
        };
        let heir = near(0, &new).or_else(|| near(w, &new));
        match heir {
            Some(heir) => inherit(&mut new[heir], episode),
            None => gone.extend(episode.said),
        }
    }
    new
}

fn inherit(heir: &mut Episode, old: Episode) {
    if heir.summary.is_none() {
        heir.summary = old.summary;
    }
    let Some(old) = old.said else { return };
    let Some(said) = &mut heir.said else {
        heir.said = Some(old);
        return;
    };
    // Old episodes come in order of time, so the earlier one stays among those raised together.
    let swallowed = if old.raised < said.raised {
        std::mem::replace(said, old)
    } else {
        old
    };
    said.supersedes.push(swallowed.alert);
    said.supersedes.extend(swallowed.supersedes);
    said.supersedes.sort_unstable();
    said.taken_back.extend(swallowed.row);
    said.taken_back.extend(swallowed.taken_back);
}

/// The head of an evidence so far, and how many of the members it has taken.
type Head = (Vec<EvidenceItem>, usize);

/// The head that was said before, where the first members are what they were: entries are added
/// anywhere but taken away only at the ends, so the first and the last of them tell.
fn head(members: &[Entry], row: Option<&Arc<AlertRow>>) -> Head {
    let known = row.map(|row| &row.evidence.head).filter(|head| {
        head.len() == Evidence::ITEMS_MAX
            && members.first().map(Entry::item).as_ref() == head.first()
            && members.get(head.len() - 1).map(Entry::item).as_ref() == head.last()
    });
    known.map_or_else(|| (Vec::new(), 0), |head| (head.clone(), head.len()))
}

/// The evidence of what was before, as `head` and `tail`, and of `entries`: the first and the last
/// events, each once.
fn evidence((mut head, taken): Head, tail_before: &[EvidenceItem], entries: &[Entry]) -> Evidence {
    let mut next = taken;
    if head.is_empty() {
        head.reserve_exact(Evidence::ITEMS_MAX.min(entries.len()));
    }
    while next < entries.len() && head.len() < Evidence::ITEMS_MAX {
        push_distinct(&mut head, entries[next].item());
        next += 1;
    }
    // Repeats of the last event of the head are no new events.
    while next < entries.len() && head.last().is_some_and(|last| same(last, &entries[next])) {
        next += 1;
    }
    let mut tail: Vec<EvidenceItem> = Vec::new();
    tail.reserve_exact(Evidence::ITEMS_MAX.min(tail_before.len() + entries.len() - next));
    for entry in entries[next..].iter().rev() {
        if let Some(last) = tail.last_mut().filter(|last| same(last, entry)) {
            // The earliest of equal frames stands for them.
            *last = entry.item();
        } else if tail.len() == Evidence::ITEMS_MAX {
            break;
        } else {
            tail.push(entry.item());
        }
    }
    tail.reverse();
    let start = tail_before
        .len()
        .saturating_sub(Evidence::ITEMS_MAX - tail.len());
    tail.splice(0..0, tail_before[start..].iter().copied());
    Evidence { head, tail }
}

fn push_distinct(items: &mut Vec<EvidenceItem>, item: EvidenceItem) {
    if !items
        .last()
        .is_some_and(|last| last.event == item.event && last.time == item.time)
    {
        items.push(item);
    }
}

fn same(item: &EvidenceItem, entry: &Entry) -> bool {
    item.event == entry.event && item.time.0 == entry.time
}
