//! The monitor of all sources.

use std::collections::BTreeMap;

use weir_schema::{
    BatchSeq, Cause, EventTime, ReceiveTime, SourceBounds, SourceKey, Span, TenantKey, TimeMark,
};

use super::marked::{MarkedFrames, MarkedSubjects};
use super::problem_rows::SourceId;
use super::source::Source;
use super::{SourceBatch, SourceNote, SourceOutput};
use crate::clock::SOURCES_MAX;
use crate::source_problem::{SourceProblem, SourceProblemCounts};

/// The state of all sources. Pure: [`super::sources`] feeds it epoch by epoch.
///
/// **Invariant.** The rows emitted so far, added up, hold at most one row per source and problem.
/// The order of notes within an epoch has no effect.
///
/// **Cost.** O(log sources) per batch, plus one pass over all sources per second of receipt. A
/// tenant has at most [`SOURCES_MAX`] monitored sources; batches of others are counted.
#[derive(Debug)]
pub struct SourceMonitor {
    bounds: SourceBounds,
    now: ReceiveTime,
    /// The time of the last pass over all sources.
    checked: ReceiveTime,
    tenants: BTreeMap<TenantKey, TenantSources>,
    /// The counts emitted last.
    emitted: SourceProblemCounts,
    unwatched: u64,
    /// The settled line of each tenant at the end of the epoch before.
    settled: BTreeMap<TenantKey, EventTime>,
    /// The events of this epoch that got a mark.
    marked: BTreeMap<(SourceKey, TimeMark), u64>,
}

#[derive(Debug, Default)]
struct TenantSources {
    sources: BTreeMap<SourceKey, Source>,
    /// The greatest credible event time of any source.
    furthest: Option<EventTime>,
    marked: MarkedSubjects,
}

impl Default for SourceMonitor {
    fn default() -> Self {
        Self {
            bounds: SourceBounds::default(),
            now: ReceiveTime::MIN,
            checked: ReceiveTime::MIN,
            tenants: BTreeMap::new(),
            emitted: SourceProblemCounts::default(),
            unwatched: 0,
            settled: BTreeMap::new(),
            marked: BTreeMap::new(),
        }
    }
}

impl SourceMonitor {
    /// Processes the notes of an epoch. Returns the changes, in order of tenant and source.
    pub fn epoch(&mut self, mut notes: Vec<SourceNote>) -> Vec<SourceOutput> {
        // Bounds and starts come first, then batches in the order of the journal, then the lines
        // that hold from the next epoch on.
        notes.sort_unstable_by_key(|note| match note {
            SourceNote::Batch(batch) => (1, batch.newest.position.batch(), *note),
            SourceNote::Marked(frames) => (1, frames.first.position.batch(), *note),
            SourceNote::Settled { .. } => (2, BatchSeq(0), *note),
            _ => (0, BatchSeq(0), *note),
        });
        let mut output = Vec::new();
        for note in notes {
            match note {
                SourceNote::Bounds(bounds) => self.change_bounds(bounds, &mut output),
                SourceNote::Start(at) => self.start(at),
                SourceNote::Now(now) => self.now = self.now.max(now),
                SourceNote::Heartbeat { tenant, source } => {
                    self.add_heartbeat(tenant, source, &mut output);
                }
                SourceNote::Batch(batch) => self.add_batch(&batch, &mut output),
                SourceNote::Marked(frames) => self.add_marked(&frames, &mut output),
                SourceNote::Settled { tenant, settled } => {
                    self.settled.insert(tenant, settled);
                }
                // Taken out before: they are about no source.
                SourceNote::Condition(_) => {}
            }
        }
        // Once a second of receipt: there may be many sources, and epochs are short.
        if self.now >= self.checked.plus(Span::SECOND) {
            self.checked = self.now;
            self.check_time(&mut output);
        }
        self.emit_counts(&mut output);
        let marked = std::mem::take(&mut self.marked).into_iter();
        let marked =
            marked.map(|((source, mark), events)| SourceOutput::Marked(source, mark, events));
        output.extend(marked);
        output
    }

    /// Retracts the alerts of the previous bounds: other bounds are other rules.
    fn change_bounds(&mut self, bounds: SourceBounds, output: &mut Vec<SourceOutput>) {
        if bounds == self.bounds {
            return;
        }
        self.bounds = bounds;
        for source in self.all_sources() {
            for problem in SourceProblem::ALL {
                source.retract(problem, Cause::Rule(problem.version()), output);
            }
            source.reset();
        }
        for tenant in self.tenants.values_mut() {
            tenant.marked.reset(output);
        }
        if !bounds.is_on() {
            self.tenants.clear();
        }
    }

    /// Ignores the time before `at`, in which nothing was received from any source.
    fn start(&mut self, at: ReceiveTime) {
        self.now = self.now.max(at);
        for source in self.all_sources() {
            source.skip_to(at);
        }
    }

    fn all_sources(&mut self) -> impl Iterator<Item = &mut Source> {
        let tenants = self.tenants.values_mut();
        tenants.flat_map(|tenant| tenant.sources.values_mut())
    }

    fn add_batch(&mut self, batch: &SourceBatch, output: &mut Vec<SourceOutput>) {
        self.now = self.now.max(batch.received);
        let tenant = self.tenants.entry(batch.tenant).or_default();
        let full = tenant.sources.len() >= SOURCES_MAX;
        if full && !tenant.sources.contains_key(&batch.source) {
            self.unwatched = self.unwatched.saturating_add(1);
            return;
        }
        let source = tenant
            .sources
            .entry(batch.source)
            .or_insert_with(|| Source::new(batch));
        if batch.credible {
            tenant.furthest = tenant.furthest.max(Some(batch.newest.time));
        }
        source.add_batch(batch, &self.bounds, tenant.furthest, output);
    }

    /// Counts events that do not stand at the time that they state.
    fn add_marked(&mut self, frames: &MarkedFrames, output: &mut Vec<SourceOutput>) {
        let line = self.settled.get(&frames.tenant).copied();
        let is_late = line.is_some_and(|line| frames.stated < line);
        if frames.mark == TimeMark::LateBeyondHorizon && !is_late {
            return;
        }
        self.now = self.now.max(frames.received);
        let counted = self.marked.entry((frames.source, frames.mark)).or_default();
        *counted = counted.saturating_add(frames.events);
        let tenant = self.tenants.entry(frames.tenant).or_default();
        let full = tenant.sources.len() >= SOURCES_MAX;
        if full && !tenant.sources.contains_key(&frames.source) {
            return; // Its batch is counted as unwatched.
        }
        tenant.marked.add(frames, output);
    }

    fn add_heartbeat(
        &mut self,
        tenant: TenantKey,
        source: SourceKey,
        output: &mut Vec<SourceOutput>,
    ) {
        let now = self.now;
        let tenant = self.tenants.get_mut(&tenant);
        if let Some(source) = tenant.and_then(|tenant| tenant.sources.get_mut(&source)) {
            source.add_heartbeat(now, output);
        }
    }

    /// Raises and retracts what depends on the passing of time alone.
    fn check_time(&mut self, output: &mut Vec<SourceOutput>) {
        for (tenant, sources) in &mut self.tenants {
            for (key, source) in &mut sources.sources {
                let id = SourceId {
                    tenant: *tenant,
                    source: *key,
                    host: None,
                };
                source.check_time(id, self.now, &self.bounds, output);
            }
            sources.marked.check_time(self.now, output);
        }
    }

    fn emit_counts(&mut self, output: &mut Vec<SourceOutput>) {
        if output.is_empty() && self.unwatched == 0 {
            return;
        }
        let mut counts = SourceProblemCounts::default();
        for source in self.tenants.values().flat_map(|t| t.sources.values()) {
            for problem in SourceProblem::ALL {
                counts.standing[problem.place()] += u32::from(source.has(problem));
            }
        }
        for tenant in self.tenants.values() {
            for problem in SourceProblem::ALL {
                counts.standing[problem.place()] += tenant.marked.standing(problem);
            }
        }
        if counts != self.emitted || self.unwatched > 0 {
            self.emitted = counts;
            counts.unwatched = std::mem::take(&mut self.unwatched);
            output.push(SourceOutput::Counts(counts));
        }
    }
}
