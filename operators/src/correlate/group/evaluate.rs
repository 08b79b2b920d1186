//! The re-evaluation of anchors that new or retracted events can have changed.

use weir_schema::EventTime;

use super::{Evaluation, EvaluationBuffers, Group};
use crate::correlate::condition::WindowCondition;
use crate::correlate::episode::{Episode, EpisodeAlert, merge_ranges, reassign_alerts};
use crate::correlate::fault::{self, PlantedFault};
use crate::correlate::range::TimeRange;
use crate::correlate::run::GroupRuns;

impl Group {
    /// Whether nothing has fired and the pushed events cannot change that.
    pub fn is_quiet(&self, condition: &WindowCondition) -> bool {
        self.episodes.is_empty() && condition.is_out_of_reach(&self.anchors)
    }

    /// Merges the pushed events without evaluating them; for a quiet group.
    pub fn merge_unevaluated(
        &mut self,
        condition: &WindowCondition,
        buffers: &mut EvaluationBuffers,
    ) {
        buffers.times.clear();
        self.cache.clear();
        self.anchors.merge_pushed(&mut buffers.times);
        self.negated.merge_pushed(&mut buffers.times);
        self.remove_retracted(condition, &mut buffers.changed);
    }

    /// Merges the pushed events and re-evaluates the anchors that they can have changed.
    ///
    /// Returns the range in which episodes may have changed, if any. Alerts whose episodes are gone
    /// go to `orphaned`.
    pub fn merge_and_evaluate(
        &mut self,
        evaluation: Evaluation<'_>,
        orphaned: &mut Vec<EpisodeAlert>,
        buffers: &mut EvaluationBuffers,
    ) -> Option<TimeRange> {
        let condition = evaluation.condition;
        self.merge_pushed(condition, buffers);
        let EvaluationBuffers {
            changed, firing, ..
        } = buffers;
        changed.sort_unstable();
        let all = TimeRange {
            from: changed.first()?.from,
            to: changed.iter().map(|range| range.to).max()?,
        };
        let mut ranges = changed.drain(..);
        let mut current = ranges.next()?;
        for next in ranges {
            if next.from <= current.to {
                current.to = current.to.max(next.to);
            } else {
                self.evaluate_added(current, evaluation, orphaned, firing);
                current = next;
            }
        }
        self.evaluate_added(current, evaluation, orphaned, firing);
        Some(all.widened(condition.timespan, condition.timespan.times(2)))
    }

    /// Merges the pushed events and lists the ranges of anchors that they can have changed.
    fn merge_pushed(&mut self, condition: &WindowCondition, buffers: &mut EvaluationBuffers) {
        let EvaluationBuffers { times, changed, .. } = buffers;
        times.clear();
        changed.clear();
        self.cache.add_late(self.anchors.pushed());
        self.cache.add_late(self.negated.pushed());
        self.anchors.merge_pushed(times);
        let anchors = times.len();
        if condition.is_silence()
            && let Some(first) = times.first()
        {
            let neighbour = first.minus(condition.timespan);
            self.anchors.thin_to_silences(neighbour, condition.timespan);
        }
        self.negated.merge_pushed(times);
        for (place, time) in times.iter().enumerate() {
            let to = if place < anchors {
                condition.reach(&self.anchors, *time)
            } else {
                time.plus(condition.timespan)
            };
            let from = condition.reach_back(*time);
            changed.push(TimeRange { from, to });
        }
        self.remove_retracted(condition, changed);
    }

    /// Removes the entries that other plans have retracted; adds the affected ranges to `changed`.
    fn remove_retracted(&mut self, condition: &WindowCondition, changed: &mut Vec<TimeRange>) {
        let chain = self.chain.as_mut();
        let Some(chain) = chain.filter(|chain| !chain.retracted.is_empty()) else {
            return;
        };
        self.cache.clear();
        for entry in chain.retracted.drain(..) {
            let run = match condition.is_anchor(&entry) {
                true => &mut self.anchors,
                false => &mut self.negated,
            };
            if run.remove(&entry) && !fault::active(PlantedFault::NeverTakenOut) {
                changed.push(TimeRange {
                    from: condition.reach_back(entry.time),
                    to: entry.time.plus(condition.timespan),
                });
            }
        }
    }

    /// Re-evaluates a range to which events were added, without the part that cannot have changed.
    fn evaluate_added(
        &mut self,
        mut range: TimeRange,
        evaluation: Evaluation<'_>,
        orphaned: &mut Vec<EpisodeAlert>,
        firing: &mut Vec<EventTime>,
    ) {
        let condition = evaluation.condition;
        // Added events stop no anchor of a monotone condition, and inside an episode they start
        // none.
        if condition.monotone && condition.additive {
            let place = self
                .episodes
                .partition_point(|episode| episode.to < range.from);
            let episode = self.episodes.get(place);
            if let Some(episode) = episode.filter(|episode| episode.from <= range.from) {
                if episode.to >= range.to {
                    return;
                }
                range.from = episode.to.next();
            }
        }
        self.reevaluate(range, evaluation, orphaned, firing);
    }

    /// Evaluates the anchors in `range` anew and rebuilds the episodes around them.
    pub fn reevaluate(
        &mut self,
        range: TimeRange,
        evaluation: Evaluation<'_>,
        orphaned: &mut Vec<EpisodeAlert>,
        firing: &mut Vec<EventTime>,
    ) {
        let condition = evaluation.condition;
        let from = range.from.max(self.frozen);
        let to = range.to;
        if from > to {
            return; // The range is settled.
        }
        let w = condition.timespan;
        let low = self
            .episodes
            .partition_point(|episode| episode.to.plus(w) < from);
        let high = low + self.episodes[low..].partition_point(|episode| episode.from <= to.plus(w));
        firing.clear();
        let evaluated = TimeRange {
            from: self.start_near(&self.episodes[low..high], from),
            to: to.min(evaluation.conclude_to),
        };
        let runs = GroupRuns {
            anchors: &self.anchors,
            negated: &self.negated,
        };
        condition.firing(runs, evaluated, &mut self.cache, firing);
        if low == high && firing.is_empty() {
            return;
        }
        let old: Vec<Episode> = self.episodes.drain(low..high).collect();
        let range = TimeRange { from, to };
        let ranges = self.firing_ranges(&old, range, firing, condition);
        let new = reassign_alerts(merge_ranges(ranges, w), old, w, orphaned);
        self.episodes.splice(low..low, new);
    }

    /// The ranges of anchors that fire now: what remains of `old` around `range`, and `firing`.
    fn firing_ranges(
        &self,
        old: &[Episode],
        range: TimeRange,
        firing: &[EventTime],
        condition: &WindowCondition,
    ) -> Vec<TimeRange> {
        let TimeRange { from, to } = range;
        let (before, firing) = firing.split_at(firing.partition_point(|time| *time < from));
        let mut ranges: Vec<TimeRange> = Vec::with_capacity(old.len() + 1);
        for episode in old.iter().filter(|episode| episode.from < from) {
            let known = before.last().filter(|time| **time >= episode.from);
            let to = match known {
                Some(last) if episode.to >= from => *last,
                _ => self.last_before(episode, from, condition),
            };
            ranges.push(TimeRange {
                from: episode.from,
                to,
            });
        }
        ranges.extend(firing.iter().map(|t| TimeRange { from: *t, to: *t }));
        for episode in old.iter().filter(|episode| episode.to > to) {
            let start = if episode.from > to {
                Some(episode.from)
            } else {
                condition.first_firing(self.runs(), to, episode.to)
            };
            ranges.extend(start.map(|from| TimeRange {
                from,
                to: episode.to,
            }));
        }
        ranges
    }

    /// A start of evaluation that likely includes the last firing anchor before `from`.
    ///
    /// That anchor matters only where an episode continues over `from`, and is nearly always the
    /// neighbour.
    fn start_near(&self, episodes: &[Episode], from: EventTime) -> EventTime {
        const NEIGHBOURS: usize = 4;
        let continues = |episode: &&Episode| episode.from < from && episode.to >= from;
        let Some(episode) = episodes.iter().find(continues) else {
            return from;
        };
        let place = self.anchors.count_before(from).saturating_sub(NEIGHBOURS);
        let near = self.anchors.entries().get(place).map(|entry| entry.time);
        let near = near.unwrap_or(from).max(episode.from);
        near.max(self.frozen).min(from)
    }

    /// The last firing anchor of `episode` before `before`, which is at or after `frozen`.
    pub(super) fn last_before(
        &self,
        episode: &Episode,
        before: EventTime,
        condition: &WindowCondition,
    ) -> EventTime {
        if episode.to < before {
            return episode.to;
        }
        let floor = episode.from.max(self.frozen);
        condition
            .last_firing(self.runs(), floor, before)
            .or(episode.summary.as_ref().map(|summary| summary.last))
            .unwrap_or(episode.from)
    }
}
