//! The oracle: what stands, by plain loops over everything that was let in. Imports only schema.
//!
//! Written from the definitions, for clarity alone: no state but what arrived, nothing incremental,
//! nothing forgotten. Everything else in this crate is judged by it.

use std::collections::BTreeMap;

use weir_schema::{
    AlertId, AlertState, Decimal, EventId, EventTime, Fact, GroupKey, Plan, PlanId, PlanKind,
    RuleVersion, SourceKey, Statistic, TenantKey, ValueBound,
};

/// A change of the rules.
#[derive(Clone, Debug)]
pub enum PlanStep {
    Put(Plan),
    Remove(PlanId),
}

/// An alert that stands, in the columns that the claim of sameness is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
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
}

/// Everything that was let in.
#[derive(Default)]
pub struct Reference {
    /// Versions of each plan, with the settled line of each tenant when it took over.
    plans: BTreeMap<PlanId, Vec<(Plan, BTreeMap<TenantKey, EventTime>)>>,
    facts: Vec<Fact>,
    /// Watermark and settled line.
    clocks: Lines,
    /// How far each source was heard to tell, and the clocks as they were before.
    heard: BTreeMap<SourceKey, Vec<(EventTime, Lines)>>,
}

/// Watermark and settled line of each tenant.
type Lines = BTreeMap<TenantKey, (EventTime, EventTime)>;

impl Reference {
    /// Takes note of how far a source has told, in the epoch that is taken in next.
    pub fn hear(&mut self, source: SourceKey, time: EventTime) {
        let known = self.heard.entry(source).or_default();
        known.push((time, self.clocks.clone()));
    }

    /// How a silence stands that is concluded at `end`: known, if its source was heard to tell so
    /// much before that was settled.
    fn silence(&self, tenant: TenantKey, source: SourceKey, end: EventTime) -> AlertState {
        let heard = self.heard.get(&source).into_iter().flatten();
        let first = heard.into_iter().find(|(time, _)| *time >= end);
        let is_open = |lines: &Lines| {
            lines
                .get(&tenant)
                .is_none_or(|(_, settled)| *settled <= end)
        };
        match first {
            Some((_, lines)) if is_open(lines) => AlertState::Confirmed,
            _ => AlertState::Blind,
        }
    }

    /// Takes an epoch in: rules first, then facts under the old clocks, then the new clocks.
    pub fn epoch(
        &mut self,
        plans: &[PlanStep],
        facts: &[Fact],
        clocks: &[(TenantKey, EventTime, EventTime)],
    ) {
        for step in plans {
            match step {
                PlanStep::Put(plan) => {
                    let lines = self.clocks.iter().map(|(tenant, clock)| (*tenant, clock.1));
                    let lines = lines.collect();
                    let versions = self.plans.entry(plan.id).or_default();
                    versions.push((plan.clone(), lines));
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
            let settled = self.clocks.get(&fact.tenant).map(|clock| clock.1);
            if self.plans.contains_key(&fact.plan) && settled.is_none_or(|line| fact.time >= line) {
                self.facts.push(*fact);
            }
        }
        for (tenant, watermark, settled) in clocks {
            self.clocks.insert(*tenant, (*watermark, *settled));
        }
    }

    /// The alerts that stand, sorted.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let mut groups: BTreeMap<(PlanId, TenantKey, GroupKey), Vec<Fact>> = BTreeMap::new();
        for fact in &self.facts {
            let key = (fact.plan, fact.tenant, fact.group);
            groups.entry(key).or_default().push(*fact);
        }
        let mut standing = Vec::new();
        for ((plan, tenant, group), mut facts) in groups {
            facts.sort_by_key(|fact| (fact.time, fact.event, fact.position, fact.member));
            if let Some(versions) = self.plans.get(&plan) {
                standing.extend(self.group_standing(versions, tenant, group, &facts));
            }
        }
        standing.sort();
        standing
    }

    fn group_standing(
        &self,
        versions: &[(Plan, BTreeMap<TenantKey, EventTime>)],
        tenant: TenantKey,
        group: GroupKey,
        facts: &[Fact],
    ) -> Vec<Standing> {
        let watermark = self.clocks.get(&tenant).map(|clock| clock.0);
        // An anchor is judged by the newest version that took over at or before it.
        let in_force = |time: EventTime| {
            let took_over = |lines: &BTreeMap<TenantKey, EventTime>| {
                lines.get(&tenant).is_none_or(|line| time >= *line)
            };
            let newest = versions.iter().rev().find(|(_, lines)| took_over(lines));
            &newest.unwrap_or(&versions[0]).0
        };
        let newest = &versions[versions.len() - 1].0;
        let positives = positive_members(newest);
        let members: Vec<Fact> = facts
            .iter()
            .filter(|fact| positives.contains(&fact.member))
            .copied()
            .collect();
        let mut anchors: Vec<EventTime> = members.iter().map(|fact| fact.time).collect();
        anchors.dedup();
        let absence = newest.kind.is_absence();
        // An absence is concluded when its window has passed, and not where the rule ended before.
        let concluded = |anchor: EventTime| anchor.plus(newest.timespan);
        let is_open = |anchor: &EventTime| {
            let end = concluded(*anchor);
            absence && (end >= newest.until || watermark.is_none_or(|watermark| end > watermark))
        };
        anchors.retain(|anchor| !is_open(anchor));
        let mut episodes: Vec<(EventTime, EventTime)> = Vec::new();
        for anchor in anchors {
            let plan = in_force(if absence { concluded(anchor) } else { anchor });
            let (low, high) = match absence {
                true => (anchor, concluded(anchor)),
                false => (anchor.minus(plan.timespan), anchor),
            };
            let window = facts
                .iter()
                .filter(|fact| fact.time >= low && fact.time <= high);
            if !fires(plan, window) {
                continue;
            }
            match episodes.last_mut() {
                Some(last) if anchor <= last.1.plus(plan.timespan) => last.1 = anchor,
                _ => episodes.push((anchor, anchor)),
            }
        }
        let row = |(from, to): (EventTime, EventTime)| {
            let judged = |anchor| in_force(if absence { concluded(anchor) } else { anchor });
            let plan = judged(to);
            let low = if absence {
                from
            } else {
                from.minus(plan.timespan)
            };
            let mut rests_on: Vec<Fact> = members
                .iter()
                .filter(|fact| fact.time >= low && fact.time <= to)
                .copied()
                .collect();
            rests_on.dedup_by_key(|fact| (fact.time, fact.event, fact.position));
            let last = rests_on[rests_on.len() - 1];
            let reached = watermark.is_some_and(|watermark| watermark >= from);
            Standing {
                key: AlertId::of_episode(tenant, &plan.rule, &group, from),
                plan: plan.id,
                version: plan.version,
                tenant,
                group,
                state: match plan.kind {
                    PlanKind::Silence => {
                        self.silence(tenant, SourceKey(last.value.0[0]), concluded(to))
                    }
                    _ if absence || reached || is_monotone(&judged(from).kind) => {
                        AlertState::Confirmed
                    }
                    _ => AlertState::Provisional,
                },
                first: rests_on[0].time,
                last: to,
                count: rests_on.len() as u64,
                evidence: evidence(&rests_on),
            }
        };
        episodes.into_iter().map(row).collect()
    }
}

fn fires<'f>(plan: &Plan, window: impl Iterator<Item = &'f Fact>) -> bool {
    let window: Vec<&Fact> = window.collect();
    let seen: Vec<u16> = window.iter().map(|fact| fact.member).collect();
    let delivery = |fact: &&Fact| (fact.time, fact.event, fact.position);
    let mut deliveries: Vec<_> = window.iter().map(delivery).collect();
    deliveries.dedup();
    match &plan.kind {
        PlanKind::EventCount { bounds } => {
            let count = deliveries.len() as u64;
            bounds.iter().all(|bound| bound.holds(count))
        }
        PlanKind::Temporal { condition, .. } => condition.holds(&|member| seen.contains(&member)),
        PlanKind::TemporalOrdered { members } => {
            (0..*members).all(|member| seen.contains(&member))
                && follow(&window, 0, *members, &mut Vec::new())
        }
        PlanKind::ValueCount { bounds } => {
            let mut values: Vec<_> = window.iter().map(|fact| fact.value).collect();
            values.sort();
            values.dedup();
            bounds.iter().all(|bound| bound.holds(values.len() as u64))
        }
        PlanKind::Value { statistic, bounds } => {
            let mut values: Vec<i128> = window.iter().map(|f| f.value.decimal().0).collect();
            values.sort_unstable();
            let (numerator, denominator) = statistic_of(*statistic, &values);
            let holds =
                |bound: &ValueBound| bound.holds(numerator.cmp(&(bound.number().0 * denominator)));
            bounds.iter().all(holds)
        }
        PlanKind::NotFollowed { .. } => !seen.iter().any(|member| *member > 0),
        // The window begins with the event itself.
        PlanKind::Silence => window.iter().all(|fact| fact.time == window[0].time),
    }
}

/// Whether the members from `member` on can each be given an event that no other has, at or after
/// that of the one before.
fn follow(window: &[&Fact], member: u16, members: u16, taken: &mut Vec<Fact>) -> bool {
    if member == members {
        return true;
    }
    let of = |fact: &Fact| (fact.time, fact.event, fact.position);
    for fact in window {
        let is_free = !taken.iter().any(|other| of(other) == of(fact));
        let is_later = taken.last().is_none_or(|last| last.time <= fact.time);
        if fact.member == member && is_free && is_later {
            taken.push(**fact);
            if follow(window, member + 1, members, taken) {
                return true;
            }
            taken.pop();
        }
    }
    false
}

/// As a fraction: of sorted values, at least one.
fn statistic_of(statistic: Statistic, values: &[i128]) -> (i128, i128) {
    let sum: i128 = values.iter().sum();
    match statistic {
        Statistic::Sum => (sum, 1),
        Statistic::Average => (sum, values.len() as i128),
        Statistic::Percentile(rank) => {
            let hundred = 100 * Decimal::ONE;
            let place = rank.0 * (values.len() as i128 - 1);
            let low = (place / hundred) as usize;
            let part = place % hundred;
            let high = if part == 0 { low } else { low + 1 };
            (
                values[low] * (hundred - part) + values[high] * part,
                hundred,
            )
        }
    }
}

fn positive_members(plan: &Plan) -> Vec<u16> {
    match &plan.kind {
        PlanKind::EventCount { .. }
        | PlanKind::ValueCount { .. }
        | PlanKind::Value { .. }
        | PlanKind::NotFollowed { .. }
        | PlanKind::Silence => {
            vec![0]
        }
        PlanKind::TemporalOrdered { members } => (0..*members).collect(),
        PlanKind::Temporal { members, condition } => {
            let mut positive = vec![false; usize::from(*members)];
            condition.mark_positive(&mut positive);
            (0..*members)
                .filter(|member| positive[usize::from(*member)])
                .collect()
        }
    }
}

fn is_monotone(kind: &PlanKind) -> bool {
    use weir_schema::Bound;
    match kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => bounds
            .iter()
            .all(|bound| matches!(bound, Bound::Gt(_) | Bound::Gte(_))),
        PlanKind::TemporalOrdered { .. } => true,
        PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => false,
        PlanKind::Temporal { members, condition } => !condition.has_negation(usize::from(*members)),
    }
}

fn evidence(rests_on: &[Fact]) -> Vec<EventId> {
    let mut events: Vec<EventId> = rests_on.iter().map(|fact| fact.event).collect();
    events.dedup();
    let tail = events.len().saturating_sub(50).max(50.min(events.len()));
    let mut evidence = events[..50.min(events.len())].to_vec();
    evidence.extend(&events[tail..]);
    evidence
}
