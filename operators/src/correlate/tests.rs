//! Random histories through the correlator and through the oracle: equal after every epoch.
//!
//! Catches: wrong windows and ties, lost or invented firing, wrong merge and split, state that
//! forgetting loses, versions that a settled alert should have kept. Each planted fault of
//! `fault.rs` must be caught, so the properties are known to bite.

use std::collections::BTreeMap;

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use weir_schema::{
    AlertId, AlertRow, Bound, Chain, Decimal, EventId, EventTime, Evidence, Fact, FactGrain,
    FactValue, GroupKey, GroupLink, Level, MemberCondition, Membership, Plan, PlanId, PlanKind,
    PlanOutput, Position, RuleVersion, SourceKey, Span, Statistic, TenantKey, ValueBound,
};

mod past;
mod shadows;

use super::fault::{self, Fault};
use super::{Correlator, CorrelatorOutput, Directive, StageUpdate};
use crate::clock::TenantClock;
use crate::reference::{PlanStep, Reference, StandingAlert};
use std::sync::Arc;
use weir_schema::Epoch;

/// What a run of histories came across, to show that the properties look where it matters.
#[derive(Debug, Default)]
struct Coverage {
    cases: u32,
    raised: u32,
    retracted: u32,
    merged: u32,
    crossed: u32,
    rule_edits: u32,
    refused: u32,
    /// Epochs in which evidence was longer than is kept.
    cut: u32,
}

/// Correlators, one behind the other, with what they have said, added up.
struct Sut {
    stages: Vec<Correlator>,
    standing: BTreeMap<AlertId, Arc<AlertRow>>,
}

impl Default for Sut {
    fn default() -> Self {
        Self {
            stages: (0..=Plan::STAGE_MAX).map(Correlator::of_stage).collect(),
            standing: BTreeMap::new(),
        }
    }
}

impl Sut {
    /// Takes an epoch in, stage by stage.
    fn epoch(
        &mut self,
        epoch: Epoch,
        facts: &[(u8, Fact)],
        links: &[Vec<GroupLink>],
        directives: &[Directive],
    ) -> CorrelatorOutput {
        let mut said = CorrelatorOutput {
            fed: links.iter().cloned().map(StageUpdate::Links).collect(),
            ..CorrelatorOutput::default()
        };
        for (stage, correlator) in (0..).zip(&mut self.stages) {
            let own = facts.iter().filter(|(of, _)| *of == stage);
            let own: Vec<Fact> = own.map(|(_, fact)| *fact).collect();
            let output = correlator.epoch_fed(epoch, &own, &said.fed, directives);
            said.rows.extend(output.rows);
            said.retractions.extend(output.retractions);
            said.counts.add(&output.counts);
            said.fed.extend(output.fed);
        }
        said
    }

    /// Adds the output up; an inconsistent update is a failure by itself.
    fn add(&mut self, output: CorrelatorOutput, removed: &[PlanId]) -> Result<(u32, u32), String> {
        let (mut raised, mut retracted) = (0, 0);
        let mut net: BTreeMap<Arc<AlertRow>, isize> = BTreeMap::new();
        for (row, diff) in output.rows {
            *net.entry(row).or_default() += diff;
        }
        for (row, diff) in net.iter().filter(|(_, diff)| **diff < 0) {
            let known = self.standing.remove(&row.alert);
            if *diff != -1 || known.as_ref() != Some(row) {
                return Err(format!("took back what does not stand: {row:?}"));
            }
            retracted += 1;
        }
        // Downstream, a removed rule takes all of its alerts along.
        self.standing.retain(|_, row| !removed.contains(&row.plan));
        for (row, diff) in net.iter().filter(|(_, diff)| **diff > 0) {
            let known = self.standing.insert(row.alert, Arc::clone(row));
            if *diff != 1 || known.is_some() {
                return Err(format!("said {} twice", row.alert));
            }
            raised += 1;
        }
        Ok((raised, retracted))
    }

    fn rows(&self) -> Vec<StandingAlert> {
        let mut rows: Vec<StandingAlert> =
            self.standing.values().map(|row| standing(row)).collect();
        rows.sort();
        rows
    }
}

fn standing(row: &AlertRow) -> StandingAlert {
    let Evidence { head, tail } = &row.evidence;
    StandingAlert {
        key: row.key,
        plan: row.plan,
        version: row.version,
        tenant: row.tenant,
        group: row.group,
        state: row.state,
        first: row.first,
        last: row.last,
        count: row.count,
        evidence: head.iter().chain(tail).map(|item| item.event).collect(),
    }
}

/// Histories are told in seconds, since the calendar's grain is one.
const UNIT: i64 = 1_000_000_000;

fn random_bounds(rng: &mut ChaCha8Rng) -> Vec<Bound> {
    let n = rng.random_range(1..5);
    match rng.random_range(0..10) {
        0..5 => vec![Bound::Gte(n)],
        5 => vec![Bound::Gt(n)],
        6 => vec![Bound::Lt(n + 1)],
        7 => vec![Bound::Eq(n)],
        8 => vec![Bound::Neq(n)],
        _ => vec![Bound::Gte(n), Bound::Lte(n + 1)],
    }
}

fn random_condition(rng: &mut ChaCha8Rng) -> MemberCondition {
    let seen = MemberCondition::Present;
    let not = |member| MemberCondition::Not(Box::new(MemberCondition::Present(member)));
    match rng.random_range(0..5) {
        0 => MemberCondition::All(vec![seen(0), seen(1)]),
        1 => MemberCondition::All(vec![seen(0), not(1)]),
        2 => MemberCondition::All(vec![seen(0), seen(1), not(2)]),
        3 => MemberCondition::Any(vec![seen(0), MemberCondition::All(vec![seen(1), not(2)])]),
        _ => MemberCondition::All(vec![seen(0), MemberCondition::Any(vec![seen(1), not(2)])]),
    }
}

fn random_value_bounds(rng: &mut ChaCha8Rng) -> Vec<ValueBound> {
    let number = Decimal(i128::from(rng.random_range(-4..16)) * Decimal::ONE / 2);
    let above = Decimal(number.0 + Decimal::ONE);
    match rng.random_range(0..8) {
        0..3 => vec![ValueBound::Gte(number)],
        3 => vec![ValueBound::Gt(number)],
        4 => vec![ValueBound::Lt(number)],
        5 => vec![ValueBound::Eq(number)],
        6 => vec![ValueBound::Neq(number)],
        _ => vec![ValueBound::Gte(number), ValueBound::Lte(above)],
    }
}

/// The correlation types, each with what it is in a random history.
const TYPES: [&str; 10] = [
    "event_count",
    "temporal",
    "temporal_ordered",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "not_followed",
    "silence",
];

fn random_kind(rng: &mut ChaCha8Rng, name: &str) -> PlanKind {
    let percent = |percent: i128| Statistic::Percentile(Decimal(percent * Decimal::ONE));
    let statistic = match name {
        "event_count" => {
            let bounds = random_bounds(rng);
            return PlanKind::EventCount { bounds };
        }
        "temporal" => {
            let condition = random_condition(rng);
            return PlanKind::Temporal {
                members: 3,
                condition,
            };
        }
        "temporal_ordered" => {
            let members = rng.random_range(1..4);
            return PlanKind::TemporalOrdered { members };
        }
        "value_count" => {
            let bounds = random_bounds(rng);
            return PlanKind::ValueCount { bounds };
        }
        "not_followed" => {
            let members = rng.random_range(2..4);
            return PlanKind::NotFollowed { members };
        }
        "silence" => return PlanKind::Silence,
        "value_sum" => Statistic::Sum,
        "value_avg" => Statistic::Average,
        "value_median" => percent(50),
        _ => match rng.random_range(0..4) {
            0 => percent(100),
            1 => percent(0),
            _ => Statistic::Percentile(Decimal(rng.random_range(0..=100 * Decimal::ONE))),
        },
    };
    let bounds = random_value_bounds(rng);
    PlanKind::Value { statistic, bounds }
}

fn random_plan(rng: &mut ChaCha8Rng, id: u64, name: Option<&str>) -> Plan {
    let name = name.unwrap_or_else(|| TYPES.choose(rng).expect("not empty"));
    let kind = random_kind(rng, name);
    Plan {
        id: PlanId(id),
        rule: format!("rule-{id}").into(),
        version: RuleVersion(1),
        title: String::new(),
        level: Level::Medium,
        kind,
        timespan: Span(rng.random_range(1..12) * UNIT),
        group_by: Vec::new(),
        since: EventTime::MIN,
        until: EventTime::MAX,
        output: PlanOutput::Alerts,
        chain: Chain::default(),
    }
}

/// A plan that hears others, behind those that it hears; and which of its members are of events.
fn random_chain(rng: &mut ChaCha8Rng, id: u64, depth: u8) -> Vec<(Plan, Vec<u16>)> {
    let kinds = [
        "event_count",
        "temporal",
        "temporal_ordered",
        "value_count",
        "not_followed",
    ];
    let kind = kinds.choose(rng).expect("not empty");
    let mut plan = random_plan(rng, id, Some(kind));
    let (members, each) = match &plan.kind {
        PlanKind::Temporal { members, .. }
        | PlanKind::TemporalOrdered { members }
        | PlanKind::NotFollowed { members } => (*members, FactGrain::Anchor),
        _ => (1, FactGrain::Episode),
    };
    let mut chain = Vec::new();
    let mut direct: Vec<u16> = (0..members).collect();
    let heard = rng.random_range(1..=members.min(2));
    let mut tentative = each == FactGrain::Episode;
    for place in 0..heard {
        let member = rng.random_range(0..members);
        // Of a count, events may be members beside what other plans say.
        if members > 1 || rng.random_bool(0.5) {
            direct.retain(|other| *other != member);
        }
        let sub = id * 10 + u64::from(place) + 1;
        let mut found = if depth > 1 && rng.random_bool(0.4) {
            random_chain(rng, sub, depth - 1)
        } else {
            let kind = loop {
                let kind = TYPES.choose(rng).expect("not empty");
                if *kind != "silence" {
                    break *kind;
                }
            };
            let plan = random_plan(rng, sub, Some(kind));
            let members = match &plan.kind {
                PlanKind::Temporal { members, .. }
                | PlanKind::TemporalOrdered { members }
                | PlanKind::NotFollowed { members } => *members,
                _ => 1,
            };
            vec![(plan, (0..members).collect())]
        };
        let (last, _) = found.last_mut().expect("a chain has its own plan last");
        tentative |= !last.is_certain();
        plan.chain.stage = plan.chain.stage.max(last.chain.stage + 1);
        last.output = PlanOutput::Plan(Membership {
            plan: plan.id,
            stage: 0,
            member,
            grain: each,
        });
        chain.append(&mut found);
    }
    plan.chain.tentative = tentative;
    for (sub, _) in &mut chain {
        if let PlanOutput::Plan(feed) = &mut sub.output
            && feed.plan == plan.id
        {
            feed.stage = plan.chain.stage;
        }
    }
    chain.push((plan, direct));
    chain
}

/// Where a group of a plan belongs that another hears: some of them to one.
fn link(plan: &Plan, group: GroupKey) -> GroupLink {
    GroupLink {
        stage: plan.chain.stage,
        plan: plan.id,
        group,
        to: GroupKey([group.0[0] & plan.id.0 & 1, 9]),
        value: FactValue([group.0[0], 5]),
    }
}

/// One random history. Times are small numbers, so that ties, exact distances and merges abound.
struct History {
    rng: ChaCha8Rng,
    plans: BTreeMap<PlanId, Plan>,
    /// Members of plans that are of events; all, where it says nothing.
    direct: BTreeMap<PlanId, Vec<u16>>,
    clock: TenantClock,
    horizon: i64,
    position: u64,
    version: u64,
    /// Long windows full of events, so that evidence is cut and counts are large.
    dense: bool,
    /// How far the sources have told.
    heard: [i64; 2],
    /// All rules are of this type.
    only: Option<&'static str>,
}

impl History {
    fn new(seed: u64, only: Option<&'static str>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let horizon = *[0, 3, 10, 30, 1000].choose(&mut rng).expect("not empty");
        Self {
            rng,
            plans: BTreeMap::new(),
            direct: BTreeMap::new(),
            clock: TenantClock::start(TenantKey(7)),
            horizon,
            position: 0,
            version: 1,
            dense: seed.is_multiple_of(5),
            heard: [0; 2],
            only,
        }
    }

    fn plan_steps(&mut self, epoch: u64) -> Vec<PlanStep> {
        let mut steps = Vec::new();
        if epoch == 1 && self.only == Some("chain") {
            for (mut plan, direct) in random_chain(&mut self.rng, 1, Plan::STAGE_MAX) {
                if self.dense {
                    plan.timespan = Span(plan.timespan.0 * 5);
                }
                self.direct.insert(plan.id, direct);
                self.plans.insert(plan.id, plan.clone());
                steps.push(PlanStep::Put(plan));
            }
        } else if epoch == 1 {
            for id in 1..=self.rng.random_range(1..3) {
                let mut plan = random_plan(&mut self.rng, id, self.only);
                if self.dense {
                    plan.timespan = Span(plan.timespan.0 * 5);
                }
                self.plans.insert(plan.id, plan.clone());
                steps.push(PlanStep::Put(plan));
            }
        } else if self.rng.random_bool(0.06) {
            let ids: Vec<PlanId> = self.plans.keys().copied().collect();
            let Some(id) = ids.choose(&mut self.rng) else {
                return steps;
            };
            // The plans of a chain come, end and go together.
            let together: Vec<PlanId> = match self.only {
                Some("chain") => ids.clone(),
                _ => vec![*id],
            };
            match self.rng.random_range(0..10) {
                0 => {
                    let again = self.rng.random_bool(0.5);
                    for id in &together {
                        steps.push(PlanStep::Remove(*id));
                    }
                    for id in &together {
                        let mut plan = self.plans.remove(id).expect("chosen from the keys");
                        // A plan whose end moves on goes and comes again.
                        if again {
                            plan.until = EventTime::MAX;
                            self.plans.insert(*id, plan.clone());
                            steps.push(PlanStep::Put(plan));
                        }
                    }
                }
                1 => {
                    for id in &together {
                        let plan = self.plans.get_mut(id).expect("chosen from the keys");
                        plan.until = plan.until.min(EventTime(self.clock.watermark.0.max(0)));
                        steps.push(PlanStep::Put(plan.clone()));
                    }
                }
                _ => {
                    self.version += 1;
                    let plan = self.plans.get_mut(id).expect("chosen from the keys");
                    plan.version = RuleVersion(self.version);
                    match &mut plan.kind {
                        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => {
                            *bounds = random_bounds(&mut self.rng);
                        }
                        PlanKind::Value { bounds, .. } => {
                            *bounds = random_value_bounds(&mut self.rng);
                        }
                        // Which members must be seen is part of the plan's shape.
                        PlanKind::Temporal { members, condition } => {
                            let positive = |condition: &MemberCondition| {
                                let mut marks = vec![false; usize::from(*members)];
                                condition.mark_positive(&mut marks);
                                marks
                            };
                            let other = random_condition(&mut self.rng);
                            if positive(&other) == positive(condition) {
                                *condition = other;
                            }
                        }
                        // The order of members is, too: only the version changes.
                        PlanKind::TemporalOrdered { .. }
                        | PlanKind::NotFollowed { .. }
                        | PlanKind::Silence => {}
                    }
                    steps.push(PlanStep::Put(plan.clone()));
                }
            }
        }
        steps
    }

    fn facts(&mut self, now: i64) -> Vec<Fact> {
        let mut facts = Vec::new();
        for _ in 0..self.rng.random_range(0..if self.dense { 30 } else { 6 }) {
            let ids: Vec<PlanId> = self.plans.keys().copied().collect();
            let Some(plan) = ids.choose(&mut self.rng) else {
                break;
            };
            let back = if self.rng.random_bool(0.3) { 40 } else { 3 };
            let edge = if self.rng.random_bool(0.05) { 1 } else { 0 };
            let time = EventTime((now - self.rng.random_range(0..back)) * UNIT + edge);
            let members = match &self.plans[plan].kind {
                PlanKind::Temporal { members, .. }
                | PlanKind::TemporalOrdered { members }
                | PlanKind::NotFollowed { members } => *members,
                _ => 1, // The others read one rule here.
            };
            if time >= self.plans[plan].until {
                continue;
            }
            let direct = match self.direct.get(plan) {
                Some(direct) if direct.is_empty() => continue,
                Some(direct) => direct.clone(),
                None => (0..members).collect(),
            };
            // Few distinct events, so that equal frames abound.
            let event = EventId([time.0 as u64, self.rng.random_range(0..2)]);
            let group = GroupKey([self.rng.random_range(0..2), 9]);
            self.position += 1;
            let mut first = *direct.choose(&mut self.rng).expect("not empty");
            // What is never answered comes to episodes that merge.
            if matches!(self.plans[plan].kind, PlanKind::NotFollowed { .. })
                && self.rng.random_bool(0.7)
                && direct.contains(&0)
            {
                first = 0;
            }
            let mut fact = Fact {
                plan: *plan,
                tenant: self.clock.tenant,
                group,
                time,
                event,
                position: Position(self.position),
                member: first,
                value: match self.plans[plan].kind {
                    PlanKind::Silence => FactValue([self.rng.random_range(0..2), 0]),
                    _ => Decimal(i128::from(self.rng.random_range(-2..5)) * Decimal::ONE).into(),
                },
            };
            facts.push(fact);
            let other = (first + 1) % members;
            if members > 1 && self.rng.random_bool(0.1) && direct.contains(&other) {
                fact.member = other;
                facts.push(fact);
            }
            if self.rng.random_bool(0.1) {
                self.position += 1;
                fact.position = Position(self.position);
                facts.push(fact);
            }
        }
        facts
    }

    /// Where the groups of facts belong, and those to which they belong.
    fn links(&self, facts: &[Fact]) -> Vec<Vec<GroupLink>> {
        let mut all = Vec::new();
        for fact in facts {
            let mut links = Vec::new();
            let (mut plan, mut group) = (fact.plan, fact.group);
            while let Some(known) = self.plans.get(&plan)
                && let PlanOutput::Plan(feed) = known.output
            {
                let next = link(known, group);
                links.push(next);
                (plan, group) = (feed.plan, next.to);
            }
            if !links.is_empty() {
                all.push(links);
            }
        }
        all
    }

    /// How far each of two sources was heard to tell.
    fn hear(&mut self, now: i64) -> Vec<(SourceKey, EventTime)> {
        let mut heard = Vec::new();
        for (source, known) in self.heard.iter_mut().enumerate() {
            let time = (now - self.rng.random_range(0..20)) * UNIT;
            if self.rng.random_bool(0.3) && time > *known {
                *known = time;
                heard.push((SourceKey(source as u64), EventTime(time)));
            }
        }
        heard
    }

    fn advance(&mut self, now: i64) -> Option<TenantClock> {
        if !self.rng.random_bool(0.5) {
            return None;
        }
        let watermark =
            EventTime((now - self.rng.random_range(0..10)) * UNIT).max(self.clock.watermark);
        let settled = watermark
            .minus(Span(self.horizon * UNIT))
            .max(self.clock.settled);
        self.clock = TenantClock {
            watermark,
            settled,
            ..self.clock
        };
        Some(self.clock)
    }
}

fn directives(
    steps: &[PlanStep],
    heard: &[(SourceKey, EventTime)],
    clock: Option<TenantClock>,
) -> Vec<Directive> {
    let plan = |step: &PlanStep| match step {
        PlanStep::Put(plan) => Directive::Put(Arc::new(plan.clone())),
        PlanStep::Remove(plan) => Directive::Remove(*plan),
    };
    let clock = clock.map(Directive::Clock);
    let heard = heard
        .iter()
        .map(|(source, time)| Directive::Heard(*source, *time));
    steps.iter().map(plan).chain(heard).chain(clock).collect()
}

/// Plays history `seed`; `Err` says what differed, and after which epoch.
fn play(seed: u64, only: Option<&'static str>, coverage: &mut Coverage) -> Result<(), String> {
    let mut history = History::new(seed, only);
    let mut sut = Sut::default();
    let mut reference = Reference::default();
    let (mut raised, mut retracted, mut merged, mut crossed, mut edits) = (0, 0, 0, 0, 0);
    let mut now = 50;
    for epoch in 1..=40 {
        now += history.rng.random_range(0..8);
        let steps = history.plan_steps(epoch);
        edits += u32::from(epoch > 1 && !steps.is_empty());
        let facts = history.facts(now);
        let line = history.clock.settled;
        let heard = history.hear(now);
        for (source, time) in &heard {
            reference.hear(*source, *time);
        }
        let clock = history.advance(now);
        let told = clock.map(|clock| (clock.tenant, clock.watermark, clock.settled));
        reference.epoch(&steps, &facts, told.as_slice());
        let links = history.links(&facts);
        links
            .iter()
            .flatten()
            .for_each(|link| reference.link(*link));
        let stage = |fact: &Fact| {
            history
                .plans
                .get(&fact.plan)
                .map_or(0, |plan| plan.chain.stage)
        };
        let mut shuffled: Vec<(u8, Fact)> = facts.iter().map(|f| (stage(f), *f)).collect();
        shuffled.shuffle(&mut history.rng);
        let directives = directives(&steps, &heard, clock);
        let output = sut.epoch(Epoch(epoch), &shuffled, &links, &directives);
        let is_cut = |row: &AlertRow| row.evidence.tail.len() == Evidence::ITEMS_MAX;
        coverage.cut += output.rows.iter().any(|(row, _)| is_cut(row)) as u32;
        coverage.refused += output.counts.not_re_evaluated as u32;
        merged += output
            .rows
            .iter()
            .any(|(row, _)| !row.supersedes.is_empty()) as u32;
        crossed += output
            .rows
            .iter()
            .any(|(row, _)| row.first < line && row.last >= line) as u32;
        let removed: Vec<PlanId> = steps
            .iter()
            .filter_map(|step| match step {
                PlanStep::Remove(plan) => Some(*plan),
                PlanStep::Put(_) => None,
            })
            .collect();
        let before = sut.standing.len() as u32;
        let (up, down) = sut.add(output, &removed)?;
        raised += up;
        retracted += u32::from(down > up || (sut.standing.len() as u32) < before);
        let (ours, theirs) = (sut.rows(), reference.standing());
        if ours != theirs {
            let missing: Vec<_> = theirs.iter().filter(|row| !ours.contains(row)).collect();
            let extra: Vec<_> = ours.iter().filter(|row| !theirs.contains(row)).collect();
            return Err(format!(
                "epoch {epoch}: missing {missing:#?}, extra {extra:#?}"
            ));
        }
    }
    coverage.cases += 1;
    coverage.raised += u32::from(raised > 0);
    coverage.retracted += u32::from(retracted > 0);
    coverage.merged += u32::from(merged > 0);
    coverage.crossed += u32::from(crossed > 0);
    coverage.rule_edits += u32::from(edits > 0);
    Ok(())
}

fn play_all(seeds: u64, only: Option<&'static str>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in 0..seeds {
        if let Err(difference) = play(seed, only, &mut coverage) {
            panic!("{only:?}, seed {seed}: {difference}");
        }
    }
    println!("{}: {coverage:?}", only.unwrap_or("all types"));
    let share = |n: u32| f64::from(n) / f64::from(coverage.cases);
    assert!(share(coverage.raised) >= 0.3, "{coverage:?}");
    assert!(share(coverage.retracted) >= 0.1, "{coverage:?}");
    // Silences are further apart than their windows: each is an alert of one anchor.
    if only != Some("silence") {
        assert!(share(coverage.merged) >= 0.05, "{coverage:?}");
        assert!(share(coverage.crossed) >= 0.05, "{coverage:?}");
    }
    assert!(share(coverage.rule_edits) >= 0.3, "{coverage:?}");
    coverage
}

#[test]
fn random_histories_equal_the_reference_after_every_epoch() {
    let coverage = play_all(4_000, None);
    assert!(coverage.refused > 1_000, "{coverage:?}");
    assert!(coverage.cut > 1_000, "{coverage:?}");
}

#[test]
fn histories_of_each_correlation_type_equal_the_reference() {
    for name in TYPES {
        play_all(1_000, Some(name));
    }
}

#[test]
fn histories_of_chains_equal_the_reference() {
    play_all(2_000, Some("chain"));
}

#[test]
fn every_planted_fault_is_caught() {
    for fault in [
        Fault::OpenBound,
        Fault::FactsOnlyToLine,
        Fault::LostSummary,
        Fault::DroppedRetraction,
        Fault::MultiplicityIgnored,
        Fault::WrongTie,
        Fault::StaleWindow,
        Fault::ValueStays,
        Fault::NoInterpolation,
        Fault::EventTwice,
        Fault::AnswerAtTheBound,
        Fault::EarlyConclusion,
        Fault::StaysBlind,
        Fault::NeverTakenOut,
    ] {
        fault::plant(Some(fault));
        let only = (fault == Fault::NeverTakenOut).then_some("chain");
        let caught = (0..2_000).find(|seed| play(*seed, only, &mut Coverage::default()).is_err());
        fault::plant(None);
        assert!(caught.is_some(), "{fault:?} went unnoticed");
        println!("{fault:?} is caught by seed {}", caught.unwrap_or(0));
    }
}

const PLAN: PlanId = PlanId(1);

/// A plan that fires from two events on.
fn pair(id: PlanId) -> Arc<Plan> {
    let mut plan = random_plan(&mut ChaCha8Rng::seed_from_u64(0), id.0, None);
    plan.kind = PlanKind::EventCount {
        bounds: vec![Bound::Gte(2)],
    };
    plan.timespan = Span(10 * UNIT);
    Arc::new(plan)
}

fn fact(plan: PlanId, tenant: u64, group: u64, seconds: i64, position: u64) -> Fact {
    Fact {
        plan,
        tenant: TenantKey(tenant),
        group: GroupKey([group, 9]),
        time: EventTime(seconds * UNIT),
        event: EventId([position, 0]),
        position: Position(position),
        member: 0,
        value: FactValue::default(),
    }
}

#[test]
fn a_tenants_clock_settles_nothing_of_the_tenant_that_has_a_place_given_back() {
    let mut correlator = Correlator::default();
    let put = Directive::Put(pair(PLAN));
    correlator.epoch(Epoch(1), &[fact(PLAN, 1, 1, 100, 1)], &[put]);
    // The first tenant's group goes with its plan; the second tenant's takes its place.
    let other = PlanId(2);
    let steps = [Directive::Remove(PLAN), Directive::Put(pair(other))];
    correlator.epoch(Epoch(2), &[fact(other, 2, 2, 100, 2)], &steps);
    let far = TenantClock {
        watermark: EventTime(9_000 * UNIT),
        settled: EventTime(8_000 * UNIT),
        ..TenantClock::start(TenantKey(1))
    };
    correlator.epoch(Epoch(3), &[], &[Directive::Clock(far)]);
    let output = correlator.epoch(Epoch(4), &[fact(other, 2, 2, 105, 3)], &[]);
    assert_eq!(output.rows.len(), 1, "the second tenant's pair fires");
}

#[test]
fn what_a_limit_refuses_does_not_depend_on_the_order_within_an_epoch() {
    let epoch = [
        fact(PLAN, 1, 1, 100, 1),
        fact(PLAN, 1, 2, 100, 2),
        fact(PLAN, 1, 1, 101, 3),
        fact(PLAN, 1, 2, 101, 4),
    ];
    let said = |facts: &[Fact]| {
        // One group a shard, and both groups are of one shard.
        let mut correlator = Correlator::with_groups_max(super::SHARDS);
        let put = Directive::Put(pair(PLAN));
        let output = correlator.epoch(Epoch(1), facts, &[put]);
        assert_eq!(output.counts.limited, 2);
        let rule = pair(PLAN).rule.clone();
        assert_eq!(output.counts.incomplete, [rule].into());
        output.rows
    };
    let mut turned = epoch;
    turned.reverse();
    assert_eq!(said(&epoch), said(&turned));
}

#[test]
fn a_rule_cut_in_two_gives_one_name_to_one_alert() {
    let mut correlator = Correlator::default();
    let mut standing: BTreeMap<Arc<AlertRow>, isize> = BTreeMap::new();
    let single = |id| {
        let mut plan = (*pair(id)).clone();
        plan.rule = "rule".into();
        plan.kind = PlanKind::EventCount {
            bounds: vec![Bound::Gte(1)],
        };
        plan
    };
    let (mut old, new) = (single(PLAN), single(PlanId(2)));
    let put = |plan: &Plan| Directive::Put(Arc::new(plan.clone()));
    let first = put(&old);
    old.until = EventTime(100 * UNIT);
    // The alert is named by the event at 104, and a late one moves its start before the cut.
    let epochs = [
        (vec![fact(PLAN, 1, 1, 104, 1)], vec![first]),
        (vec![fact(PLAN, 1, 1, 97, 2)], vec![]),
        (vec![fact(new.id, 1, 1, 104, 1)], vec![put(&old), put(&new)]),
    ];
    for (epoch, (facts, directives)) in (1..).zip(&epochs) {
        let output = correlator.epoch(Epoch(epoch), facts, directives);
        for (row, diff) in output.rows {
            *standing.entry(row).or_default() += diff;
        }
    }
    standing.retain(|_, diff| *diff != 0);
    let names: std::collections::BTreeSet<_> = standing.keys().map(|row| row.alert).collect();
    assert_eq!((standing.len(), names.len()), (2, 2), "{standing:#?}");
}
