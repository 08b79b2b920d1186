//! Groups: the values of an event that name them, arrays expanded, by their exact text.

use std::borrow::Cow;

use weir_schema::{GroupField, GroupKey, TenantKey, Value};

use crate::matcher::View;

/// An event names at most this many groups of one plan; arrays beyond it are left out, counted.
pub const GROUPS_MAX: usize = 100;

/// What became of an event's groups.
pub(crate) enum Grouped {
    Done,
    /// A field to group by is missing, null or an empty list.
    Missing,
    /// There were more than [`GROUPS_MAX`].
    Capped,
}

/// Calls `found` with the key and values of each group that the event names, each group once.
///
/// A group is of the plan's `names`; the event calls them `fields`.
///
/// `lenient`: a missing field counts as the empty text. It is set for rules that are no
/// correlation, whose detections must not vanish since a source names no host.
pub(crate) fn each(
    (names, fields, lenient): (&[String], &[String], bool),
    view: &View<'_>,
    tenant: TenantKey,
    mut found: impl FnMut(GroupKey, &[Cow<'_, str>]),
) -> Grouped {
    let mut choices: Vec<Vec<Cow<'_, str>>> = Vec::with_capacity(fields.len());
    let mut capped = false;
    for field in fields {
        let mut texts = Vec::new();
        if let Some(value) = view.get(field) {
            capped |= !collect(value, &mut texts);
        }
        match texts.is_empty() {
            true if lenient => texts.push(Cow::Borrowed("")),
            true => return Grouped::Missing,
            false => {}
        }
        choices.push(texts);
    }
    let total = choices
        .iter()
        .fold(1usize, |total, texts| total.saturating_mul(texts.len()));
    capped |= total > GROUPS_MAX;
    for number in 0..total.min(GROUPS_MAX) {
        let mut rest = number;
        let values: Vec<Cow<'_, str>> = choices
            .iter()
            .map(|texts| {
                let value = texts[rest % texts.len()].clone();
                rest /= texts.len();
                value
            })
            .collect();
        found(key(names, tenant, &values), &values);
    }
    if capped {
        Grouped::Capped
    } else {
        Grouped::Done
    }
}

/// Adds the value's texts, each once; false where there were too many.
fn collect<'v>(value: &'v Value<'_>, texts: &mut Vec<Cow<'v, str>>) -> bool {
    match value {
        Value::List(values) => values.iter().all(|value| collect(value, texts)),
        value => match value.as_text() {
            Some(text) if texts.contains(&text) => true,
            Some(_) if texts.len() >= GROUPS_MAX => false,
            Some(text) => {
                texts.push(text);
                true
            }
            None => true,
        },
    }
}

/// The key of a group in words.
pub(crate) fn key(fields: &[String], tenant: TenantKey, values: &[Cow<'_, str>]) -> GroupKey {
    let tenant = tenant.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + 2 * fields.len());
    parts.push(&tenant);
    for (field, value) in fields.iter().zip(values) {
        parts.extend([field.as_bytes(), value.as_bytes()]);
    }
    GroupKey::of(&parts)
}

/// The group in words.
pub(crate) fn named(fields: &[String], values: &[Cow<'_, str>]) -> Vec<GroupField> {
    fields
        .iter()
        .zip(values)
        .map(|(name, value)| GroupField {
            name: name.clone(),
            value: value.clone().into_owned(),
        })
        .collect()
}
