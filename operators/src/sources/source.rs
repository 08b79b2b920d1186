//! One source: its activity, its problems, and the rows that were emitted for them.

use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, Evidence, EvidenceItem, GroupKey,
    ReceiveTime, SourceBounds, SourceKey, Span, TenantKey,
};

use super::rate::EventRate;
use super::{SourceBatch, SourceOutput};
use crate::source_problem::SourceProblem;

/// A clock is right again after this time without a skewed event.
const CALM: Span = Span::seconds(300);

/// A source of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct SourceId {
    pub tenant: TenantKey,
    pub source: SourceKey,
}

/// The state of one source.
#[derive(Debug)]
pub struct Source {
    first_received: ReceiveTime,
    last_received: ReceiveTime,
    last_event: EvidenceItem,
    rate: EventRate,
    lagging_since: Option<ReceiveTime>,
    skew: Option<Skew>,
    /// The row that stands for each problem.
    rows: [Option<Arc<AlertRow>>; SourceProblem::ALL.len()],
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

/// The evidence of a problem.
struct Finding<'i> {
    items: &'i [EvidenceItem],
    count: u64,
    cause: Cause,
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
            rows: [const { None }; SourceProblem::ALL.len()],
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
        self.rows[problem.place()].is_some()
    }

    pub fn add_heartbeat(&mut self, now: ReceiveTime, output: &mut Vec<SourceOutput>) {
        self.last_received = self.last_received.max(now);
        self.retract(SourceProblem::Silent, Cause::Clock(now), output);
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
        self.retract(SourceProblem::Silent, cause, output);
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
            self.raise(SourceProblem::Flooding, batch.id(), finding, output);
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
                self.raise(SourceProblem::Lagging, batch.id(), finding, output);
            }
        } else {
            self.lagging_since = None;
            self.retract(SourceProblem::Lagging, cause, output);
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
            self.raise(SourceProblem::ClockSkew, batch.id(), finding, output);
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
            self.raise(SourceProblem::Silent, id, finding, output);
            // Without events, it is not known how far behind the source is.
            self.lagging_since = None;
            self.retract(SourceProblem::Lagging, cause, output);
        }
        self.rate.advance(now, bounds);
        let most = self.rate.most(bounds);
        if self.rate.previous_minute <= most && self.rate.in_minute <= most {
            self.retract(SourceProblem::Flooding, cause, output);
        }
        if self.skew.is_some_and(|skew| skew.last.plus(CALM) < now) {
            self.skew = None;
            self.retract(SourceProblem::ClockSkew, cause, output);
        }
    }

    /// Raises a problem, or revises its row when its count reaches the next power of two.
    fn raise(
        &mut self,
        problem: SourceProblem,
        id: SourceId,
        finding: Finding<'_>,
        output: &mut Vec<SourceOutput>,
    ) {
        let (Some(first), Some(last)) = (finding.items.first(), finding.items.last()) else {
            return;
        };
        let count = finding.count;
        let level = problem.level();
        let standing = &mut self.rows[problem.place()];
        let row = match standing {
            Some(before)
                if count <= before.count
                    || count.checked_ilog2() == before.count.checked_ilog2() =>
            {
                return;
            }
            Some(before) => {
                output.push(SourceOutput::Row {
                    row: Arc::clone(before),
                    level,
                    diff: -1,
                });
                AlertRow {
                    count,
                    last: last.time.max(before.last),
                    cause: finding.cause,
                    ..AlertRow::clone(before)
                }
            }
            None => AlertRow {
                last: last.time,
                ..first_row(problem, id, first.time, &finding)
            },
        };
        let row = Arc::new(row);
        output.push(SourceOutput::Row {
            row: Arc::clone(&row),
            level,
            diff: 1,
        });
        *standing = Some(row);
    }

    pub fn retract(
        &mut self,
        problem: SourceProblem,
        cause: Cause,
        output: &mut Vec<SourceOutput>,
    ) {
        if let Some(row) = self.rows[problem.place()].take() {
            output.push(SourceOutput::Retracted(row.alert, cause));
            output.push(SourceOutput::Row {
                row,
                level: problem.level(),
                diff: -1,
            });
        }
    }
}

impl SourceBatch {
    fn id(&self) -> SourceId {
        SourceId {
            tenant: self.tenant,
            source: self.source,
        }
    }
}

/// The first row of a problem whose first event is at `first`.
fn first_row(
    problem: SourceProblem,
    id: SourceId,
    first: EventTime,
    finding: &Finding<'_>,
) -> AlertRow {
    let SourceId { tenant, source } = id;
    let group = GroupKey::of(&[
        b"weir.source",
        &tenant.0.to_le_bytes(),
        &source.0.to_le_bytes(),
    ]);
    let alert = AlertId::for_episode(tenant, problem.rule(), &group, first);
    AlertRow {
        alert,
        key: alert,
        plan: problem.plan(),
        plan_epoch: Epoch(0),
        version: problem.version(),
        tenant,
        group,
        state: AlertState::Confirmed,
        from: first,
        first,
        last: first,
        count: finding.count,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence {
            head: finding.items.to_vec(),
            tail: Vec::new(),
        },
        cause: finding.cause,
        marked: None,
    }
}
