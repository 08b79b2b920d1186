//! Correlations over values: which fields, what is computed of them, and what of it must hold.

use rsigma_parser::CorrelationType;
use weir_schema::{Decimal, EventId, FactValue, PlanKind, Statistic, Value, ValueBound};

use crate::correlation;
use crate::diagnostic::{Checked, Refusal};
use crate::matcher::View;
use crate::number::IntText;
use crate::yaml::Node;

/// More fields make no tuple that anybody asks for.
const FIELDS_MAX: usize = 16;

/// The median's rank in percent.
const MEDIAN: Decimal = Decimal(50 * Decimal::ONE);

/// What is computed, and its bounds.
pub(crate) fn kind(kind: CorrelationType, section: &Node) -> Checked<PlanKind> {
    let condition = section.get("condition").unwrap_or(&Node::Null);
    let entries = others(condition, kind)?;
    let rest = Node::Map(entries);
    if kind == CorrelationType::ValueCount {
        let bounds = correlation::bounds(&rest)?;
        return match bounds.is_empty() {
            true => Err(no_bound(kind)),
            false => Ok(PlanKind::ValueCount { bounds }),
        };
    }
    let statistic = match kind {
        CorrelationType::ValueSum => Statistic::Sum,
        CorrelationType::ValueAvg => Statistic::Average,
        CorrelationType::ValueMedian => Statistic::Percentile(MEDIAN),
        // No other type comes here.
        _ => Statistic::Percentile(rank(condition)?),
    };
    let Node::Map(entries) = &rest else {
        return Err(no_bound(kind)); // It was made above.
    };
    let mut bounds = entries.iter().map(bound).collect::<Checked<Vec<_>>>()?;
    bounds.sort();
    match bounds.is_empty() {
        true => Err(no_bound(kind)),
        false => Ok(PlanKind::Value { statistic, bounds }),
    }
}

fn no_bound(kind: CorrelationType) -> Refusal {
    let message = format!("`{}` needs a `condition` with a bound", kind.as_str());
    Refusal::new(message)
        .hint("such as `condition: {field: user, gte: 10}`")
        .key("condition")
}

/// The bounds among a condition's keys.
fn others(condition: &Node, kind: CorrelationType) -> Checked<Vec<(String, Node)>> {
    let Node::Map(entries) = condition else {
        return Err(no_bound(kind));
    };
    let rank = kind == CorrelationType::ValuePercentile;
    let is_bound = |(key, _): &&(String, Node)| key != "field" && !(rank && key == "percentile");
    Ok(entries.iter().filter(is_bound).cloned().collect())
}

fn rank(condition: &Node) -> Checked<Decimal> {
    let whole = Decimal(100 * Decimal::ONE);
    let rank = condition.get("percentile").and_then(number);
    rank.filter(|rank| (Decimal(0)..=whole).contains(rank))
        .ok_or_else(|| {
            Refusal::new("`value_percentile` needs `percentile`, a number from 0 to 100")
                .hint("such as `condition: {field: bytes, percentile: 95, gte: 1000}`")
                .key("condition")
        })
}

fn bound((key, value): &(String, Node)) -> Checked<ValueBound> {
    let kind = match key.as_str() {
        "gt" => ValueBound::Gt,
        "gte" => ValueBound::Gte,
        "lt" => ValueBound::Lt,
        "lte" => ValueBound::Lte,
        "eq" => ValueBound::Eq,
        "neq" => ValueBound::Neq,
        _ => {
            let message = format!("`{key}` does not belong in this condition");
            return Err(Refusal::new(message)
                .hint("field, gt, gte, lt, lte, eq and neq do")
                .key(key)
                .key("condition"));
        }
    };
    number(value).map(kind).ok_or_else(|| {
        let message = format!("`{key}` needs a number of at most 9 decimals, below 10^17");
        Refusal::new(message).key(key).key("condition")
    })
}

fn number(node: &Node) -> Option<Decimal> {
    match node {
        Node::Int(n) => decimal(IntText::new(*n).as_str()),
        Node::Number(text) => decimal(text),
        Node::Text(_) | Node::Null | Node::Bool(_) | Node::List(_) | Node::Map(_) => None,
    }
}

/// The fields of the condition; none for a type that is not about values.
pub(crate) fn fields(kind: CorrelationType, section: &Node) -> Checked<Vec<String>> {
    let about_values = !matches!(
        kind,
        CorrelationType::EventCount | CorrelationType::Temporal | CorrelationType::TemporalOrdered
    );
    if !about_values {
        return Ok(Vec::new());
    }
    let given = section.get("condition").and_then(|node| node.get("field"));
    let fields = given.and_then(Node::texts).unwrap_or_default();
    let several = kind == CorrelationType::ValueCount;
    let empty = fields.iter().any(String::is_empty);
    if fields.is_empty() || empty || fields.len() > FIELDS_MAX || !several && fields.len() > 1 {
        let message = format!("`{}` needs a `field` in its condition", kind.as_str());
        let hint = format!("one field, or for `value_count` a list of at most {FIELDS_MAX}");
        return Err(Refusal::new(message).hint(hint).key("condition"));
    }
    Ok(fields)
}

/// What a fact is worth to the plan. `None`: the event has no such value, and makes no fact.
pub(crate) fn value(kind: &PlanKind, fields: &[String], view: &View<'_>) -> Option<FactValue> {
    match kind {
        PlanKind::EventCount { .. } | PlanKind::Temporal { .. } => Some(FactValue::default()),
        PlanKind::TemporalOrdered { .. } => Some(FactValue::default()),
        // Of which source the event is its frame tells, to whoever has that.
        PlanKind::NotFollowed { .. } | PlanKind::Silence => Some(FactValue::default()),
        PlanKind::ValueCount { .. } => {
            let mut bytes = Vec::new();
            fields
                .iter()
                .try_for_each(|field| tell(view.get(field)?, &mut bytes))?;
            Some(FactValue(EventId::of(&[&bytes]).0))
        }
        PlanKind::Value { .. } => {
            let number = match view.get(fields.first()?)? {
                Value::Int(n) => decimal(IntText::new(*n).as_str()),
                Value::Number(text) | Value::Text(text) => decimal(text),
                Value::Null | Value::Bool(_) | Value::List(_) => None,
            };
            number.map(FactValue::from)
        }
    }
}

/// What a group in words is worth to the plan that hears it: the texts of its fields, told apart as
/// those of an event are.
pub(crate) fn of_texts<'t>(
    kind: &PlanKind,
    mut texts: impl Iterator<Item = &'t str>,
) -> Option<FactValue> {
    if !matches!(kind, PlanKind::ValueCount { .. }) {
        return Some(FactValue::default());
    }
    let mut bytes = Vec::new();
    texts.try_for_each(|text| tell(&Value::Text(text.into()), &mut bytes))?;
    Some(FactValue(EventId::of(&[&bytes]).0))
}

/// Appends a value's exact text, lengths in front. A list is one value, of its elements in order.
fn tell(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Null => None,
        Value::List(values) if values.is_empty() => None,
        Value::List(values) => {
            out.extend_from_slice(&(values.len() as u64).to_le_bytes());
            for value in values {
                // An element that is nothing has its place.
                if tell(value, out).is_none() {
                    out.extend_from_slice(&u64::MAX.to_le_bytes());
                }
            }
            Some(())
        }
        value => {
            let text = value.as_text()?;
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
    }
}

/// Reads `-12`, `1.50`, `2e3`; `None` where it is no number, beyond [`Decimal::MAX`], or has more
/// than nine decimals: nothing is rounded.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let part = part.trim_end_matches('0');
    let mut units: i128 = 0;
    for digit in whole.bytes().chain(part.bytes()) {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        units = units.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    // `units` has as many decimals as `part` has digits; nine are wanted.
    let shift = i32::try_from(part.len()).ok()?;
    let shift = exponent.checked_sub(shift)?.checked_add(9)?;
    let power = 10i128.checked_pow(shift.unsigned_abs());
    let units = match (units, power) {
        (0, _) => 0,
        (units, Some(power)) if shift >= 0 => units.checked_mul(power)?,
        (units, Some(power)) if units % power == 0 => units / power,
        _ => return None, // Too large, or too fine.
    };
    (units <= Decimal::MAX).then_some(Decimal(if is_negative { -units } else { units }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_none() {
        for (text, units) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1.5", Some(1_500_000_000)),
            ("-2e3", Some(-2_000_000_000_000)),
            ("1.000000001", Some(1_000_000_001)),
            ("1.0000000010", Some(1_000_000_001)),
            ("1.0000000001", None),
            ("10e-10", Some(1)),
            (".5", Some(500_000_000)),
            ("100000000000000000", Some(Decimal::MAX)),
            ("100000000000000001", None),
            ("1e999999999", None),
            ("0e999999999", Some(0)),
            ("12 apples", None),
            ("0x10", None),
            ("", None),
            (".", None),
            ("--1", None),
        ] {
            assert_eq!(decimal(text).map(|found| found.0), units, "{text}");
        }
    }
}
