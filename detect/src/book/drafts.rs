//! The matches and facts of an event: one fact for each plan and group, with all members.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{FactValue, GroupKey, GroupLink, MemberSet, PlanId, RuleId};

use crate::book::facts;
use crate::book::group::{self, GroupBy, GroupOutcome};
use crate::book::live::{LivePlan, PlanSource};
use crate::book::origin::EventOrigin;
use crate::sigma::view::{EventView, Renames};

/// The matches and facts of one event. The buffers are reused for the next event.
#[derive(Clone, Debug, Default)]
pub struct Detections {
    /// Rules whose detection matches, in order of id. Correlations are not among them.
    ///
    /// Empty if the caller selected certain plans.
    pub matches: Vec<RuleId>,
    /// In order of plan, without duplicates.
    pub facts: Vec<FactDraft>,
    /// For facts of members' plans: the group of the downstream plan, then of the next one, and so
    /// on.
    pub links: Vec<Vec<GroupLink>>,
    /// Number of members without a fact because a field to group by is missing.
    pub ungrouped: u32,
    /// Number of members that lost groups beyond [`crate::GROUPS_MAX`].
    pub capped: u32,
    /// Number of members without a fact because the event has no value or number for their plan.
    pub valueless: u32,
}

impl Detections {
    pub fn clear(&mut self) {
        self.matches.clear();
        self.facts.clear();
        self.links.clear();
        self.ungrouped = 0;
        self.capped = 0;
        self.valueless = 0;
    }
}

/// A fact without the parts that the caller knows: tenant, time, event and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactDraft {
    pub plan: PlanId,
    pub group: GroupKey,
    pub members: MemberSet,
    pub value: FactValue,
}

/// A member of a plan that an event matched, and the field names under which it did.
#[derive(Clone, Copy)]
pub(crate) struct MatchedMember<'l> {
    pub live: &'l LivePlan,
    pub source: &'l PlanSource,
    pub renames: Option<&'l Arc<Renames>>,
}

impl MatchedMember<'_> {
    /// Whether both group an event alike, unless a detection names a placeholder.
    fn groups_as(&self, other: &Self) -> bool {
        let same_names = match (self.renames, other.renames) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        };
        same_names
            && self.live.plan.id == other.live.plan.id
            && self.source.group_by == other.source.group_by
    }
}

/// Collects the facts of one event, member by member, in order of plan.
///
/// **Cost.** The groups of an event are formed once for each plan. Each further member that groups
/// by the same fields adds its bit to their facts.
pub(crate) struct FactCollector<'l, 'd> {
    origin: EventOrigin<'l>,
    out: &'d mut Detections,
    /// Where the facts of the plan of the last member begin.
    begin: usize,
    /// The facts since `begin` by group; empty while the plan has groups of one member alone.
    by_group: BTreeMap<GroupKey, usize>,
    last: Option<CollectedMember<'l>>,
}

/// A member whose facts were collected.
struct CollectedMember<'l> {
    member: MatchedMember<'l>,
    outcome: GroupOutcome,
    /// Indexes of its facts.
    facts: Vec<usize>,
    /// Whether another detection may form other groups of the same fields.
    has_placeholder: bool,
}

impl<'l, 'd> FactCollector<'l, 'd> {
    pub(crate) fn new(origin: EventOrigin<'l>, out: &'d mut Detections) -> Self {
        Self {
            origin,
            out,
            begin: 0,
            by_group: BTreeMap::new(),
            last: None,
        }
    }

    /// Adds a member to the facts of its plan: one for each group of the event.
    pub(crate) fn add(&mut self, member: MatchedMember<'l>, view: &EventView<'_>) {
        let MatchedMember { live, source, .. } = member;
        let kind = &live.plan.kind;
        let value = facts::fact_value(kind, &source.values, &source.detection, view);
        let Some(value) = value else {
            self.out.valueless = self.out.valueless.saturating_add(1);
            return;
        };
        let known = self.last.take().filter(|last| {
            let same_plan = last.member.live.plan.id == live.plan.id;
            if !same_plan {
                self.begin = self.out.facts.len();
                self.by_group.clear();
            }
            same_plan
        });
        let known = match known {
            Some(last) if !last.has_placeholder && last.member.groups_as(&member) => {
                self.add_to_known(&last.facts, source.member);
                last
            }
            known => self.add_groups(member, value, known.is_some(), view),
        };
        match known.outcome {
            GroupOutcome::Done => {}
            GroupOutcome::Missing => self.out.ungrouped = self.out.ungrouped.saturating_add(1),
            GroupOutcome::Capped => self.out.capped = self.out.capped.saturating_add(1),
        }
        self.last = Some(known);
    }

    /// Adds a member that has the groups of the last one.
    fn add_to_known(&mut self, facts: &[usize], member: u16) {
        for at in facts {
            if let Some(fact) = self.out.facts.get_mut(*at) {
                fact.members.add(member);
            }
        }
    }

    /// Forms the groups of a member. `others` says whether its plan has facts of other members.
    fn add_groups(
        &mut self,
        member: MatchedMember<'l>,
        value: FactValue,
        others: bool,
        view: &EventView<'_>,
    ) -> CollectedMember<'l> {
        let MatchedMember { live, source, .. } = member;
        let group_by = GroupBy {
            names: &live.plan.group_by,
            fields: &source.group_by,
            missing: live.missing,
            detection: &source.detection,
            origin: self.origin,
        };
        let (drafts, links) = (&mut self.out.facts, &mut self.out.links);
        let by_group = &mut self.by_group;
        if others && self.begin + by_group.len() != drafts.len() {
            let since = drafts[self.begin..].iter().zip(self.begin..);
            by_group.extend(since.map(|(draft, at)| (draft.group, at)));
        }
        let mut facts = Vec::new();
        let formed = group::for_each_group(group_by, view, |found| {
            let known = others.then(|| by_group.get(&found.key).copied()).flatten();
            let at = known.unwrap_or(drafts.len());
            facts.push(at);
            if let Some(draft) = drafts.get_mut(at) {
                // A plan that tells its members apart reads no values. Of others the first stays.
                draft.members.add(source.member);
                return;
            }
            drafts.push(FactDraft {
                plan: live.plan.id,
                group: found.key,
                members: MemberSet::of(source.member),
                value,
            });
            if others {
                by_group.insert(found.key, at);
            }
            if live.downstream.is_some() {
                links.push(live.group_links(self.origin.tenant, found.key, found.values));
            }
        });
        CollectedMember {
            member,
            outcome: formed.outcome,
            facts,
            has_placeholder: formed.has_placeholder,
        }
    }
}
