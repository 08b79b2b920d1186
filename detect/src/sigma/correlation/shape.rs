//! The hash that tells whether a correlation has changed.

use weir_schema::{PlanKind, Span, Statistic};

use crate::sigma::detection::ShapeHash;

use super::Aliases;
use super::absence::{NOT_FOLLOWED, SILENCE};

/// The parts of a correlation that decide which facts it reads and what it computes.
///
/// Its bounds are not among them: a change of a bound needs no backfill.
pub(super) struct ShapeParts<'a> {
    pub kind: &'a PlanKind,
    pub members: &'a [String],
    pub group_by: &'a [String],
    pub values: &'a [String],
    pub aliases: &'a Aliases,
    pub timespan: Span,
}

/// Hashes the parts.
pub(super) fn shape(parts: &ShapeParts<'_>) -> ShapeHash {
    let &ShapeParts {
        kind,
        members,
        group_by: fields,
        values,
        aliases,
        timespan,
    } = parts;
    let (name, rank) = match kind {
        PlanKind::EventCount { .. } => ("event_count", 0),
        PlanKind::Temporal { .. } => ("temporal", 0),
        PlanKind::TemporalOrdered { .. } => ("temporal_ordered", 0),
        PlanKind::ValueCount { .. } => ("value_count", 0),
        PlanKind::Value { statistic, .. } => match statistic {
            Statistic::Sum => ("value_sum", 0),
            Statistic::Average => ("value_avg", 0),
            Statistic::Percentile(rank) => ("value_percentile", rank.0),
        },
        PlanKind::NotFollowed { .. } => (NOT_FOLLOWED, 0),
        PlanKind::Silence => (SILENCE, 0),
    };
    let counts = [members.len() as u64, fields.len() as u64].map(u64::to_le_bytes);
    let (span, rank) = (timespan.0.to_le_bytes(), rank.to_le_bytes());
    let mut parts: Vec<&[u8]> = vec![name.as_bytes(), &counts[0], &counts[1], &span];
    parts.extend(members.iter().chain(fields).map(String::as_bytes));
    if !values.is_empty() {
        parts.extend([b"values".as_slice(), &rank]);
        parts.extend(values.iter().map(String::as_bytes));
    }
    // Rules that need not be seen open no window. Which rules these are decides the state that the
    // plan keeps.
    let mut seen = vec![true; members.len()];
    if let PlanKind::Temporal { condition, .. } = kind {
        seen.fill(false);
        condition.mark_positive(&mut seen);
    }
    let unseen = members.iter().zip(&seen).filter(|(_, seen)| !**seen);
    parts.extend(unseen.flat_map(|(member, _)| [b"unseen".as_slice(), member.as_bytes()]));
    for (alias, rules) in aliases {
        parts.extend([b"alias".as_slice(), alias.as_bytes()]);
        let pairs = rules.iter().flat_map(|(rule, field)| [rule, field]);
        parts.extend(pairs.map(String::as_bytes));
    }
    ShapeHash::of(&parts)
}
