//! The values of facts: the number or the hash that a correlation computes with.

use weir_schema::{EventId, FactValue, PlanKind, Value};

use crate::book::identity::is_placeholder;
use crate::sigma::decimal::parse_decimal;
use crate::sigma::detection::Detection;
use crate::sigma::number::IntText;
use crate::sigma::view::EventView;

/// The value of an event's fact for a plan of this kind.
///
/// `None` if the event has no usable value; then it makes no fact.
pub(crate) fn fact_value(
    kind: &PlanKind,
    fields: &[String],
    detection: &Detection,
    view: &EventView<'_>,
) -> Option<FactValue> {
    match kind {
        PlanKind::EventCount { .. } | PlanKind::Temporal { .. } => Some(FactValue::default()),
        PlanKind::TemporalOrdered { .. } => Some(FactValue::default()),
        // The source is known from the frame, which the caller has.
        PlanKind::NotFollowed { .. } | PlanKind::Silence => Some(FactValue::default()),
        PlanKind::ValueCount { .. } => {
            let mut bytes = Vec::new();
            fields
                .iter()
                .try_for_each(|field| append(identity(detection, view, field)?, &mut bytes))?;
            Some(FactValue(EventId::of(&[&bytes]).0))
        }
        PlanKind::Value { .. } => {
            let number = match view.get(fields.first()?)? {
                Value::Int(n) => parse_decimal(IntText::new(*n).as_str()),
                Value::Number(text) | Value::Text(text) => parse_decimal(text),
                Value::Null | Value::Bool(_) | Value::List(_) => None,
            };
            number.map(FactValue::from)
        }
    }
}

/// The value of a field whose distinct values count; `None` for a placeholder that the rule does not
/// name.
fn identity<'v>(detection: &Detection, view: &EventView<'v>, field: &str) -> Option<&'v Value<'v>> {
    let value = view.get(field)?;
    let is_named = |text: &str| detection.matcher.names_value(field, text);
    let is_nobody = |text: &str| is_placeholder(field, text) && !is_named(text);
    (!names_nobody(value, &is_nobody)).then_some(value)
}

/// Whether the value is a placeholder, or a list of nothing else.
fn names_nobody(value: &Value<'_>, is_nobody: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().all(|value| names_nobody(value, is_nobody)),
        Value::Null => true,
        value => value.as_text().is_some_and(|text| is_nobody(&text)),
    }
}

/// The value of a member's group for the plan that reads the member.
///
/// The texts of its fields are hashed like those of an event.
pub(crate) fn group_value<'t>(
    kind: &PlanKind,
    mut texts: impl Iterator<Item = &'t str>,
) -> Option<FactValue> {
    if !matches!(kind, PlanKind::ValueCount { .. }) {
        return Some(FactValue::default());
    }
    let mut bytes = Vec::new();
    texts.try_for_each(|text| append(&Value::Text(text.into()), &mut bytes))?;
    Some(FactValue(EventId::of(&[&bytes]).0))
}

/// Appends a value's exact text, lengths first. A list is one value: its elements in order.
fn append(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Null => None,
        Value::List(values) if values.is_empty() => None,
        Value::List(values) => {
            out.extend_from_slice(&(values.len() as u64).to_le_bytes());
            for value in values {
                // A null element keeps its place.
                if append(value, out).is_none() {
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
