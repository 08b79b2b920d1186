//! The evaluation of one group: its firing anchors, its episodes, and their rows.

use weir_schema::{
    AlertId, AlertState, EventId, EventTime, EvidenceItem, Fact, FactGrain, GroupKey, GroupLink,
    MarkedEvent, MemberSet, Membership, Plan, PlanKind, SourceKey, TenantKey, Weight,
};

use super::conditions::{fires, is_certain, positive_members};
use super::fact::ReferenceFact;
use super::{Reference, ReferencePlan, StandingAlert};

/// A run of firing anchors, given by its first and its last.
#[derive(Clone, Copy)]
struct ReferenceEpisode {
    from: EventTime,
    to: EventTime,
}

/// A group with its firing anchors.
pub struct EvaluatedGroup<'r> {
    /// The versions of its plan, oldest first.
    versions: &'r [ReferencePlan],
    tenant: TenantKey,
    watermark: Option<EventTime>,
    /// The facts that are anchors and are counted.
    members: Vec<ReferenceFact>,
    /// The anchors that fire.
    anchors: Vec<EventTime>,
    episodes: Vec<ReferenceEpisode>,
}

impl<'r> EvaluatedGroup<'r> {
    /// Evaluates all anchors of the sorted facts of a group.
    pub fn new(
        versions: &'r [ReferencePlan],
        tenant: TenantKey,
        watermark: Option<EventTime>,
        facts: &[ReferenceFact],
    ) -> Self {
        let newest = &versions[versions.len() - 1].plan;
        let positives = positive_members(newest);
        let members: Vec<ReferenceFact> = facts
            .iter()
            .filter(|fact| positives.contains(&fact.member))
            .copied()
            .collect();
        let mut group = Self {
            versions,
            tenant,
            watermark,
            members,
            anchors: Vec::new(),
            episodes: Vec::new(),
        };
        let mut anchors: Vec<EventTime> = group.members.iter().map(|m| m.fact.time).collect();
        anchors.dedup();
        for anchor in anchors {
            if group.is_open(anchor) {
                continue;
            }
            let plan = group.version_at(anchor);
            let timespan = plan.timespan;
            let (low, high) = match newest.kind.is_absence() {
                true => (anchor, group.concluded(anchor)),
                false => (anchor.minus(timespan), anchor),
            };
            let window = facts
                .iter()
                .filter(|fact| fact.fact.time >= low && fact.fact.time <= high);
            if !fires(plan, window) {
                continue;
            }
            group.anchors.push(anchor);
            match group.episodes.last_mut() {
                Some(last) if anchor <= last.to.plus(timespan) => last.to = anchor,
                _ => group.episodes.push(ReferenceEpisode {
                    from: anchor,
                    to: anchor,
                }),
            }
        }
        group
    }

    /// Whether an absence cannot be concluded at `anchor`.
    ///
    /// Its window must have passed, and must have ended before its plan did.
    fn is_open(&self, anchor: EventTime) -> bool {
        let newest = self.newest();
        let end = self.concluded(anchor);
        let ahead = self.watermark.is_none_or(|watermark| end > watermark);
        newest.kind.is_absence() && (end >= newest.until || ahead)
    }

    fn newest(&self) -> &'r Plan {
        &self.versions[self.versions.len() - 1].plan
    }

    /// The time at which an anchor is concluded: for an absence, the end of its window.
    fn concluded(&self, anchor: EventTime) -> EventTime {
        let plan = self.newest();
        match plan.kind.is_absence() {
            true => anchor.plus(plan.timespan),
            false => anchor,
        }
    }

    /// The newest version that took over at or before `anchor`, under which it is evaluated.
    fn version_at(&self, anchor: EventTime) -> &'r Plan {
        let time = self.concluded(anchor);
        let took_over = |version: &&ReferencePlan| {
            let line = version.lines.get(&self.tenant);
            line.is_none_or(|line| time >= *line)
        };
        let found = self.versions.iter().rev().find(took_over);
        &found.unwrap_or(&self.versions[0]).plan
    }

    /// The facts for the plan that reads this one.
    pub fn reports(&self, membership: Membership, link: &GroupLink) -> Vec<Fact> {
        let anchors: Vec<EventTime> = match membership.grain {
            FactGrain::Anchor => self.anchors.clone(),
            FactGrain::Episode => self.episodes.iter().map(|episode| episode.from).collect(),
        };
        let fact = |anchor: EventTime| {
            let at = self.members.iter().filter(|m| m.fact.time == anchor);
            let last = at.max_by_key(|member| member.identity())?.fact;
            Some(Fact {
                plan: membership.plan,
                tenant: self.tenant,
                group: link.to,
                time: self.concluded(anchor),
                members: MemberSet::of(membership.member),
                value: link.value,
                weight: Weight::ONE,
                ..last
            })
        };
        anchors.into_iter().filter_map(fact).collect()
    }

    /// The rows of the episodes.
    pub fn rows(&self, reference: &Reference, group: GroupKey) -> Vec<StandingAlert> {
        let episodes = self.episodes.iter();
        episodes
            .map(|episode| self.row(reference, group, *episode))
            .collect()
    }

    fn row(
        &self,
        reference: &Reference,
        group: GroupKey,
        episode: ReferenceEpisode,
    ) -> StandingAlert {
        let ReferenceEpisode { from, to } = episode;
        let plan = self.version_at(to);
        let absence = plan.kind.is_absence();
        let low = if absence {
            from
        } else {
            from.minus(plan.timespan)
        };
        let mut members: Vec<ReferenceFact> = self
            .members
            .iter()
            .filter(|member| member.fact.time >= low && member.fact.time <= to)
            .copied()
            .collect();
        members.dedup_by_key(|member| member.identity());
        let last = members[members.len() - 1].fact;
        let reached = self.watermark.is_some_and(|watermark| watermark >= from);
        StandingAlert {
            key: AlertId::for_episode(self.tenant, &plan.rule, &group, from),
            plan: plan.id,
            version: plan.version,
            tenant: self.tenant,
            group,
            state: match plan.kind {
                PlanKind::Silence => {
                    let source = SourceKey(last.value.0[0]);
                    reference.silence_state(self.tenant, source, self.concluded(to))
                }
                _ if absence || reached || is_certain(self.version_at(from)) => {
                    AlertState::Confirmed
                }
                _ => AlertState::Provisional,
            },
            first: members[0].fact.time,
            last: to,
            count: members.iter().map(|member| member.fact.weight.get()).sum(),
            evidence: evidence(&members),
            marked: first_marked(&members),
        }
    }
}

/// The first event with a mark.
fn first_marked(members: &[ReferenceFact]) -> Option<MarkedEvent> {
    let mut marked = members.iter().filter_map(|member| {
        let fact = member.fact;
        Some(MarkedEvent {
            mark: fact.time_mark?,
            item: EvidenceItem {
                time: fact.time,
                event: fact.event,
                position: fact.position,
            },
        })
    });
    marked.next()
}

/// The first 50 distinct events, then the last 50 of the others.
fn evidence(members: &[ReferenceFact]) -> Vec<EventId> {
    let mut events: Vec<(EventTime, EventId)> = members
        .iter()
        .map(|member| (member.fact.time, member.fact.event))
        .collect();
    events.dedup();
    let events: Vec<EventId> = events.into_iter().map(|(_, event)| event).collect();
    let tail = events.len().saturating_sub(50).max(50.min(events.len()));
    let mut evidence = events[..50.min(events.len())].to_vec();
    evidence.extend(&events[tail..]);
    evidence
}
