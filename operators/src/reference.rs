//! The oracle: what stands, by plain loops over everything that was let in. Imports only schema.
//!
//! Written from the definitions, for clarity alone: no state but what arrived, nothing incremental,
//! nothing forgotten. Everything else in this crate is judged by it.

use std::collections::BTreeMap;

use weir_schema::{
    AlertId, AlertState, Decimal, Each, EventId, EventTime, Fact, Feed, GroupKey, Hearer, Link,
    Plan, PlanId, PlanKind, Position, RuleVersion, SourceKey, Statistic, TenantKey, ValueBound,
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
    /// Groups of plans that other plans hear.
    links: BTreeMap<(PlanId, GroupKey), Link>,
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

    /// Takes note of the group to which another plan's group belongs.
    pub fn link(&mut self, link: Link) {
        self.links.insert((link.plan, link.group), link);
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
        let newest = |plan: &PlanId| {
            let versions = self.plans.get(plan)?;
            versions.last().map(|(plan, _)| plan)
        };
        let mut seen: Vec<Seen> = self.facts.iter().map(|fact| Seen::event(*fact)).collect();
        let mut standing = Vec::new();
        for stage in 0..=Plan::STAGE_MAX {
            let mut groups: BTreeMap<(PlanId, TenantKey, GroupKey), Vec<Seen>> = BTreeMap::new();
            for one in &seen {
                let fact = &one.fact;
                if newest(&fact.plan).is_some_and(|plan| plan.chain.stage == stage) {
                    let key = (fact.plan, fact.tenant, fact.group);
                    groups.entry(key).or_default().push(*one);
                }
            }
            for ((plan, tenant, group), mut facts) in groups {
                facts.sort();
                let Some(versions) = self.plans.get(&plan) else {
                    continue;
                };
                let judged = self.judge(versions, tenant, &facts);
                let Some(Hearer::Plan(feed)) = newest(&plan).map(|plan| plan.hearer) else {
                    standing.extend(judged.rows(self, group));
                    continue;
                };
                let (Some(hearing), Some(link)) =
                    (newest(&feed.plan), self.links.get(&(plan, group)))
                else {
                    continue;
                };
                for mut fact in judged.told(feed, link) {
                    if fact.time < hearing.until {
                        fact.tenant = tenant;
                        seen.push(Seen {
                            fact,
                            serial: seen.len(),
                        });
                    }
                }
            }
        }
        standing.sort();
        standing
    }

    /// Which anchors of a group fire, and the episodes that they are.
    fn judge<'r>(
        &self,
        versions: &'r [(Plan, BTreeMap<TenantKey, EventTime>)],
        tenant: TenantKey,
        facts: &'r [Seen],
    ) -> Judged<'r> {
        let newest = &versions[versions.len() - 1].0;
        let positives = positive_members(newest);
        let members: Vec<Seen> = facts
            .iter()
            .filter(|seen| positives.contains(&seen.fact.member))
            .copied()
            .collect();
        let mut judged = Judged {
            versions,
            tenant,
            members,
            anchors: Vec::new(),
            episodes: Vec::new(),
            watermark: self.clocks.get(&tenant).map(|clock| clock.0),
        };
        let mut anchors: Vec<EventTime> = judged.members.iter().map(|m| m.fact.time).collect();
        anchors.dedup();
        // An absence is concluded when its window has passed, and not where the rule ended before.
        let absence = newest.kind.is_absence();
        let is_open = |anchor: &EventTime| {
            let end = judged.concluded(*anchor);
            let ahead = judged.watermark.is_none_or(|watermark| end > watermark);
            absence && (end >= newest.until || ahead)
        };
        anchors.retain(|anchor| !is_open(anchor));
        for anchor in anchors {
            let plan = judged.in_force(anchor);
            let timespan = plan.timespan;
            let (low, high) = match absence {
                true => (anchor, judged.concluded(anchor)),
                false => (anchor.minus(plan.timespan), anchor),
            };
            let window = facts
                .iter()
                .filter(|seen| seen.fact.time >= low && seen.fact.time <= high);
            if !fires(plan, window) {
                continue;
            }
            judged.anchors.push(anchor);
            match judged.episodes.last_mut() {
                Some(last) if anchor <= last.1.plus(timespan) => last.1 = anchor,
                _ => judged.episodes.push((anchor, anchor)),
            }
        }
        judged
    }
}

/// A fact as a plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    fact: Fact,
    /// Of what another plan told, another number each time: each is an event of its own.
    serial: usize,
}

impl Seen {
    fn event(fact: Fact) -> Self {
        Self { fact, serial: 0 }
    }

    /// What tells one event from others.
    fn of(&self) -> (EventTime, EventId, Position, usize) {
        let fact = &self.fact;
        (fact.time, fact.event, fact.position, self.serial)
    }
}

/// What a group comes to.
struct Judged<'r> {
    versions: &'r [(Plan, BTreeMap<TenantKey, EventTime>)],
    tenant: TenantKey,
    members: Vec<Seen>,
    /// Those that fire.
    anchors: Vec<EventTime>,
    episodes: Vec<(EventTime, EventTime)>,
    watermark: Option<EventTime>,
}

impl Judged<'_> {
    /// When an anchor is judged: an absence, when its window has passed.
    fn concluded(&self, anchor: EventTime) -> EventTime {
        let plan = &self.versions[self.versions.len() - 1].0;
        match plan.kind.is_absence() {
            true => anchor.plus(plan.timespan),
            false => anchor,
        }
    }

    /// An anchor is judged by the newest version that took over at or before it.
    fn in_force(&self, anchor: EventTime) -> &Plan {
        let time = self.concluded(anchor);
        let took_over = |lines: &BTreeMap<TenantKey, EventTime>| {
            lines.get(&self.tenant).is_none_or(|line| time >= *line)
        };
        let mut newest = self.versions.iter().rev();
        let found = newest.find(|(_, lines)| took_over(lines));
        &found.unwrap_or(&self.versions[0]).0
    }

    /// What the plan that hears this one is told.
    fn told(&self, feed: Feed, link: &Link) -> Vec<Fact> {
        let first = |episode: &(EventTime, EventTime)| episode.0;
        let anchors: Vec<EventTime> = match feed.each {
            Each::Anchor => self.anchors.clone(),
            Each::Episode => self.episodes.iter().map(first).collect(),
        };
        let fact = |anchor: EventTime| {
            let at = self.members.iter().filter(|seen| seen.fact.time == anchor);
            let last = at.max_by_key(|seen| seen.of()).map(|seen| seen.fact)?;
            Some(Fact {
                plan: feed.plan,
                group: link.to,
                time: self.concluded(anchor),
                member: feed.member,
                value: link.value,
                ..last
            })
        };
        anchors.into_iter().filter_map(fact).collect()
    }

    fn rows(&self, reference: &Reference, group: GroupKey) -> Vec<Standing> {
        let row = |(from, to): &(EventTime, EventTime)| {
            let (from, to) = (*from, *to);
            let plan = self.in_force(to);
            let absence = plan.kind.is_absence();
            let low = if absence {
                from
            } else {
                from.minus(plan.timespan)
            };
            let mut rests_on: Vec<Seen> = self
                .members
                .iter()
                .filter(|seen| seen.fact.time >= low && seen.fact.time <= to)
                .copied()
                .collect();
            rests_on.dedup_by_key(|seen| seen.of());
            let last = rests_on[rests_on.len() - 1].fact;
            let reached = self.watermark.is_some_and(|watermark| watermark >= from);
            Standing {
                key: AlertId::of_episode(self.tenant, &plan.rule, &group, from),
                plan: plan.id,
                version: plan.version,
                tenant: self.tenant,
                group,
                state: match plan.kind {
                    PlanKind::Silence => {
                        let source = SourceKey(last.value.0[0]);
                        reference.silence(self.tenant, source, self.concluded(to))
                    }
                    _ if absence || reached || is_certain(self.in_force(from)) => {
                        AlertState::Confirmed
                    }
                    _ => AlertState::Provisional,
                },
                first: rests_on[0].fact.time,
                last: to,
                count: rests_on.len() as u64,
                evidence: evidence(&rests_on),
            }
        };
        self.episodes.iter().map(row).collect()
    }
}

fn fires<'f>(plan: &Plan, window: impl Iterator<Item = &'f Seen>) -> bool {
    let window: Vec<&Seen> = window.collect();
    let seen: Vec<u16> = window.iter().map(|seen| seen.fact.member).collect();
    let mut deliveries: Vec<_> = window.iter().map(|seen| seen.of()).collect();
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
            let mut values: Vec<_> = window.iter().map(|seen| seen.fact.value).collect();
            values.sort();
            values.dedup();
            bounds.iter().all(|bound| bound.holds(values.len() as u64))
        }
        PlanKind::Value { statistic, bounds } => {
            let mut values: Vec<i128> = window
                .iter()
                .map(|seen| seen.fact.value.decimal().0)
                .collect();
            values.sort_unstable();
            let (numerator, denominator) = statistic_of(*statistic, &values);
            let holds =
                |bound: &ValueBound| bound.holds(numerator.cmp(&(bound.number().0 * denominator)));
            bounds.iter().all(holds)
        }
        PlanKind::NotFollowed { .. } => !seen.iter().any(|member| *member > 0),
        // The window begins with the event itself.
        PlanKind::Silence => {
            let first = window[0].fact.time;
            window.iter().all(|seen| seen.fact.time == first)
        }
    }
}

/// Whether the members from `member` on can each be given an event that no other has, at or after
/// that of the one before.
fn follow(window: &[&Seen], member: u16, members: u16, taken: &mut Vec<Seen>) -> bool {
    if member == members {
        return true;
    }
    for seen in window {
        let is_free = !taken.iter().any(|other| other.of() == seen.of());
        let last = taken.last().map(|last| last.fact.time);
        let is_later = last.is_none_or(|last| last <= seen.fact.time);
        if seen.fact.member == member && is_free && is_later {
            taken.push(**seen);
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

/// Whether no event to come can withdraw an alert of the plan.
fn is_certain(plan: &Plan) -> bool {
    use weir_schema::Bound;
    let monotone = match &plan.kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => bounds
            .iter()
            .all(|bound| matches!(bound, Bound::Gt(_) | Bound::Gte(_))),
        PlanKind::TemporalOrdered { .. } => true,
        PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => false,
        PlanKind::Temporal { members, condition } => !condition.has_negation(usize::from(*members)),
    };
    monotone && !plan.chain.tentative
}

fn evidence(rests_on: &[Seen]) -> Vec<EventId> {
    let mut events: Vec<(EventTime, EventId)> = rests_on
        .iter()
        .map(|seen| (seen.fact.time, seen.fact.event))
        .collect();
    events.dedup();
    let events: Vec<EventId> = events.into_iter().map(|(_, event)| event).collect();
    let tail = events.len().saturating_sub(50).max(50.min(events.len()));
    let mut evidence = events[..50.min(events.len())].to_vec();
    evidence.extend(&events[tail..]);
    evidence
}
