//! One source: its activity, its problems, and the rows that were emitted for them.

use weir_schema::{Cause, EventTime, EvidenceItem, ReceiveTime, SourceBounds, Span};

use super::problem_rows::{Finding, ProblemRows, SourceId};
use super::rate::EventRate;
use super::{SourceBatch, SourceOutput};
use crate::source_problem::SourceProblem;

/// A clock is right again after this time without a skewed event.
const CALM: Span = Span::seconds(300);

/// The state of one source.
#[derive(Debug)]
pub struct Source {
    first_received: ReceiveTime,
    last_received: ReceiveTime,
    last_event: EvidenceItem,
    rate: EventRate,
    lagging_since: Option<ReceiveTime>,
    skew: Option<Skew>,
    rows: ProblemRows,
}

/// A period of skewed events.
#[derive(Clone, Copy, Debug)]
struct Skew {
    since: ReceiveTime,
    last: ReceiveTime,
    first: EvidenceItem,
    newest: EvidenceItem,
    count: u64,
}

impl Source {
    pub fn new(batch: &SourceBatch) -> Self {
        let mut rate = EventRate::default();
        rate.skip_to(batch.received);
        Self {
            first_received: batch.received,
            last_received: batch.received,
            last_event: batch.newest,
            rate,
            lagging_since: None,
            skew: None,
            rows: ProblemRows::default(),
        }
    }

    /// Forgets the beginnings of lags and skews.
    pub fn reset(&mut self) {
        (self.lagging_since, self.skew) = (None, None);
    }

    /// Continues at `at` as if no time had passed since the last batch.
    pub fn skip_to(&mut self, at: ReceiveTime) {
        self.last_received = self.last_received.max(at);
        self.rate.skip_to(at);
    }

    pub fn has(&self, problem: SourceProblem) -> bool {
        self.rows.has(problem)
    }

    pub fn retract(
        &mut self,
        problem: SourceProblem,
        cause: Cause,
        output: &mut Vec<SourceOutput>,
    ) {
        self.rows.retract(problem, cause, output);
    }

    pub fn add_heartbeat(&mut self, now: ReceiveTime, output: &mut Vec<SourceOutput>) {
        self.last_received = self.last_received.max(now);
        self.rows
            .retract(SourceProblem::Silent, Cause::Clock(now), output);
    }

    /// Adds a batch. `furthest` is the greatest event time of any source of the tenant.
    pub fn add_batch(
        &mut self,
        batch: &SourceBatch,
        bounds: &SourceBounds,
        furthest: Option<EventTime>,
        output: &mut Vec<SourceOutput>,
    ) {
        let cause = Cause::Event(batch.newest);
        self.last_received = self.last_received.max(batch.received);
        self.last_event = batch.newest;
        self.rows.retract(SourceProblem::Silent, cause, output);
        self.check_flood(batch, bounds, output);
        self.check_lag(batch, bounds, furthest, output);
        if let Some(first) = batch.first_skewed {
            self.add_skewed(batch, first, bounds, output);
        }
    }

    fn check_flood(
        &mut self,
        batch: &SourceBatch,
        bounds: &SourceBounds,
        output: &mut Vec<SourceOutput>,
    ) {
        self.rate.advance(batch.received, bounds);
        self.rate.in_minute = self.rate.in_minute.saturating_add(batch.events);
        if self.rate.in_minute > self.rate.most(bounds) {
            let finding = Finding {
                items: &[batch.newest],
                count: self.rate.in_minute,
                cause: Cause::Event(batch.newest),
            };
            self.rows
                .raise(SourceProblem::Flooding, batch.id(), finding, output);
        }
    }

    fn check_lag(
        &mut self,
        batch: &SourceBatch,
        bounds: &SourceBounds,
        furthest: Option<EventTime>,
        output: &mut Vec<SourceOutput>,
    ) {
        let cause = Cause::Event(batch.newest);
        let behind = |furthest: EventTime| batch.newest.time.plus(bounds.lagging) < furthest;
        if bounds.lagging.0 > 0 && batch.credible && furthest.is_some_and(behind) {
            let since = *self.lagging_since.get_or_insert(batch.received);
            if batch.received >= since.plus(bounds.duration_min) {
                let finding = Finding {
                    items: &[batch.newest],
                    count: 1,
                    cause,
                };
                self.rows
                    .raise(SourceProblem::Lagging, batch.id(), finding, output);
            }
        } else {
            self.lagging_since = None;
            self.rows.retract(SourceProblem::Lagging, cause, output);
        }
    }

    /// Adds the skewed events of a batch, of which `first` is the first.
    fn add_skewed(
        &mut self,
        batch: &SourceBatch,
        first: EvidenceItem,
        bounds: &SourceBounds,
        output: &mut Vec<SourceOutput>,
    ) {
        let is_over = |skew: &Skew| skew.last.plus(CALM) < batch.received;
        let known = self.skew.filter(|skew| !is_over(skew));
        let mut skew = known.unwrap_or(Skew {
            since: batch.received,
            last: batch.received,
            first,
            newest: first,
            count: 0,
        });
        skew.last = skew.last.max(batch.received);
        skew.newest = first;
        skew.count = skew.count.saturating_add(batch.skewed);
        self.skew = Some(skew);
        if batch.received >= skew.since.plus(bounds.duration_min) {
            let mut items = vec![skew.first, skew.newest];
            items.dedup();
            let finding = Finding {
                items: &items,
                count: skew.count,
                cause: Cause::Event(first),
            };
            self.rows
                .raise(SourceProblem::ClockSkew, batch.id(), finding, output);
        }
    }

    /// Raises and retracts what depends on the passing of time alone.
    pub fn check_time(
        &mut self,
        id: SourceId,
        now: ReceiveTime,
        bounds: &SourceBounds,
        output: &mut Vec<SourceOutput>,
    ) {
        let cause = Cause::Clock(now);
        let known = self.last_received.minus(bounds.silent) >= self.first_received;
        if bounds.silent.0 > 0 && known && self.last_received.plus(bounds.silent) < now {
            let last = self.last_event;
            let finding = Finding {
                items: &[last],
                count: 1,
                cause,
            };
            self.rows.raise(SourceProblem::Silent, id, finding, output);
            // Without events, it is not known how far behind the source is.
            self.lagging_since = None;
            self.rows.retract(SourceProblem::Lagging, cause, output);
        }
        self.rate.advance(now, bounds);
        let most = self.rate.most(bounds);
        if self.rate.previous_minute <= most && self.rate.in_minute <= most {
            self.rows.retract(SourceProblem::Flooding, cause, output);
        }
        if self.skew.is_some_and(|skew| skew.last.plus(CALM) < now) {
            self.skew = None;
            self.rows.retract(SourceProblem::ClockSkew, cause, output);
        }
    }
}

impl SourceBatch {
    fn id(&self) -> SourceId {
        SourceId {
            tenant: self.tenant,
            source: self.source,
            host: None,
        }
    }
}
