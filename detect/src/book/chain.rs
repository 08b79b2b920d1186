//! Chains: the plans of a correlation whose members are correlations.
//!
//! A member that is a correlation gets a plan of its own, upstream of the plan that lists it. Only
//! that plan reads it; the alerts that the member raises as a rule come from another plan.
//!
//! ```text
//!  rule        A lists B and c, B lists d and e
//!  plans       A ◄── B for A ◄── events of d and e
//!              └──── events of c
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{EventTime, FactGrain, Membership, Plan, PlanId, PlanKind, PlanOutput};

use crate::book::catalog::Catalog;
use crate::book::group::MissingField;
use crate::book::live::{DownstreamPlan, LivePlan, PlanSource, plan};
use crate::book::members::{self, MemberNames, NamedCorrelation};
use crate::book::period::Period;
use crate::sigma::correlation::{Correlation, member_number};
use crate::sigma::document::{RuleBody, RuleDocument};

/// A member of a correlation, resolved at some time.
#[derive(Clone, Debug)]
pub(crate) enum ChainMember {
    Events(PlanSource),
    Correlation(MemberCorrelation),
}

/// A member that is a correlation.
#[derive(Clone, Debug)]
pub(crate) struct MemberCorrelation {
    document: Arc<RuleDocument>,
    member: u16,
    /// The reader's fields to group by, as indexes into this member's fields to group by.
    group: Vec<usize>,
    /// The fields that the reader counts, as indexes into the same.
    values: Vec<usize>,
    members: Vec<ChainMember>,
}

impl MemberCorrelation {
    fn correlation(&self) -> Option<&Correlation> {
        match &self.document.body {
            RuleBody::Correlation(correlation) => Some(correlation),
            RuleBody::Rule(..) | RuleBody::Filter(_) => None,
        }
    }
}

/// A correlation for which plans are made, for a period in which its members do not change.
pub(crate) struct CorrelationSegment<'w> {
    pub document: &'w RuleDocument,
    pub correlation: &'w Correlation,
    pub id: PlanId,
    pub period: Period,
}

/// Adds the times at which a member, or a member of a member, changes.
pub(crate) fn add_cuts(
    catalog: &Catalog,
    of: NamedCorrelation<'_>,
    depth: u8,
    cuts: &mut BTreeSet<EventTime>,
) {
    if depth > Plan::STAGE_MAX {
        return;
    }
    for reference in &of.correlation.members {
        let found = catalog
            .resolve(reference)
            .filter(|found| ***found != *of.id);
        let Some((id, entry)) = found.and_then(|found| catalog.rules.get_key_value(found)) else {
            continue;
        };
        let versions = entry.active_versions.iter();
        cuts.extend(versions.flat_map(|v| [v.since, v.until]));
        for (_, correlation) in entry.correlations() {
            add_cuts(
                catalog,
                NamedCorrelation { id, correlation },
                depth + 1,
                cuts,
            );
        }
    }
}

/// The members as they are at `time`. `None` if one is missing or cannot be read.
pub(crate) fn members_at(
    catalog: &Catalog,
    of: NamedCorrelation<'_>,
    time: EventTime,
    depth: u8,
) -> Option<Vec<ChainMember>> {
    let correlation = of.correlation;
    let members = members::resolve(catalog, of).ok()?;
    let mut found = Vec::with_capacity(members.len());
    for ((place, (rule, entry)), reference) in (0..).zip(members).zip(&correlation.members) {
        let mut versions = entry.active_versions.iter();
        let version = versions.find(|version| version.period().contains(time))?;
        let member = member_number(&correlation.kind, place);
        let names = MemberNames {
            id: rule,
            name: version.document.name.as_deref(),
            reference,
        };
        let fields = |fields: &[String]| members::member_fields(correlation, names, fields);
        match &version.document.body {
            RuleBody::Rule(detection, _) => found.push(ChainMember::Events(PlanSource {
                rule: rule.clone(),
                member,
                detection: detection.clone(),
                group_by: fields(&correlation.group_by),
                values: fields(&correlation.values),
            })),
            RuleBody::Correlation(inner) => {
                if depth >= Plan::STAGE_MAX
                    || members::incompatibility(correlation, inner).is_some()
                {
                    return None;
                }
                let index_of = |name: &String| inner.group_by.iter().position(|own| own == name);
                let indexes = |names: Vec<String>| names.iter().map(index_of).collect();
                let group: Option<Vec<usize>> = indexes(fields(&correlation.group_by));
                let values: Option<Vec<usize>> = indexes(fields(&correlation.values));
                let inner = NamedCorrelation {
                    id: rule,
                    correlation: inner,
                };
                found.push(ChainMember::Correlation(MemberCorrelation {
                    document: version.document.clone(),
                    member,
                    group: group?,
                    values: values?,
                    members: members_at(catalog, inner, time, depth + 1)?,
                }));
            }
            RuleBody::Filter(_) => return None,
        }
    }
    Some(found)
}

/// Whether both read the same events in the same way.
pub(crate) fn same_shapes(a: &[ChainMember], b: &[ChainMember]) -> bool {
    let same = |(a, b): (&ChainMember, &ChainMember)| match (a, b) {
        (ChainMember::Events(a), ChainMember::Events(b)) => {
            let fields = a.group_by == b.group_by && a.values == b.values;
            a.detection.shape == b.detection.shape && fields
        }
        (ChainMember::Correlation(a), ChainMember::Correlation(b)) => {
            let document = a.document.id == b.document.id && a.document.shape == b.document.shape;
            document
                && a.group == b.group
                && a.values == b.values
                && same_shapes(&a.members, &b.members)
        }
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

/// Appends all that distinguishes these members from others, as input of a hash.
pub(crate) fn append_identity(members: &[ChainMember], aliased: bool, parts: &mut Vec<Vec<u8>>) {
    for member in members {
        match member {
            ChainMember::Events(source) => {
                parts.push(source.rule.as_bytes().to_vec());
                parts.push(source.detection.shape.0.to_le_bytes().to_vec());
                if aliased {
                    let fields = source.group_by.iter().chain(&source.values);
                    parts.extend(fields.map(|field| field.as_bytes().to_vec()));
                }
            }
            ChainMember::Correlation(inner) => {
                parts.push(b"correlation".to_vec());
                parts.push(inner.document.id.as_bytes().to_vec());
                parts.push(inner.document.shape.0.to_le_bytes().to_vec());
                for index in inner.group.iter().chain(&inner.values) {
                    parts.push((*index as u64).to_le_bytes().to_vec());
                }
                parts.push((inner.members.len() as u64).to_le_bytes().to_vec());
                let aliased = inner.correlation().is_some_and(|c| !c.aliases.is_empty());
                append_identity(&inner.members, aliased, parts);
            }
        }
    }
}

/// The plans of a correlation: those of its members first, its own last.
///
/// `downstream` is the plan that reads this one, if it is a member.
pub(crate) fn plans(
    segment: &CorrelationSegment<'_>,
    members: &[ChainMember],
    downstream: Option<&Arc<DownstreamPlan>>,
) -> Vec<LivePlan> {
    let correlation = segment.correlation;
    let mut live = LivePlan {
        plan: plan(
            segment.document,
            segment.id,
            correlation.kind.clone(),
            correlation.timespan,
            &correlation.group_by,
            segment.period,
        ),
        sources: Vec::new(),
        upstream_sources: Vec::new(),
        downstream: downstream.cloned(),
        missing: MissingField::Ungrouped,
    };
    live.plan.chain.stage = stage(members);
    let mut all = Vec::new();
    for (place, member) in (0u16..).zip(members) {
        match member {
            ChainMember::Events(source) => live.sources.push(source.clone()),
            ChainMember::Correlation(inner) => {
                all.append(&mut member_plans(segment, inner, place, &mut live));
            }
        }
    }
    all.push(live);
    all
}

/// The plans of the member at `place`, joined to `reader`, the plan that reads it.
fn member_plans(
    segment: &CorrelationSegment<'_>,
    inner: &MemberCorrelation,
    place: u16,
    reader: &mut LivePlan,
) -> Vec<LivePlan> {
    let Some(correlation) = inner.correlation() else {
        return Vec::new(); // Unreachable: such a member is a correlation.
    };
    let grain = match segment.correlation.kind {
        PlanKind::EventCount { .. } | PlanKind::ValueCount { .. } => FactGrain::Episode,
        _ => FactGrain::Anchor,
    };
    let downstream = Arc::new(DownstreamPlan {
        plan: segment.id,
        stage: reader.plan.chain.stage,
        kind: segment.correlation.kind.clone(),
        names: segment.correlation.group_by.clone(),
        group: inner.group.clone(),
        values: inner.values.clone(),
        next: reader.downstream.clone(),
    });
    let below = CorrelationSegment {
        document: &inner.document,
        correlation,
        id: PlanId::of(&[b"member", &segment.id.0.to_le_bytes(), &place.to_le_bytes()]),
        period: segment.period,
    };
    let mut found = plans(&below, &inner.members, Some(&downstream));
    if let Some(own) = found.last_mut() {
        let tentative = grain == FactGrain::Episode || !own.plan.is_certain();
        reader.plan.chain.tentative |= tentative;
        own.plan.output = PlanOutput::Plan(Membership {
            plan: segment.id,
            stage: reader.plan.chain.stage,
            member: inner.member,
            grain,
        });
        let sources = own.sources.iter().chain(&own.upstream_sources);
        reader
            .upstream_sources
            .extend(sources.map(|source| regrouped(source, &inner.group)));
    }
    found
}

/// The stage of a plan with these members: how many plans its facts pass through.
fn stage(members: &[ChainMember]) -> u8 {
    let below = |member: &ChainMember| match member {
        ChainMember::Events(_) => 0,
        ChainMember::Correlation(inner) => stage(&inner.members).saturating_add(1),
    };
    members.iter().map(below).max().unwrap_or(0)
}

/// The source of a member, grouped by the fields of the plan that reads the member.
fn regrouped(source: &PlanSource, group: &[usize]) -> PlanSource {
    let fields = group.iter().filter_map(|index| source.group_by.get(*index));
    PlanSource {
        group_by: fields.cloned().collect(),
        ..source.clone()
    }
}
