//! The evaluation of windows: which anchors of a group fire.

use weir_schema::{Bound, EventTime, MemberCondition, Plan};

use super::sweep::{Sweep, anchors};
use super::{Kind, WindowCondition};
use crate::correlate::fault::{self, PlantedFault};
use crate::correlate::range::TimeRange;
use crate::correlate::run::{EventRun, GroupRuns};
use crate::correlate::values::ValueCondition;
use crate::correlate::window_cache::WindowCache;
use crate::steps::count_item;

impl WindowCondition {
    /// Appends the firing anchors in `range` to `out`, ascending.
    ///
    /// **Cost.** O(1) per anchor for "at least n" and silence; for other kinds O(1) per entry that
    /// enters or leaves a window. `cache` saves refilling the window where the last call ended.
    pub fn firing(
        &self,
        runs: GroupRuns<'_>,
        range: TimeRange,
        cache: &mut WindowCache,
        out: &mut Vec<EventTime>,
    ) {
        let run = runs.anchors;
        match &self.kind {
            Kind::AtLeast(n) if run.is_weighted() => {
                self.firing_count(run, &[Bound::Gte(*n as u64)], range, out);
            }
            Kind::AtLeast(n) => self.firing_at_least(run, *n, range, out),
            Kind::Count(bounds) => self.firing_count(run, bounds, range, out),
            Kind::Temporal { condition, members } => {
                let temporal = Temporal {
                    condition,
                    members: *members,
                };
                self.firing_temporal(runs, temporal, range, cache, out);
            }
            Kind::Ordered { members } => self.firing_ordered(run, *members, range, cache, out),
            Kind::Valued(condition) => self.firing_valued(run, condition, range, cache, out),
            Kind::Silence => self.firing_silence(run, range, out),
        }
    }

    /// An event begins a silence if the next one is further away than the timespan.
    fn firing_silence(&self, run: &EventRun, range: TimeRange, out: &mut Vec<EventTime>) {
        let entries = run.entries();
        for anchor in anchors(run, range) {
            let next = entries.get(anchor.place + 1).map(|next| next.time);
            let end = anchor.time.plus(self.timespan);
            let answered = next.is_some_and(|next| {
                next < end || next == end && !fault::active(PlantedFault::AnswerAtTheBound)
            });
            if !answered {
                out.push(anchor.time);
            }
        }
    }

    /// An anchor fires if the n-th newest entry lies in its window. All entries weigh one.
    fn firing_at_least(
        &self,
        run: &EventRun,
        n: usize,
        range: TimeRange,
        out: &mut Vec<EventTime>,
    ) {
        for anchor in anchors(run, range) {
            let Some(first) = (anchor.place + 1).checked_sub(n) else {
                continue;
            };
            // `n` is at least 1: the window of an anchor contains the anchor.
            let first = run.entries()[first.min(anchor.place)].time;
            let span = anchor.time.since(first);
            if span < self.timespan
                || span == self.timespan && !fault::active(PlantedFault::OpenBound)
            {
                out.push(anchor.time);
            }
        }
    }

    fn firing_count(
        &self,
        run: &EventRun,
        bounds: &[Bound],
        range: TimeRange,
        out: &mut Vec<EventTime>,
    ) {
        let entries = run.entries();
        let mut low = run.count_before(range.from.minus(self.timespan));
        for anchor in anchors(run, range) {
            while entries[low].time < anchor.time.minus(self.timespan) {
                low += 1;
            }
            let count = run.weight(low..anchor.place + 1);
            if bounds.iter().all(|bound| bound.holds(count)) {
                out.push(anchor.time);
            }
        }
    }

    fn firing_temporal(
        &self,
        runs: GroupRuns<'_>,
        temporal: Temporal<'_>,
        range: TimeRange,
        cache: &mut WindowCache,
        out: &mut Vec<EventTime>,
    ) {
        let from = range.from;
        let (mut times, known) = cache.take_members(temporal.members, from);
        let both = [runs.anchors, runs.negated];
        let mut next = both.map(|run| run.count_before(from));
        match known {
            Some(at) => next = both.map(|run| run.count_through(at)),
            None => {
                let low = from.minus(self.timespan);
                let all = u64::MAX.checked_shr((Plan::MEMBERS_MAX - temporal.members) as u32);
                times.look_back(runs.anchors, all.unwrap_or(0), low, from);
                times.look_back(runs.negated, !self.positive, low, from);
            }
        }
        let mut last = None;
        for anchor in anchors(runs.anchors, range) {
            let time = anchor.time;
            for (run, next) in both.iter().zip(&mut next) {
                while let Some(entry) = run.entries().get(*next).filter(|e| e.time <= time) {
                    times.add(entry);
                    *next += 1;
                }
            }
            last = Some(time);
            let low = time.minus(self.timespan);
            if temporal.condition.holds(&|member| times.has(member, low)) {
                out.push(time);
            }
        }
        if let Some(at) = last {
            cache.store_members(times, runs.anchors, at);
        }
    }

    fn firing_ordered(
        &self,
        run: &EventRun,
        members: usize,
        range: TimeRange,
        cache: &mut WindowCache,
        out: &mut Vec<EventTime>,
    ) {
        let (mut prefixes, known) = cache.take_order(members, range.from);
        let entries = run.entries();
        let mut anchors = 0;
        let mut next = match known {
            Some(at) => run.count_through(at),
            None => {
                let next = run.count_before(range.from);
                let low = run.count_before(range.from.minus(self.timespan));
                prefixes.look_back(&entries[low..next]);
                next
            }
        };
        while let Some(time) = entries.get(next).map(|entry| entry.time) {
            if time > range.to {
                break;
            }
            let tied = entries[next..]
                .iter()
                .take_while(|entry| entry.time == time);
            let end = next + tied.count();
            if end == entries.len() {
                // Stored without the newest time: more events of it are likely still to come.
                cache.store_order(&prefixes, run, time.previous());
            }
            prefixes.add(&entries[next..end]);
            next = end;
            anchors += 1;
            count_item(anchors);
            let low = time.minus(self.timespan);
            if time >= range.from && prefixes.begin().is_some_and(|begin| begin >= low) {
                out.push(time);
            }
        }
    }

    fn firing_valued(
        &self,
        run: &EventRun,
        condition: &ValueCondition,
        range: TimeRange,
        cache: &mut WindowCache,
        out: &mut Vec<EventTime>,
    ) {
        let start = range.from.minus(self.timespan);
        let (mut values, mut sweep) = match cache.take_values(condition, range.to) {
            Some((values, covered)) => (values, Sweep::covering(run, covered)),
            None => (condition.empty_window(), Sweep::starting_at(run, start)),
        };
        let back = Sweep {
            low: run.count_before(start),
            high: run.count_before(range.from),
            ..sweep
        };
        if back.high < sweep.high {
            if values.can_slide_back() && sweep.is_nearer_than_empty(&back) {
                let entries = run.entries();
                let (gone, come) = (back.high..sweep.high, back.low..sweep.low);
                entries[gone].iter().for_each(|entry| values.remove(entry));
                entries[come].iter().for_each(|entry| values.add(entry));
                sweep = back;
            } else {
                values = condition.empty_window();
                sweep = Sweep::starting_at(run, start);
            }
        }
        let mut last = None;
        for anchor in anchors(run, range) {
            sweep.enter_through(anchor.time, |entry| values.add(entry));
            let low = anchor.time.minus(self.timespan);
            sweep.leave_before(low, |entry| values.remove(entry));
            last = Some(TimeRange {
                from: low,
                to: anchor.time,
            });
            if condition.holds(&values) {
                out.push(anchor.time);
            }
        }
        if let Some(window) = last {
            cache.store_values(values, run, window);
        }
    }
}

/// A condition over the members that are present, and the number of members.
#[derive(Clone, Copy)]
struct Temporal<'c> {
    condition: &'c MemberCondition,
    members: usize,
}
