//! One plan that runs: of a rule by itself, or of a stretch in which a correlation can read its rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{Bound, Chain, EventTime, Hearer, Plan, PlanId, PlanKind, RuleId, Span};

use crate::chain::{self, Member, Onward, Whole};
use crate::correlation::Correlation;
use crate::document::{Detection, Document, Grouping};
use crate::plans::{Catalog, Version};

/// Timespan of a rule that is no correlation: matches no further apart are one alert.
const RULE_TIMESPAN: Span = Span::seconds(600);

/// A plan with what it takes to find its facts.
#[derive(Clone, Debug)]
pub(crate) struct LivePlan {
    pub plan: Plan,
    /// In order of member; members that are correlations have plans of their own.
    pub sources: Vec<Source>,
    /// What those plans read, with this one's fields to group by as their events call them.
    pub beneath: Vec<Source>,
    /// Of a plan that another hears, how its groups are of that one's.
    pub onward: Option<Arc<Onward>>,
    /// A missing field to group by counts as the empty text.
    pub lenient: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub rule: RuleId,
    pub member: u16,
    pub detection: Arc<Detection>,
    /// The plan's fields to group by, as events of this rule call them.
    pub group_by: Vec<String>,
    /// The fields that the plan computes with, as events of this rule call them.
    pub values: Vec<String>,
}

pub(crate) fn own_plan(
    version: &Version,
    detection: &Arc<Detection>,
    grouping: &Grouping,
    since: EventTime,
    until: EventTime,
) -> LivePlan {
    let document = &version.document;
    let id = PlanId::of(&[
        document.id.as_bytes(),
        &since.0.to_le_bytes(),
        &document.shape.0.to_le_bytes(),
    ]);
    let kind = PlanKind::EventCount {
        bounds: vec![Bound::Gte(1)],
    };
    let sources = vec![Source {
        rule: document.id.clone(),
        member: 0,
        detection: detection.clone(),
        group_by: grouping.fields.clone(),
        values: Vec::new(),
    }];
    LivePlan {
        plan: plan(
            document,
            id,
            kind,
            RULE_TIMESPAN,
            &grouping.fields,
            (since, until),
        ),
        sources,
        beneath: Vec::new(),
        onward: None,
        lenient: true,
    }
}

pub(crate) fn plan(
    document: &Document,
    id: PlanId,
    kind: PlanKind,
    timespan: Span,
    group_by: &[String],
    (since, until): (EventTime, EventTime),
) -> Plan {
    Plan {
        id,
        rule: document.id.clone(),
        version: document.version,
        title: document.title.clone(),
        level: document.level,
        kind,
        timespan,
        group_by: group_by.to_vec(),
        since,
        until,
        hearer: Hearer::Alerts,
        chain: Chain::default(),
    }
}

/// The stretches in which every member can be read, cut where one changes its shape.
pub(crate) fn segments(
    catalog: &Catalog,
    version: &Version,
    correlation: &Correlation,
    (since, until): (EventTime, EventTime),
) -> Vec<LivePlan> {
    let mut cuts = BTreeSet::from([since, until]);
    chain::cuts(catalog, &version.document.id, correlation, 0, &mut cuts);
    let cuts: Vec<EventTime> = cuts.range(since..=until).copied().collect();
    let mut found: Vec<(EventTime, EventTime, Vec<Member>)> = Vec::new();
    for stretch in cuts.windows(2) {
        let &[since, until] = stretch else { continue };
        let asked = (&*version.document.id, correlation);
        let Some(members) = chain::members_at(catalog, asked, since, 0) else {
            continue;
        };
        match found.last_mut() {
            Some((_, end, known)) if *end == since && chain::same_shapes(known, &members) => {
                *end = until;
            }
            _ => found.push((since, until, members)), // A gap, or another shape.
        }
    }
    let mut plans = Vec::new();
    for (since, until, members) in found {
        let id = segment_id((version, correlation), since, &members);
        let whole = Whole {
            document: &version.document,
            correlation,
            id,
            bounds: (since, until),
        };
        plans.extend(chain::plans(&whole, &members, &[]));
    }
    plans
}

fn segment_id(
    (version, correlation): (&Version, &Correlation),
    since: EventTime,
    members: &[Member],
) -> PlanId {
    let since = since.0.to_le_bytes();
    let shape = version.document.shape.0.to_le_bytes();
    let mut parts: Vec<Vec<u8>> = vec![
        version.document.id.as_bytes().to_vec(),
        since.to_vec(),
        shape.to_vec(),
    ];
    // An alias may be of a rule's name, which is not of its shape.
    let aliased = !correlation.aliases.is_empty();
    chain::tell(members, aliased, &mut parts);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    PlanId::of(&parts)
}
