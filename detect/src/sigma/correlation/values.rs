//! Correlations over values: their fields, the computed statistic, and its bounds.

use rsigma_parser::CorrelationType;
use weir_schema::{Decimal, PlanKind, Statistic, ValueBound};

use crate::sigma::decimal::parse_decimal;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::number::IntText;
use crate::sigma::yaml::YamlNode;

use super::bounds;

/// Maximum number of fields whose values make one tuple.
const FIELDS_MAX: usize = 16;

/// The median's rank in percent.
const MEDIAN: Decimal = Decimal(50 * Decimal::ONE);

/// Reads the statistic and its bounds.
pub(super) fn kind(kind: CorrelationType, section: &YamlNode) -> SigmaResult<PlanKind> {
    let condition = section.get("condition").unwrap_or(&YamlNode::Null);
    let entries = bound_entries(condition, kind)?;
    let rest = YamlNode::Map(entries);
    if kind == CorrelationType::ValueCount {
        let bounds = bounds::bounds(&rest)?;
        return match bounds.is_empty() {
            true => Err(no_bound(kind)),
            false => Ok(PlanKind::ValueCount { bounds }),
        };
    }
    let statistic = match kind {
        CorrelationType::ValueSum => Statistic::Sum,
        CorrelationType::ValueAvg => Statistic::Average,
        CorrelationType::ValueMedian => Statistic::Percentile(MEDIAN),
        // The caller passes no other type.
        _ => Statistic::Percentile(rank(condition)?),
    };
    let YamlNode::Map(entries) = &rest else {
        return Err(no_bound(kind)); // Unreachable: `rest` is a map.
    };
    let mut bounds = entries.iter().map(bound).collect::<SigmaResult<Vec<_>>>()?;
    bounds.sort();
    match bounds.is_empty() {
        true => Err(no_bound(kind)),
        false => Ok(PlanKind::Value { statistic, bounds }),
    }
}

fn no_bound(kind: CorrelationType) -> Issue {
    let message = format!("`{}` needs a `condition` with a bound", kind.as_str());
    Issue::new(message)
        .hint("such as `condition: {field: user, gte: 10}`")
        .key("condition")
}

/// The entries of a condition that are bounds.
fn bound_entries(
    condition: &YamlNode,
    kind: CorrelationType,
) -> SigmaResult<Vec<(String, YamlNode)>> {
    let YamlNode::Map(entries) = condition else {
        return Err(no_bound(kind));
    };
    let rank = kind == CorrelationType::ValuePercentile;
    let is_bound =
        |(key, _): &&(String, YamlNode)| key != "field" && !(rank && key == "percentile");
    Ok(entries.iter().filter(is_bound).cloned().collect())
}

fn rank(condition: &YamlNode) -> SigmaResult<Decimal> {
    let whole = Decimal(100 * Decimal::ONE);
    let rank = condition.get("percentile").and_then(number);
    rank.filter(|rank| (Decimal(0)..=whole).contains(rank))
        .ok_or_else(|| {
            Issue::new("`value_percentile` needs `percentile`, a number from 0 to 100")
                .hint("such as `condition: {field: bytes, percentile: 95, gte: 1000}`")
                .key("condition")
        })
}

fn bound((key, value): &(String, YamlNode)) -> SigmaResult<ValueBound> {
    let kind = match key.as_str() {
        "gt" => ValueBound::Gt,
        "gte" => ValueBound::Gte,
        "lt" => ValueBound::Lt,
        "lte" => ValueBound::Lte,
        "eq" => ValueBound::Eq,
        "neq" => ValueBound::Neq,
        _ => {
            let message = format!("`{key}` does not belong in this condition");
            return Err(Issue::new(message)
                .hint("field, gt, gte, lt, lte, eq and neq do")
                .key(key)
                .key("condition"));
        }
    };
    number(value).map(kind).ok_or_else(|| {
        let message = format!("`{key}` needs a number of at most 9 decimals, below 10^17");
        Issue::new(message).key(key).key("condition")
    })
}

fn number(node: &YamlNode) -> Option<Decimal> {
    match node {
        YamlNode::Int(n) => parse_decimal(IntText::new(*n).as_str()),
        YamlNode::Number(text) => parse_decimal(text),
        YamlNode::Text(_)
        | YamlNode::Null
        | YamlNode::Bool(_)
        | YamlNode::List(_)
        | YamlNode::Map(_) => None,
    }
}

/// Reads the fields of the condition. A type that is not over values has none.
pub(super) fn fields(kind: CorrelationType, section: &YamlNode) -> SigmaResult<Vec<String>> {
    let over_values = !matches!(
        kind,
        CorrelationType::EventCount | CorrelationType::Temporal | CorrelationType::TemporalOrdered
    );
    if !over_values {
        return Ok(Vec::new());
    }
    let given = section.get("condition").and_then(|node| node.get("field"));
    let fields = given.and_then(YamlNode::texts).unwrap_or_default();
    let several = kind == CorrelationType::ValueCount;
    let empty = fields.iter().any(String::is_empty);
    if fields.is_empty() || empty || fields.len() > FIELDS_MAX || !several && fields.len() > 1 {
        let message = format!("`{}` needs a `field` in its condition", kind.as_str());
        let hint = format!("one field, or for `value_count` a list of at most {FIELDS_MAX}");
        return Err(Issue::new(message).hint(hint).key("condition"));
    }
    Ok(fields)
}
