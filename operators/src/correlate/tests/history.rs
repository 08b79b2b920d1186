//! Random histories: plan steps, facts, source times and clocks, epoch by epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use weir_schema::{
    Decimal, EventId, EventTime, Fact, FactValue, GroupKey, GroupLink, MemberSet, Plan, PlanId,
    PlanKind, PlanOutput, Position, ReceiveTime, RuleVersion, SourceKey, Span, TenantKey, TimeMark,
    Weight,
};

use super::random_plans::{
    ChainPlan, UNIT, edit_randomly, member_count, random_chain, random_plan,
};
use crate::clock::TenantClock;
use crate::correlate::Directive;
use crate::reference::{PlanStep, ReferenceClock};

/// One random history. Times are small numbers, so ties, exact distances and merges are frequent.
pub struct History {
    pub rng: ChaCha8Rng,
    /// Decides which facts are marked.
    marks: ChaCha8Rng,
    pub plans: BTreeMap<PlanId, Plan>,
    /// The members of a plan that are events; all members of plans that are not listed.
    event_members: BTreeMap<PlanId, Vec<u16>>,
    pub clock: TenantClock,
    horizon: i64,
    position: u64,
    version: u64,
    /// Long windows full of events, so that evidence is cut and counts are large.
    dense: bool,
    /// The times up to which the sources were observed.
    source_times: [i64; 2],
    /// The kind of all plans, or "chain"; any kind if `None`.
    pub only: Option<&'static str>,
}

impl History {
    pub fn new(seed: u64, only: Option<&'static str>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let horizon = *[0, 3, 10, 30, 1000].choose(&mut rng).expect("not empty");
        Self {
            rng,
            marks: ChaCha8Rng::seed_from_u64(!seed),
            plans: BTreeMap::new(),
            event_members: BTreeMap::new(),
            clock: TenantClock::start(TenantKey(7)),
            horizon,
            position: 0,
            version: 1,
            dense: seed.is_multiple_of(5),
            source_times: [0; 2],
            only,
        }
    }

    /// The plan steps of an epoch: plans in the first, later now and then a change.
    pub fn plan_steps(&mut self, epoch: u64) -> Vec<PlanStep> {
        if epoch == 1 {
            return self.first_plans();
        }
        if self.rng.random_bool(0.06) {
            return self.change_plans();
        }
        Vec::new()
    }

    fn first_plans(&mut self) -> Vec<PlanStep> {
        let mut steps = Vec::new();
        if self.only == Some("chain") {
            let chain = random_chain(&mut self.rng, 1, Plan::STAGE_MAX);
            for ChainPlan {
                mut plan,
                event_members,
            } in chain
            {
                if self.dense {
                    plan.timespan = Span(plan.timespan.0 * 5);
                }
                self.event_members.insert(plan.id, event_members);
                self.plans.insert(plan.id, plan.clone());
                steps.push(PlanStep::Install(plan));
            }
        } else {
            for id in 1..=self.rng.random_range(1..3) {
                let mut plan = random_plan(&mut self.rng, id, self.only);
                if self.dense {
                    plan.timespan = Span(plan.timespan.0 * 5);
                }
                self.plans.insert(plan.id, plan.clone());
                steps.push(PlanStep::Install(plan));
            }
        }
        steps
    }

    /// Removes, ends, continues or edits plans.
    fn change_plans(&mut self) -> Vec<PlanStep> {
        let mut steps = Vec::new();
        let ids: Vec<PlanId> = self.plans.keys().copied().collect();
        let Some(id) = ids.choose(&mut self.rng) else {
            return steps;
        };
        // The plans of a chain are installed, ended and removed together.
        let together: Vec<PlanId> = match self.only {
            Some("chain") => ids.clone(),
            _ => vec![*id],
        };
        match self.rng.random_range(0..10) {
            0 => {
                let again = self.rng.random_bool(0.5);
                steps.extend(together.iter().map(|id| PlanStep::Remove(*id)));
                for id in &together {
                    let mut plan = self.plans.remove(id).expect("chosen from the keys");
                    if again {
                        plan.until = EventTime::MAX;
                        self.plans.insert(*id, plan.clone());
                        steps.push(PlanStep::Install(plan));
                    }
                }
            }
            1 => {
                for id in &together {
                    let plan = self.plans.get_mut(id).expect("chosen from the keys");
                    plan.until = plan.until.min(EventTime(self.clock.watermark.0.max(0)));
                    steps.push(PlanStep::Install(plan.clone()));
                }
            }
            // The facts that it lacks come as late facts, if at all. An end that is settled stays:
            // the absences that it left open are settled, too.
            2 => {
                let settled = self.clock.settled;
                for id in &together {
                    let plan = self.plans.get_mut(id).expect("chosen from the keys");
                    if plan.until >= settled {
                        plan.until = EventTime::MAX;
                    }
                    steps.push(PlanStep::Install(plan.clone()));
                }
            }
            _ => {
                self.version += 1;
                let plan = self.plans.get_mut(id).expect("chosen from the keys");
                plan.version = RuleVersion(self.version);
                edit_randomly(&mut self.rng, &mut plan.kind);
                steps.push(PlanStep::Install(plan.clone()));
            }
        }
        steps
    }

    /// The facts of an epoch, around `now` seconds.
    pub fn facts(&mut self, now: i64) -> Vec<Fact> {
        let mut facts = Vec::new();
        for _ in 0..self.rng.random_range(0..if self.dense { 30 } else { 6 }) {
            let ids: Vec<PlanId> = self.plans.keys().copied().collect();
            let Some(plan) = ids.choose(&mut self.rng) else {
                break;
            };
            self.add_facts(*plan, now, &mut facts);
        }
        let late: Vec<Fact> = facts.iter().filter_map(|fact| self.late(fact)).collect();
        facts.extend(late);
        facts
    }

    /// Whether the next event of `plan` begins an absence: events without an answer lead to episodes
    /// that merge.
    fn begins_absence(&mut self, plan: PlanId, event_members: &[u16]) -> bool {
        matches!(self.plans[&plan].kind, PlanKind::NotFollowed { .. })
            && self.rng.random_bool(0.7)
            && event_members.contains(&0)
    }

    /// Adds a random fact of `plan`, and now and then one of another member or delivery.
    fn add_facts(&mut self, plan: PlanId, now: i64, facts: &mut Vec<Fact>) {
        let back = if self.rng.random_bool(0.3) { 40 } else { 3 };
        let edge = if self.rng.random_bool(0.05) { 1 } else { 0 };
        let time = EventTime((now - self.rng.random_range(0..back)) * UNIT + edge);
        let marked = self.marks.random_bool(0.1);
        let members = member_count(&self.plans[&plan].kind);
        if time >= self.plans[&plan].until {
            return;
        }
        let event_members = match self.event_members.get(&plan) {
            Some(members) if members.is_empty() => return,
            Some(members) => members.clone(),
            None => (0..members).collect(),
        };
        // Few distinct events, so that equal frames are frequent.
        let event = EventId([time.0 as u64, self.rng.random_range(0..2)]);
        let group = GroupKey([self.rng.random_range(0..2), 9]);
        self.position += 1;
        let mut first = *event_members.choose(&mut self.rng).expect("not empty");
        if self.begins_absence(plan, &event_members) {
            first = 0;
        }
        let mut fact = Fact {
            plan,
            tenant: self.clock.tenant,
            group,
            time,
            event,
            position: Position(self.position),
            members: MemberSet::of(first),
            value: self.value(plan),
            weight: self.weight(),
            received: ReceiveTime(now * UNIT),
            time_mark: marked.then_some(TimeMark::NotCredible),
        };
        facts.push(fact);
        let last = facts.len() - 1;
        let other = (first + 1) % members;
        if members > 1 && self.rng.random_bool(0.1) && event_members.contains(&other) {
            // One fact of both members, or one fact for each.
            match self.position.is_multiple_of(2) {
                true => {
                    fact.members = MemberSet::of(other);
                    facts.push(fact);
                }
                false => facts[last].members.add(other),
            }
        }
        if self.rng.random_bool(0.1) {
            self.position += 1;
            fact.position = Position(self.position);
            facts.push(fact);
        }
    }

    fn weight(&mut self) -> Weight {
        match self.rng.random_bool(0.2) {
            true => Weight::of(self.rng.random_range(1..5)),
            false => Weight::ONE,
        }
    }

    fn value(&mut self, plan: PlanId) -> FactValue {
        match self.plans[&plan].kind {
            PlanKind::Silence => FactValue([self.rng.random_range(0..2), 0]),
            _ => Decimal(i128::from(self.rng.random_range(-2..5)) * Decimal::ONE).into(),
        }
    }

    /// The fact of the same event for the case that it lies before the settled line.
    fn late(&self, fact: &Fact) -> Option<Fact> {
        let plan = &self.plans[&fact.plan];
        let seen = !plan.correlates && EventTime(fact.received.0) < plan.until;
        (seen && fact.time_mark.is_none()).then_some(Fact {
            time_mark: Some(TimeMark::LateBeyondHorizon),
            ..*fact
        })
    }

    /// The groups to which the groups of facts report, and those to which these report.
    pub fn links(&self, facts: &[Fact]) -> Vec<Vec<GroupLink>> {
        let mut all = Vec::new();
        for fact in facts {
            let mut links = Vec::new();
            let (mut plan, mut group) = (fact.plan, fact.group);
            while let Some(known) = self.plans.get(&plan)
                && let PlanOutput::Plan(membership) = known.output
            {
                let next = link(known, group);
                links.push(next);
                (plan, group) = (membership.plan, next.to);
            }
            if !links.is_empty() {
                all.push(links);
            }
        }
        all
    }

    /// Facts with the stages of their plans, in random order.
    ///
    /// Some facts of several members come as a fact for each, which means the same.
    pub fn staged(&mut self, facts: &[Fact]) -> Vec<(u8, Fact)> {
        let stage = |fact: &Fact| {
            let plan = self.plans.get(&fact.plan);
            plan.map_or(0, |plan| plan.chain.stage)
        };
        let mut staged: Vec<(u8, Fact)> = Vec::new();
        for fact in facts {
            match fact.position.0.is_multiple_of(3) {
                true => staged.extend(fact.members.iter().map(|member| {
                    let members = MemberSet::of(member);
                    (stage(fact), Fact { members, ..*fact })
                })),
                false => staged.push((stage(fact), *fact)),
            }
        }
        staged.shuffle(&mut self.rng);
        staged
    }

    /// The times up to which each of two sources was observed, where they advance.
    pub fn source_times(&mut self, now: i64) -> Vec<(SourceKey, EventTime)> {
        let mut times = Vec::new();
        for (source, known) in self.source_times.iter_mut().enumerate() {
            let time = (now - self.rng.random_range(0..20)) * UNIT;
            if self.rng.random_bool(0.3) && time > *known {
                *known = time;
                times.push((SourceKey(source as u64), EventTime(time)));
            }
        }
        times
    }

    /// Moves the clock in every other epoch.
    pub fn advance(&mut self, now: i64) -> Option<TenantClock> {
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

/// The group to which a group of a plan reports; several groups report to one.
fn link(plan: &Plan, group: GroupKey) -> GroupLink {
    GroupLink {
        stage: plan.chain.stage,
        plan: plan.id,
        group,
        to: GroupKey([group.0[0] & plan.id.0 & 1, 9]),
        value: FactValue([group.0[0], 5]),
    }
}

/// The directives of an epoch.
pub fn directives(
    steps: &[PlanStep],
    source_times: &[(SourceKey, EventTime)],
    clock: Option<TenantClock>,
) -> Vec<Directive> {
    let plan = |step: &PlanStep| match step {
        PlanStep::Install(plan) => Directive::Install(Arc::new(plan.clone())),
        PlanStep::Remove(plan) => Directive::Remove(*plan),
    };
    let clock = clock.map(Directive::Clock);
    let times = source_times
        .iter()
        .map(|(source, time)| Directive::SourceTime(*source, *time));
    steps.iter().map(plan).chain(times).chain(clock).collect()
}

/// The plans that the steps remove.
pub fn removed_plans(steps: &[PlanStep]) -> Vec<PlanId> {
    let removed = steps.iter().filter_map(|step| match step {
        PlanStep::Remove(plan) => Some(*plan),
        PlanStep::Install(_) => None,
    });
    removed.collect()
}

/// A clock as the oracle takes it.
pub fn reference_clock(clock: TenantClock) -> ReferenceClock {
    ReferenceClock {
        tenant: clock.tenant,
        watermark: clock.watermark,
        settled: clock.settled,
    }
}
