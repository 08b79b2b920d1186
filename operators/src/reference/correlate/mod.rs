//! The oracle of the correlator.

mod conditions;
mod fact;
mod group;

use std::collections::BTreeMap;

use weir_schema::{
    AlertId, AlertState, EventId, EventTime, Fact, GroupKey, GroupLink, MarkedEvent, Membership,
    Plan, PlanId, PlanOutput, RuleVersion, SourceKey, TenantKey, TimeMark,
};

use fact::ReferenceFact;
use group::EvaluatedGroup;

/// A change of the rules.
#[derive(Clone, Debug)]
pub enum PlanStep {
    Install(Plan),
    Remove(PlanId),
}

/// The watermark and settled line of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceClock {
    pub tenant: TenantKey,
    pub watermark: EventTime,
    pub settled: EventTime,
}

/// A standing alert, in the columns in which the correlator must equal the oracle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingAlert {
    pub key: AlertId,
    pub plan: PlanId,
    pub version: RuleVersion,
    pub tenant: TenantKey,
    pub group: GroupKey,
    pub state: AlertState,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    /// The first 50 events, then the last 50 that are not among them.
    pub evidence: Vec<EventId>,
    pub marked: Option<MarkedEvent>,
}

/// Everything that was admitted.
///
/// **Invariant.** [`Reference::standing`] is a function of the admitted facts, the plan steps and
/// the clocks under which each arrived.
///
/// **Cost.** Quadratic in the facts of a group and more: for tests only.
#[derive(Default)]
pub struct Reference {
    /// The versions of each plan, oldest first.
    plans: BTreeMap<PlanId, Vec<ReferencePlan>>,
    facts: Vec<Fact>,
    clocks: Clocks,
    /// The groups of plans that other plans read.
    links: BTreeMap<(PlanId, GroupKey), GroupLink>,
    /// The times up to which each source was observed, oldest first.
    sources: BTreeMap<SourceKey, Vec<SourceObservation>>,
}

/// The clock of each tenant.
type Clocks = BTreeMap<TenantKey, ReferenceClock>;

/// A version of a plan.
struct ReferencePlan {
    plan: Plan,
    /// The settled line of each tenant when the version took over.
    lines: BTreeMap<TenantKey, EventTime>,
}

/// An observation of a source, with the clocks before it.
struct SourceObservation {
    time: EventTime,
    clocks: Clocks,
}

/// A fact as its plan takes it; `None` if it does not count.
///
/// A fact with the mark counts if its event lies before the settled line: at its receipt, and never
/// together with other events. Any other fact counts if its event does not.
fn admitted(mut fact: Fact, settled: EventTime) -> Option<Fact> {
    if fact.time_mark != Some(TimeMark::LateBeyondHorizon) {
        return (fact.time >= settled).then_some(fact);
    }
    let receipt = EventTime(fact.received.0);
    if fact.time >= settled || receipt < settled {
        return None;
    }
    fact.time = receipt;
    fact.group = fact.group.late_twin();
    Some(fact)
}

impl Reference {
    /// Records the time up to which a source was observed, in the epoch that comes next.
    pub fn observe_source(&mut self, source: SourceKey, time: EventTime) {
        let clocks = self.clocks.clone();
        let known = self.sources.entry(source).or_default();
        known.push(SourceObservation { time, clocks });
    }

    /// Records the group to which the group of another plan reports.
    pub fn link(&mut self, link: GroupLink) {
        self.links.insert((link.plan, link.group), link);
    }

    /// Admits an epoch: plan steps first, then facts under the old clocks, then the new clocks.
    pub fn epoch(&mut self, steps: &[PlanStep], facts: &[Fact], clocks: &[ReferenceClock]) {
        for step in steps {
            match step {
                PlanStep::Install(plan) => {
                    let lines = self.clocks.values();
                    let lines = lines.map(|clock| (clock.tenant, clock.settled)).collect();
                    let versions = self.plans.entry(plan.id).or_default();
                    versions.push(ReferencePlan {
                        plan: plan.clone(),
                        lines,
                    });
                    self.facts
                        .retain(|fact| fact.plan != plan.id || fact.time < plan.until);
                }
                PlanStep::Remove(plan) => {
                    self.plans.remove(plan);
                    self.facts.retain(|fact| fact.plan != *plan);
                }
            }
        }
        for fact in facts {
            let clock = self.clocks.get(&fact.tenant);
            let settled = clock.map_or(EventTime::MIN, |clock| clock.settled);
            if self.plans.contains_key(&fact.plan) {
                self.facts.extend(admitted(*fact, settled));
            }
        }
        for clock in clocks {
            self.clocks.insert(clock.tenant, *clock);
        }
    }

    /// The standing alerts, sorted.
    #[must_use]
    pub fn standing(&self) -> Vec<StandingAlert> {
        let events = self.facts.iter();
        let events = events.flat_map(|fact| ReferenceFact::all(*fact, 0));
        let mut facts: Vec<ReferenceFact> = events.collect();
        let mut standing = Vec::new();
        for stage in 0..=Plan::STAGE_MAX {
            let mut groups: BTreeMap<(PlanId, TenantKey, GroupKey), Vec<ReferenceFact>> =
                BTreeMap::new();
            for fact in &facts {
                let plan = self.newest(fact.fact.plan);
                if plan.is_some_and(|plan| plan.chain.stage == stage) {
                    let key = (fact.fact.plan, fact.fact.tenant, fact.fact.group);
                    groups.entry(key).or_default().push(*fact);
                }
            }
            for ((plan, tenant, group), mut members) in groups {
                members.sort();
                let Some(versions) = self.plans.get(&plan) else {
                    continue;
                };
                let watermark = self.clocks.get(&tenant).map(|clock| clock.watermark);
                let evaluated = EvaluatedGroup::new(versions, tenant, watermark, &members);
                match self.newest(plan).map(|plan| plan.output) {
                    Some(PlanOutput::Plan(membership)) => {
                        for fact in self.reports(&evaluated, plan, group, membership) {
                            let serial = facts.len();
                            facts.extend(ReferenceFact::all(fact, serial));
                        }
                    }
                    _ => standing.extend(evaluated.rows(self, group)),
                }
            }
        }
        standing.sort();
        standing
    }

    /// The facts that a group of a plan reports to the plan that reads it.
    fn reports(
        &self,
        evaluated: &EvaluatedGroup<'_>,
        plan: PlanId,
        group: GroupKey,
        membership: Membership,
    ) -> Vec<Fact> {
        let (Some(reader), Some(link)) =
            (self.newest(membership.plan), self.links.get(&(plan, group)))
        else {
            return Vec::new();
        };
        let mut facts = evaluated.reports(membership, link);
        facts.retain(|fact| fact.time < reader.until);
        facts
    }

    /// The newest version of a plan.
    fn newest(&self, plan: PlanId) -> Option<&Plan> {
        let version = self.plans.get(&plan)?.last()?;
        Some(&version.plan)
    }

    /// The state of a silence that is concluded at `end`.
    ///
    /// It is confirmed if its source was observed up to `end` before that time was settled.
    fn silence_state(&self, tenant: TenantKey, source: SourceKey, end: EventTime) -> AlertState {
        let observations = self.sources.get(&source).into_iter().flatten();
        let first = observations.into_iter().find(|seen| seen.time >= end);
        let is_open = |clocks: &Clocks| {
            let clock = clocks.get(&tenant);
            clock.is_none_or(|clock| clock.settled <= end)
        };
        match first {
            Some(observation) if is_open(&observation.clocks) => AlertState::Confirmed,
            _ => AlertState::Blind,
        }
    }
}
