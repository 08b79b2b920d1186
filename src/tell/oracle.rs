//! Stories told to the oracle: plain loops over everything that was let in, nothing incremental.
//!
//! It shares the parser and the matcher of rules with the graph, and nothing else: watermark,
//! windows, episodes and the names of alerts are worked out here and in `reference.rs` anew after
//! every delivery, from all that was ever heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_detect::{Detected, PlanChange, RuleBook};
use weir_operators::Reading;
use weir_operators::reference::{PlanStep, Reference, Standing};
use weir_schema::{
    AlertId, AlertRecord, AlertState, Batch, BatchSeq, Cause, Change, ChangeKind, Commit, Control,
    Epoch, EventId, EventTime, Evidence, EvidenceItem, Fact, FactValue, GroupField, GroupKey,
    Hearer, Plan, PlanId, PlanKind, Position, Problem, ReceiveTime, RuleVersion, Span, TenantKey,
    TimeBounds, journal::source_key,
};
use weir_story::{Delivery, SaidProblem, Settled, System, batches, full_name};

use crate::tell::rows;
use crate::tell::watch::Watch;

/// The oracle as a system.
#[derive(Default)]
pub struct ReferenceSystem {
    bounds: TimeBounds,
    book: RuleBook,
    reference: Reference,
    epoch: u64,
    batches: Vec<Arc<Batch>>,
    watch: Watch,
    /// The names of tenants.
    tenants: BTreeMap<TenantKey, String>,
    /// Every version of every plan that ever ran.
    plans: BTreeMap<(PlanId, RuleVersion), Plan>,
    groups: BTreeMap<(PlanId, GroupKey), Vec<GroupField>>,
    facts: Vec<Fact>,
    alerts: Vec<Alert>,
    /// The last revision of every alert that ever stood, and when it was first raised.
    revisions: BTreeMap<AlertId, (u64, Epoch)>,
    settled: Settled,
    refused: Vec<String>,
}

/// An alert that was said.
struct Alert {
    standing: Standing,
    /// Its first firing anchor.
    from: EventTime,
    record: AlertRecord,
}

impl ReferenceSystem {
    fn epoch(&mut self, steps: &[PlanStep], facts: &[Fact]) {
        self.epoch += 1;
        let horizon = self.bounds.horizon;
        let reached = self.watch.watermarks(&self.bounds).into_iter();
        let clocks = reached.map(|(tenant, watermark)| {
            let settled = horizon.map_or(EventTime::MIN, |horizon| watermark.minus(horizon));
            (TenantKey::of(&[tenant.as_bytes()]), watermark, settled)
        });
        let clocks: Vec<_> = clocks.collect();
        self.facts.extend(facts);
        for (tenant, source, time) in self.watch.heard() {
            self.reference.hear(source_key(tenant, source), time);
        }
        self.reference.epoch(steps, facts, &clocks);
        self.say();
    }

    /// Facts of a frame; with `only`, for those plans alone.
    fn read(&mut self, seq: usize, only: Option<&[PlanId]>, facts: &mut Vec<Fact>) {
        let batch = Arc::clone(&self.batches[seq]);
        let reading = Reading::of(&batch, &self.bounds, None);
        let (tenant, source) = (batch.tenant_key(), batch.source_key());
        self.tenants.insert(tenant, batch.tenant.clone());
        for (place, frame) in batch.frames.iter().enumerate() {
            let event = weir_parse::decode(frame, &reading.context());
            let id = EventId::of_frame(source, event.time, frame);
            let future = event.problems.contains(&Problem::TimeInFuture);
            if only.is_none() {
                let problem = |problem: &Problem| SaidProblem {
                    source: full_name(&batch.tenant, &batch.source),
                    problem: *problem,
                    event: id,
                };
                self.settled
                    .problems
                    .extend(event.problems.iter().map(problem));
                let told = if future { EventTime::MIN } else { event.time };
                self.watch.tick(batch.received);
                if !future {
                    let (tenant, source) = (&batch.tenant, &batch.source);
                    self.watch.hear(tenant, source, told, batch.received);
                }
            }
            if future {
                continue;
            }
            let mut detected = Detected::default();
            self.book.detect(&event, tenant, only, &mut detected);
            for link in detected.links.iter().flatten() {
                self.reference.link(*link);
                let plan = self.book.plan(link.plan);
                if let Some(Hearer::Plan(feed)) = plan.map(|plan| plan.hearer) {
                    let fields = self.book.group_fields(feed.plan, &event, tenant, link.to);
                    let key = (feed.plan, link.to);
                    self.groups.insert(key, fields.unwrap_or_default());
                }
            }
            for draft in detected.facts {
                let (plan, group) = (draft.plan, draft.group);
                let fields = self.book.group_fields(plan, &event, tenant, group);
                self.groups
                    .insert((plan, group), fields.unwrap_or_default());
                facts.push(Fact {
                    plan,
                    tenant,
                    group,
                    time: event.time,
                    event: id,
                    // A story has at most 100,000 events, and a batch fewer than 65,536.
                    position: Position::new(BatchSeq(seq as u64), place as u16),
                    member: draft.member,
                    value: match self.book.plan(plan).map(|plan| &plan.kind) {
                        Some(PlanKind::Silence) => FactValue::from(source),
                        _ => draft.value,
                    },
                });
            }
        }
    }

    fn rules(&mut self, control: &Control, steps: &mut Vec<PlanStep>, fresh: &mut Vec<PlanId>) {
        let applied = self.book.apply(control);
        let refused = applied.diagnostics.iter().filter(|said| said.refused);
        self.refused.extend(refused.map(ToString::to_string));
        for change in applied.changes {
            match change {
                PlanChange::Put { plan, backfill } => {
                    if backfill {
                        fresh.push(plan.id);
                    }
                    let version = (plan.id, plan.version);
                    self.plans.insert(version, plan.clone());
                    steps.push(PlanStep::Put(plan));
                }
                PlanChange::Remove(plan) => steps.push(PlanStep::Remove(plan)),
            }
        }
    }

    /// Compares what stands with what was said before.
    fn say(&mut self) {
        let mut standing: BTreeMap<_, Vec<Standing>> = BTreeMap::new();
        for row in self.reference.standing() {
            standing.entry((row.plan, row.group)).or_default().push(row);
        }
        let mut said: BTreeMap<_, Vec<Alert>> = BTreeMap::new();
        for alert in std::mem::take(&mut self.alerts) {
            let row = &alert.standing;
            said.entry((row.plan, row.group)).or_default().push(alert);
        }
        let before = said.values().flatten();
        let before: BTreeMap<AlertId, AlertRecord> = before
            .map(|alert| (alert.record.alert, alert.record.clone()))
            .collect();
        let mut swallowed = BTreeMap::new();
        for (key, rows) in standing {
            let before = said.remove(&key).unwrap_or_default();
            self.group(rows, before, &mut swallowed);
        }
        let commit = self.differences(&before, &swallowed);
        if !commit.changes.is_empty() || !commit.records.is_empty() {
            self.settled.commits.push(commit);
        }
    }

    /// Gives each alert of a group to the episode that goes on with it; notes which ones became
    /// one with which.
    fn group(
        &mut self,
        rows: Vec<Standing>,
        mut before: Vec<Alert>,
        swallowed: &mut BTreeMap<AlertId, AlertId>,
    ) {
        let mut episodes: Vec<(EventTime, Standing, Vec<Alert>)> = rows
            .into_iter()
            .map(|row| (self.first_firing(&row), row, Vec::new()))
            .collect();
        episodes.sort_by_key(|(from, ..)| *from);
        before.sort_by_key(|alert| alert.from);
        for alert in before {
            let w = self.timespan(&alert.standing);
            let meets = |reach: Span| {
                episodes.iter().position(|(from, row, _)| {
                    from.minus(reach) <= alert.standing.last && row.last.plus(reach) >= alert.from
                })
            };
            if let Some(heir) = meets(Span(0)).or_else(|| meets(w)) {
                episodes[heir].2.push(alert);
            }
        }
        let mut taken: BTreeSet<AlertId> = episodes
            .iter()
            .flat_map(|(_, _, heirs)| heirs.iter().map(|alert| alert.record.alert))
            .collect();
        for (from, row, mut heirs) in episodes {
            // The one that was said first goes on, the earlier one of several said together.
            heirs.sort_by_key(|alert| (alert.record.raised, alert.from));
            let mut heirs = heirs.into_iter();
            let keeper = heirs.next();
            let mut id = keeper.as_ref().map_or(row.key, |alert| alert.record.alert);
            while keeper.is_none() && !taken.insert(id) {
                id = AlertId::of(&[&id.0[0].to_le_bytes(), &id.0[1].to_le_bytes()]);
            }
            let supersedes = keeper.map_or_else(Vec::new, |alert| alert.record.supersedes);
            let mut record = self.record(&row, id, supersedes);
            for alert in heirs {
                record.supersedes.push(alert.record.alert);
                swallowed.insert(alert.record.alert, id);
            }
            self.alerts.push(Alert {
                standing: row,
                from,
                record,
            });
        }
    }

    /// What to say where these alerts stood `before`. Causes are the graph's to tell: here all are
    /// the same.
    fn differences(
        &mut self,
        before: &BTreeMap<AlertId, AlertRecord>,
        swallowed: &BTreeMap<AlertId, AlertId>,
    ) -> Commit {
        let mut commit = Commit {
            epoch: Epoch(self.epoch),
            changes: Vec::new(),
            records: Vec::new(),
        };
        for alert in &mut self.alerts {
            let record = &mut alert.record;
            let old = before.get(&record.alert);
            let taken_in = swallowed.iter().filter(|(_, by)| **by == record.alert);
            let taken_in: Vec<AlertId> = taken_in.map(|(alert, _)| *alert).collect();
            let kind = match old {
                None => Some(ChangeKind::Raised),
                Some(old) if kept(old) != kept(record) || !taken_in.is_empty() => {
                    Some(ChangeKind::Revised)
                }
                Some(_) => None,
            };
            if let Some(kind) = kind {
                record.revision += 1;
                commit
                    .changes
                    .push(change(kind, commit.epoch, record, taken_in));
            }
            if old != Some(record) {
                commit.records.push(record.clone());
            }
        }
        let stands: BTreeSet<AlertId> = self.alerts.iter().map(|a| a.record.alert).collect();
        for (id, old) in before.iter().filter(|(id, _)| !stands.contains(id)) {
            let mut record = old.clone();
            record.standing = false;
            match swallowed.get(id) {
                Some(by) => record.state = AlertState::SupersededBy(*by),
                None => {
                    record.revision += 1;
                    let gone = change(ChangeKind::Retracted, commit.epoch, &record, Vec::new());
                    commit.changes.push(gone);
                }
            }
            commit.records.push(record);
        }
        commit.changes.sort_by_key(|change| change.record.alert);
        for (ordinal, change) in (0..).zip(&mut commit.changes) {
            change.ordinal = ordinal;
            let record = &change.record;
            let last = (record.revision, record.raised);
            self.revisions.insert(record.alert, last);
        }
        commit.records.sort_by_key(|record| record.alert);
        commit
    }

    fn timespan(&self, row: &Standing) -> Span {
        let plan = self.plans.get(&(row.plan, row.version));
        plan.map_or(Span(0), |plan| plan.timespan)
    }

    /// The first firing anchor of an episode: the event time that its key names.
    fn first_firing(&self, row: &Standing) -> EventTime {
        let rule = self
            .plans
            .get(&(row.plan, row.version))
            .map(|plan| &plan.rule);
        let named = |time: EventTime| {
            let key = rule.map(|rule| AlertId::of_episode(row.tenant, rule, &row.group, time));
            key == Some(row.key)
        };
        // Of a correlation of correlations, the anchors are of events of its members.
        let chained = self.plans.get(&(row.plan, row.version));
        let chained = chained.is_some_and(|plan| plan.chain.stage > 0);
        let times = self
            .facts
            .iter()
            .filter(|fact| chained || fact.group == row.group);
        let found = times.map(|fact| fact.time).find(|time| named(*time));
        found.unwrap_or(row.first)
    }

    fn record(&self, row: &Standing, alert: AlertId, supersedes: Vec<AlertId>) -> AlertRecord {
        let plan = self.plans.get(&(row.plan, row.version));
        let item = |event: &EventId| {
            let facts = self.facts.iter().filter(|fact| fact.event == *event);
            let earliest = facts.min_by_key(|fact| fact.position);
            earliest.map(|fact| EvidenceItem {
                time: fact.time,
                event: *event,
                position: fact.position,
            })
        };
        let items: Vec<EvidenceItem> = row.evidence.iter().filter_map(item).collect();
        let (head, tail) = items.split_at(items.len().min(Evidence::ITEMS_MAX));
        let known = self.revisions.get(&alert).copied();
        let (revision, raised) = known.unwrap_or((0, Epoch(self.epoch)));
        AlertRecord {
            alert,
            key: row.key,
            revision,
            standing: true,
            raised,
            rule: plan.map_or_else(|| "".into(), |plan| Arc::clone(&plan.rule)),
            version: row.version,
            title: plan.map_or_else(String::new, |plan| plan.title.clone()),
            level: plan.map_or(weir_schema::Level::Informational, |plan| plan.level),
            tenant: self.tenants.get(&row.tenant).cloned().unwrap_or_default(),
            group: self
                .groups
                .get(&(row.plan, row.group))
                .cloned()
                .unwrap_or_default(),
            state: row.state,
            first: row.first,
            last: row.last,
            count: row.count,
            limited: false,
            supersedes,
            evidence: Evidence {
                head: head.to_vec(),
                tail: tail.to_vec(),
            },
            cause: Cause::RuleRemoved,
        }
    }
}

/// The columns that are worth a revision of their own.
fn kept(record: &AlertRecord) -> impl PartialEq + use<> {
    let count = record.count.checked_ilog2();
    (
        record.key,
        record.state,
        record.level,
        record.version,
        count,
    )
}

fn change(kind: ChangeKind, epoch: Epoch, record: &AlertRecord, took_in: Vec<AlertId>) -> Change {
    Change {
        kind,
        epoch,
        ordinal: 0,
        supersedes: took_in,
        record: record.clone(),
    }
}

impl System for ReferenceSystem {
    fn deliver(&mut self, events: &[Delivery]) {
        let mut facts = Vec::new();
        for batch in batches(events) {
            self.batches.push(Arc::new(batch));
            self.read(self.batches.len() - 1, None, &mut facts);
        }
        self.epoch(&[], &facts);
    }

    fn control(&mut self, controls: Vec<Control>) {
        let (mut steps, mut fresh, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        let mut heartbeats = Vec::new();
        for control in &controls {
            self.rules(control, &mut steps, &mut fresh);
            match control {
                Control::Start {
                    bounds, received, ..
                } => {
                    self.bounds = *bounds;
                    self.watch.tick(*received);
                }
                Control::Tick { received } => self.watch.tick(*received),
                Control::Heartbeat {
                    tenant,
                    source,
                    time,
                } => heartbeats.push((tenant, source, *time)),
                _ => {}
            }
        }
        for (tenant, source, time) in heartbeats {
            let now = self.watch.now.unwrap_or(ReceiveTime::MIN);
            self.watch.hear(tenant, source, time, now);
        }
        if !fresh.is_empty() {
            for seq in 0..self.batches.len() {
                self.read(seq, Some(&fresh), &mut facts);
            }
        }
        self.epoch(&steps, &facts);
    }

    fn settle(&mut self) -> Settled {
        std::mem::take(&mut self.settled)
    }

    /// It has no state but what it was told, so there is nothing to lose.
    fn restart(&mut self) {}

    fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    fn ask(&mut self, query: &str) -> Vec<String> {
        let standing = self.alerts.iter().map(|alert| alert.record.clone());
        rows(query, standing.collect())
    }
}
