//! One plan that runs: of a rule by itself, or of a stretch in which a correlation can read its rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{Bound, EventTime, Hearer, Plan, PlanId, PlanKind, RuleId, Span};

use crate::correlation::Correlation;
use crate::document::{Body, Detection, Document, Grouping};
use crate::plans::{Entry, Version};

/// Timespan of a rule that is no correlation: matches no further apart are one alert.
const RULE_TIMESPAN: Span = Span::seconds(600);

/// A plan with what it takes to find its facts.
#[derive(Clone, Debug)]
pub(crate) struct LivePlan {
    pub plan: Plan,
    /// In order of member.
    pub sources: Vec<Source>,
    /// A missing field to group by counts as the empty text.
    pub lenient: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub rule: RuleId,
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
        lenient: true,
    }
}

fn plan(
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
    }
}

/// The stretches in which every member has a detection, cut where one changes its shape.
pub(crate) fn segments(
    version: &Version,
    correlation: &Correlation,
    members: &[(&RuleId, &Entry)],
) -> Vec<LivePlan> {
    let mut cuts = BTreeSet::from([version.since, version.until]);
    for (_, entry) in members {
        cuts.extend(entry.versions.iter().flat_map(|v| [v.since, v.until]));
    }
    let cuts: Vec<EventTime> = cuts.range(version.since..).copied().collect();
    let mut found: Vec<(EventTime, EventTime, Vec<Source>)> = Vec::new();
    for stretch in cuts.windows(2) {
        let &[since, until] = stretch else { continue };
        if until > version.until {
            break;
        }
        let Some(sources) = sources_at(correlation, members, since) else {
            continue;
        };
        match found.last_mut() {
            Some((_, end, known)) if *end == since && same_shapes(known, &sources) => *end = until,
            _ => found.push((since, until, sources)), // A gap, or another shape.
        }
    }
    found
        .into_iter()
        .map(|(since, until, sources)| {
            let id = segment_id((version, correlation), since, &sources);
            let (kind, fields) = (correlation.kind.clone(), &correlation.group_by);
            let bounds = (since, until);
            LivePlan {
                plan: plan(
                    &version.document,
                    id,
                    kind,
                    correlation.timespan,
                    fields,
                    bounds,
                ),
                sources,
                lenient: false,
            }
        })
        .collect()
}

fn sources_at(
    correlation: &Correlation,
    members: &[(&RuleId, &Entry)],
    time: EventTime,
) -> Option<Vec<Source>> {
    let references = correlation.members.iter();
    let source = |((rule, entry), reference): (&(&RuleId, &Entry), &String)| {
        let version = entry.versions.iter().find(|version| version.sees(time))?;
        let name = version.document.name.as_ref();
        let own = |fields: &[String]| {
            let own = fields.iter().map(|field| {
                let alias = correlation.aliases.get(field)?;
                let named = name.and_then(|name| alias.get(name));
                alias
                    .get(reference)
                    .or(named)
                    .or_else(|| alias.get(&***rule))
            });
            let pairs = own.zip(fields);
            pairs
                .map(|(own, field)| own.unwrap_or(field).clone())
                .collect()
        };
        match &version.document.body {
            Body::Rule(detection, _) => Some(Source {
                rule: (*rule).clone(),
                detection: detection.clone(),
                group_by: own(&correlation.group_by),
                values: own(&correlation.values),
            }),
            Body::Correlation(_) | Body::Filter(_) => None,
        }
    };
    members.iter().zip(references).map(source).collect()
}

/// Whether the same events are read alike.
fn same_shapes(a: &[Source], b: &[Source]) -> bool {
    let same = |(a, b): (&Source, &Source)| {
        let fields = a.group_by == b.group_by && a.values == b.values;
        a.detection.shape == b.detection.shape && fields
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

fn segment_id(
    (version, correlation): (&Version, &Correlation),
    since: EventTime,
    sources: &[Source],
) -> PlanId {
    let since = since.0.to_le_bytes();
    let shape = version.document.shape.0.to_le_bytes();
    let shapes: Vec<[u8; 8]> = sources
        .iter()
        .map(|source| source.detection.shape.0.to_le_bytes())
        .collect();
    let mut parts: Vec<&[u8]> = vec![version.document.id.as_bytes(), &since, &shape];
    for (source, shape) in sources.iter().zip(&shapes) {
        parts.extend([source.rule.as_bytes(), shape.as_slice()]);
        // An alias may be of the rule's name, which is not of its shape.
        if !correlation.aliases.is_empty() {
            let fields = source.group_by.iter().chain(&source.values);
            parts.extend(fields.map(String::as_bytes));
        }
    }
    PlanId::of(&parts)
}
