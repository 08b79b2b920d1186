//! Segments: the periods in which a correlation can read all of its members unchanged.

use std::collections::BTreeSet;

use weir_schema::{EventTime, PlanId};

use crate::book::catalog::{Catalog, Version};
use crate::book::chain::{self, ChainMember, CorrelationSegment};
use crate::book::live::LivePlan;
use crate::book::members::NamedCorrelation;
use crate::book::period::Period;
use crate::sigma::correlation::Correlation;
use crate::sigma::document::RuleDocument;

/// The plans of a correlation for the segments of `period`.
///
/// A segment ends where a member changes its shape or cannot be read.
pub(crate) fn plans(
    catalog: &Catalog,
    version: &Version,
    correlation: &Correlation,
    period: Period,
) -> Vec<LivePlan> {
    let document = &*version.document;
    let of = NamedCorrelation {
        id: &document.id,
        correlation,
    };
    let mut cuts = BTreeSet::from([period.since, period.until]);
    chain::add_cuts(catalog, of, 0, &mut cuts);
    let cuts: Vec<EventTime> = cuts.range(period.since..=period.until).copied().collect();
    let mut segments: Vec<(Period, Vec<ChainMember>)> = Vec::new();
    for cut in cuts.windows(2) {
        let &[since, until] = cut else { continue };
        let Some(members) = chain::members_at(catalog, of, since, 0) else {
            continue;
        };
        match segments.last_mut() {
            Some((last, known)) if last.until == since && chain::same_shapes(known, &members) => {
                last.until = until;
            }
            _ => segments.push((Period { since, until }, members)), // A gap, or another shape.
        }
    }
    let mut plans = Vec::new();
    for (period, members) in segments {
        let segment = CorrelationSegment {
            document,
            correlation,
            id: plan_id(document, correlation, period.since, &members),
            period,
        };
        plans.extend(chain::plans(&segment, &members, None));
    }
    plans
}

fn plan_id(
    document: &RuleDocument,
    correlation: &Correlation,
    since: EventTime,
    members: &[ChainMember],
) -> PlanId {
    let mut parts: Vec<Vec<u8>> = vec![
        document.id.as_bytes().to_vec(),
        since.0.to_le_bytes().to_vec(),
        document.shape.0.to_le_bytes().to_vec(),
    ];
    // An alias may refer to a rule by its name, which is not part of the rule's shape.
    let aliased = !correlation.aliases.is_empty();
    chain::append_identity(members, aliased, &mut parts);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    PlanId::of(&parts)
}
