//! Groups: forms the groups of an event from the exact texts of its fields, lists expanded.

use std::borrow::Cow;

use weir_schema::{GroupField, GroupKey, TenantKey, Value};

use crate::sigma::view::EventView;

/// Maximum number of groups of one plan in one event. Groups beyond it are dropped and counted.
pub const GROUPS_MAX: usize = 100;

/// The outcome of forming an event's groups.
pub(crate) enum GroupOutcome {
    Done,
    /// A field to group by is missing, null or an empty list.
    Missing,
    /// There were more than [`GROUPS_MAX`].
    Capped,
}

/// The fields by which a plan groups events.
#[derive(Clone, Copy)]
pub(crate) struct GroupBy<'a> {
    /// The plan's names of the fields.
    pub names: &'a [String],
    /// The names of the same fields in the event.
    pub fields: &'a [String],
    /// A missing field counts as the empty text.
    ///
    /// This is set for rules that are not correlations, so that no match is lost where a source
    /// states no host.
    pub lenient: bool,
}

/// Calls `found` once with the key and values of each group of the event.
pub(crate) fn for_each_group(
    group_by: GroupBy<'_>,
    view: &EventView<'_>,
    tenant: TenantKey,
    mut found: impl FnMut(GroupKey, &[Cow<'_, str>]),
) -> GroupOutcome {
    let mut choices: Vec<Vec<Cow<'_, str>>> = Vec::with_capacity(group_by.fields.len());
    let mut capped = false;
    for field in group_by.fields {
        let mut texts = Vec::new();
        if let Some(value) = view.get(field) {
            capped |= !collect(value, &mut texts);
        }
        match texts.is_empty() {
            true if group_by.lenient => texts.push(Cow::Borrowed("")),
            true => return GroupOutcome::Missing,
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
        found(key(group_by.names, tenant, &values), &values);
    }
    if capped {
        GroupOutcome::Capped
    } else {
        GroupOutcome::Done
    }
}

/// Adds the value's texts without duplicates. Returns false if there are too many.
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

/// The key of the group with these fields and values.
pub(crate) fn key(fields: &[String], tenant: TenantKey, values: &[Cow<'_, str>]) -> GroupKey {
    let tenant = tenant.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + 2 * fields.len());
    parts.push(&tenant);
    for (field, value) in fields.iter().zip(values) {
        parts.extend([field.as_bytes(), value.as_bytes()]);
    }
    GroupKey::of(&parts)
}

/// The fields of the group, with their values.
pub(crate) fn fields(names: &[String], values: &[Cow<'_, str>]) -> Vec<GroupField> {
    names
        .iter()
        .zip(values)
        .map(|(name, value)| GroupField {
            name: name.clone(),
            value: value.clone().into_owned(),
        })
        .collect()
}
