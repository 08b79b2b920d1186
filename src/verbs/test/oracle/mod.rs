//! Runs stories on the oracle: plain loops over all events, nothing incremental.
//!
//! It shares only the parser and the rule matcher with the graph. Watermark, windows, episodes and
//! ids of alerts are computed here and in `weir_operators::reference`, from all events, after every
//! delivery.

mod alerts;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_detect::{Detections, EventOrigin, PlanChange, RuleBook};
use weir_operators::BatchContext;
use weir_operators::reference::{PlanStep, Reference, ReferenceClock, StandingAlert};
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Control, Epoch, Event, EventId, EventTime, Fact,
    FactValue, GroupField, GroupKey, Plan, PlanId, PlanKind, PlanOutput, Position, Problem,
    ReceiveTime, RuleVersion, TenantKey, TimeBounds, TimeMark, journal::source_key,
};
use weir_story::{EventDelivery, FrameProblem, System, SystemOutput, batches, source_name};

use crate::verbs::test::rows::rows;
use crate::verbs::test::watermark::OracleWatermark;

/// The oracle as a system.
#[derive(Default)]
pub struct ReferenceSystem {
    bounds: TimeBounds,
    book: RuleBook,
    reference: Reference,
    epoch: u64,
    batches: Vec<Arc<Batch>>,
    watermark: OracleWatermark,
    /// The names of tenants.
    tenants: BTreeMap<TenantKey, String>,
    /// Every version of every plan so far.
    plans: BTreeMap<(PlanId, RuleVersion), Plan>,
    groups: BTreeMap<(PlanId, GroupKey), Vec<GroupField>>,
    facts: Vec<Fact>,
    /// The times that the events state, where they can be represented.
    stated: BTreeMap<Position, Option<EventTime>>,
    alerts: Vec<OracleAlert>,
    /// The earlier ends of the plans that this epoch cuts.
    cuts: BTreeMap<PlanId, EventTime>,
    /// The last revision of every alert so far, and the epoch that first raised it.
    revisions: BTreeMap<AlertId, (u64, Epoch)>,
    settled: SystemOutput,
    refused: Vec<String>,
}

/// A standing alert.
struct OracleAlert {
    standing: StandingAlert,
    /// Its first firing anchor.
    from: EventTime,
    /// The anchor from which its id derives.
    id_anchor: EventTime,
    record: AlertRecord,
}

/// The columns that the facts of one frame have in common.
#[derive(Clone, Copy)]
struct FrameFact<'b> {
    batch: &'b Batch,
    event: EventId,
    position: Position,
    time: EventTime,
    time_mark: Option<TimeMark>,
}

/// The time that an event states, whether or not the event takes it.
fn stated_time(event: &Event<'_>) -> Option<EventTime> {
    match event.time_mark() {
        Some(_) => event.stated,
        None => Some(event.time),
    }
}

impl ReferenceSystem {
    /// Applies one epoch, and compares its alerts with those before.
    fn epoch(&mut self, steps: &[PlanStep], facts: &[Fact]) {
        self.epoch += 1;
        let horizon = self.bounds.horizon;
        let reached = self.watermark.watermarks(&self.bounds).into_iter();
        let clocks = reached.map(|(tenant, watermark)| {
            let settled = horizon.map_or(EventTime::MIN, |horizon| watermark.minus(horizon));
            ReferenceClock {
                tenant: TenantKey::of(&[tenant.as_bytes()]),
                watermark,
                settled,
            }
        });
        let clocks: Vec<_> = clocks.collect();
        self.facts.extend(facts);
        for (tenant, source, time) in self.watermark.greatest_times() {
            self.reference
                .observe_source(source_key(tenant, source), time);
        }
        self.reference.epoch(steps, facts, &clocks);
        self.commit();
    }

    /// Decodes a batch, and adds its facts; with `only`, for those plans alone.
    fn read(&mut self, seq: usize, only: Option<&[PlanId]>, facts: &mut Vec<Fact>) {
        let batch = Arc::clone(&self.batches[seq]);
        let context = BatchContext::of(&batch, &self.bounds, None);
        let tenant = batch.tenant_key();
        self.tenants.insert(tenant, batch.tenant.clone());
        for (place, frame) in batch.frames.iter().enumerate() {
            let mut event = weir_parse::decode(frame, &context.context());
            let id = EventId::for_frame(batch.source_key(), event.time, frame);
            if only.is_none() {
                self.observe(&batch, &event, id);
            }
            // A story has at most 100,000 events, and a batch fewer than 65,536.
            let position = Position::new(BatchSeq(seq as u64), place as u16);
            self.stated.insert(position, stated_time(&event));
            let fact = FrameFact {
                batch: &batch,
                event: id,
                position,
                time: event.time,
                time_mark: event.time_mark(),
            };
            self.detect(&fact, &event, only, facts);
            // Rules that are no correlation see an event before the settled line at its receipt.
            // A backfill reads nothing before that line.
            if fact.time_mark.is_none() && only.is_none() {
                event.time = EventTime(batch.received.0);
                let late = FrameFact {
                    time_mark: Some(TimeMark::LateBeyondHorizon),
                    ..fact
                };
                self.detect(&late, &event, only, facts);
            }
        }
    }

    /// Adds the facts of an event; of one that may be late, only those of rules that are no
    /// correlation.
    fn detect(
        &mut self,
        fact: &FrameFact<'_>,
        event: &Event<'_>,
        only: Option<&[PlanId]>,
        facts: &mut Vec<Fact>,
    ) {
        let tenant = fact.batch.tenant_key();
        let origin = EventOrigin {
            tenant,
            source: &fact.batch.source,
        };
        let is_late = fact.time_mark == Some(TimeMark::LateBeyondHorizon);
        let mut detected = Detections::default();
        self.book.detect(event, origin, only, &mut detected);
        if !is_late {
            self.link(event, origin, &detected);
        }
        for draft in detected.facts {
            let (plan, group) = (draft.plan, draft.group);
            let Some(known) = self.book.plan(plan) else {
                continue;
            };
            if is_late && known.correlates {
                continue;
            }
            let value = match known.kind {
                PlanKind::Silence => FactValue::from(fact.batch.source_key()),
                _ => draft.value, // Only silence counts sources.
            };
            let fields = self.book.group_fields(plan, event, origin, group);
            let fields = fields.unwrap_or_default();
            self.groups
                .insert((plan, group.late_twin()), fields.clone());
            self.groups.insert((plan, group), fields);
            facts.push(Fact {
                plan,
                tenant,
                group,
                time: fact.time,
                event: fact.event,
                position: fact.position,
                members: draft.members,
                value,
                weight: event.weight,
                received: fact.batch.received,
                time_mark: fact.time_mark,
            });
        }
    }

    /// Adds the problems of a new event, and advances the watermark by it.
    fn observe(&mut self, batch: &Batch, event: &Event<'_>, id: EventId) {
        let problem = |problem: &Problem| FrameProblem {
            source: source_name(&batch.tenant, &batch.source),
            problem: *problem,
            event: id,
        };
        self.settled
            .problems
            .extend(event.problems.iter().map(problem));
        self.watermark.tick(batch.received);
        if event.time_mark().is_none() {
            let (tenant, source) = (&batch.tenant, &batch.source);
            self.watermark
                .observe(tenant, source, event.time, batch.received);
        }
    }

    /// Adds the links from groups of members to groups of the correlations that read them.
    fn link(&mut self, event: &Event<'_>, origin: EventOrigin<'_>, detected: &Detections) {
        for link in detected.links.iter().flatten() {
            self.reference.link(*link);
            let plan = self.book.plan(link.plan);
            if let Some(PlanOutput::Plan(feed)) = plan.map(|plan| plan.output) {
                let fields = self.book.group_fields(feed.plan, event, origin, link.to);
                let key = (feed.plan, link.to);
                self.groups.insert(key, fields.unwrap_or_default());
            }
        }
    }

    /// Applies a control entry to the rules, and adds the steps of their plans.
    fn rules(
        &mut self,
        control: &Control,
        steps: &mut Vec<PlanStep>,
        new: &mut BTreeMap<PlanId, EventTime>,
    ) {
        let applied = self.book.apply(control);
        let refused = applied.diagnostics.iter().filter(|one| one.refused);
        self.refused.extend(refused.map(ToString::to_string));
        for change in applied.changes {
            match change {
                PlanChange::Put {
                    plan,
                    backfill_from,
                } => {
                    if let Some(from) = backfill_from {
                        let known = new.entry(plan.id).or_insert(from);
                        *known = from.min(*known);
                    }
                    self.note_cut(&plan);
                    let version = (plan.id, plan.version);
                    self.plans.insert(version, plan.clone());
                    steps.push(PlanStep::Install(plan));
                }
                PlanChange::Remove(plan) => {
                    new.remove(&plan);
                    steps.push(PlanStep::Remove(plan));
                }
            }
        }
    }

    /// Notes the end of a known plan that had no end, or a later one.
    fn note_cut(&mut self, plan: &Plan) {
        let known = self.plans.values().filter(|known| known.id == plan.id);
        if known.map(|known| known.until).max() > Some(plan.until) {
            let end = self.cuts.entry(plan.id).or_insert(plan.until);
            *end = plan.until.min(*end);
        }
    }
}

impl System for ReferenceSystem {
    fn deliver(&mut self, events: &[EventDelivery]) {
        let mut facts = Vec::new();
        for batch in batches(events) {
            self.batches.push(Arc::new(batch));
            self.read(self.batches.len() - 1, None, &mut facts);
        }
        self.epoch(&[], &facts);
    }

    fn control(&mut self, controls: Vec<Control>) {
        let (mut steps, mut new, mut facts) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut heartbeats = Vec::new();
        for control in &controls {
            self.rules(control, &mut steps, &mut new);
            match control {
                Control::Start {
                    bounds, received, ..
                } => {
                    self.bounds = *bounds;
                    self.watermark.tick(*received);
                }
                Control::Tick { received } => self.watermark.tick(*received),
                Control::Heartbeat {
                    tenant,
                    source,
                    time,
                } => heartbeats.push((tenant, source, *time)),
                _ => {}
            }
        }
        for (tenant, source, time) in heartbeats {
            let now = self.watermark.now.unwrap_or(ReceiveTime::MIN);
            self.watermark.observe(tenant, source, time, now);
        }
        if !new.is_empty() {
            let plans: Vec<PlanId> = new.keys().copied().collect();
            for seq in 0..self.batches.len() {
                self.read(seq, Some(&plans), &mut facts);
            }
            facts.retain(|fact| new.get(&fact.plan).is_none_or(|from| fact.time >= *from));
        }
        self.epoch(&steps, &facts);
    }

    fn settle(&mut self) -> SystemOutput {
        std::mem::take(&mut self.settled)
    }

    /// Does nothing: the oracle has no state that a restart could lose.
    fn restart(&mut self) {}

    fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    fn query(&mut self, query: &str) -> Vec<String> {
        let standing = self.alerts.iter().map(|alert| alert.record.clone());
        rows(query, standing.collect())
    }
}
