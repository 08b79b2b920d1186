//! Groups: forms the groups of an event from the exact texts of its fields, lists expanded.
//!
//! A placeholder (`-`, `0.0.0.0`: see `identity.rs`) counts as a missing field, unless the rule
//! names it as a value of that field.

use std::borrow::Cow;

use weir_schema::{GroupField, GroupKey, TenantKey, Value};

use crate::book::identity::{ACCOUNT_FIELDS, ACTOR_FIELDS, DEVICE_FIELDS, is_placeholder};
use crate::book::origin::EventOrigin;
use crate::sigma::detection::Detection;
use crate::sigma::view::EventView;

/// Maximum number of groups of one plan in one event. Groups beyond it are dropped and counted.
pub const GROUPS_MAX: usize = 100;

/// The field of a group by source.
const SOURCE: &str = "source";

/// The outcome of forming an event's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupOutcome {
    Done,
    /// A field to group by is missing, null, an empty list or a placeholder.
    Missing,
    /// There were more than [`GROUPS_MAX`].
    Capped,
}

/// The outcome of forming an event's groups, and whether they depend on the detection.
pub(crate) struct FormedGroups {
    pub outcome: GroupOutcome,
    /// Whether a field has a placeholder, which a detection may name as a value.
    pub has_placeholder: bool,
}

/// The remarks on the fields that were read.
#[derive(Default)]
struct FieldRemarks {
    is_capped: bool,
    has_placeholder: bool,
}

/// The result if an event lacks a field to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingField {
    /// Correlations: the event is in no group, and counted.
    Ungrouped,
    /// Rules that name their fields and are no correlation: the field counts as the empty text, so
    /// no match is lost.
    Empty,
    /// Rules that name none: whoever else the event names, at last its source.
    Fallback,
}

/// The fields by which a plan groups events.
#[derive(Clone, Copy)]
pub(crate) struct GroupBy<'a> {
    /// The plan's names of the fields.
    pub names: &'a [String],
    /// The names of the same fields in the event.
    pub fields: &'a [String],
    pub missing: MissingField,
    /// The values that it names are no placeholders.
    pub detection: &'a Detection,
    pub origin: EventOrigin<'a>,
}

/// One field of a group: its name, and the values of which each makes a group.
type Choice<'a> = (&'a str, Vec<Cow<'a, str>>);

/// A group of an event: the names of its fields and their values.
pub(crate) struct EventGroup<'g> {
    pub key: GroupKey,
    pub names: &'g [&'g str],
    pub values: &'g [Cow<'g, str>],
}

/// Calls `found` once with each group of the event.
pub(crate) fn for_each_group(
    group_by: GroupBy<'_>,
    view: &EventView<'_>,
    mut found: impl FnMut(EventGroup<'_>),
) -> FormedGroups {
    let mut choices: Vec<Choice<'_>> = Vec::with_capacity(group_by.fields.len());
    let mut remarks = FieldRemarks::default();
    for (name, field) in group_by.names.iter().zip(group_by.fields) {
        let mut texts = group_by.texts(field, view, &mut remarks);
        if texts.is_empty() {
            match group_by.missing {
                MissingField::Ungrouped => return remarks.outcome(GroupOutcome::Missing),
                MissingField::Empty => texts.push(Cow::Borrowed("")),
                MissingField::Fallback => {
                    choices = group_by.fallback(view, &mut remarks);
                    break;
                }
            }
        }
        choices.push((name, texts));
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let total = choices.iter().fold(1usize, |total, (_, texts)| {
        total.saturating_mul(texts.len())
    });
    remarks.is_capped |= total > GROUPS_MAX;
    for number in 0..total.min(GROUPS_MAX) {
        let mut rest = number;
        let values: Vec<Cow<'_, str>> = choices
            .iter()
            .map(|(_, texts)| {
                let value = texts[rest % texts.len()].clone();
                rest /= texts.len();
                value
            })
            .collect();
        let key = key(names.iter().copied(), group_by.origin.tenant, &values);
        found(EventGroup {
            key,
            names: &names,
            values: &values,
        });
    }
    let outcome = match remarks.is_capped {
        true => GroupOutcome::Capped,
        false => GroupOutcome::Done,
    };
    remarks.outcome(outcome)
}

impl FieldRemarks {
    fn outcome(self, outcome: GroupOutcome) -> FormedGroups {
        FormedGroups {
            outcome,
            has_placeholder: self.has_placeholder,
        }
    }
}

impl<'a> GroupBy<'a> {
    /// The texts of a field that are no placeholders, without duplicates.
    fn texts<'v>(
        &self,
        field: &str,
        view: &EventView<'v>,
        remarks: &mut FieldRemarks,
    ) -> Vec<Cow<'v, str>> {
        let mut texts = Vec::new();
        if let Some(value) = view.get(field) {
            remarks.is_capped |= !collect(value, &mut texts);
        }
        let matcher = &self.detection.matcher;
        texts.retain(|text| {
            let is_placeholder = is_placeholder(field, text);
            remarks.has_placeholder |= is_placeholder;
            !is_placeholder || matcher.names_value(field, text)
        });
        texts
    }

    /// The group of an event that does not have the rule's own: the device, else the account and
    /// the actor, else the source.
    fn fallback(&self, view: &EventView<'a>, remarks: &mut FieldRemarks) -> Vec<Choice<'a>> {
        let mut first = |fields: &'static [&'static str]| {
            let choice = |field: &&'static str| {
                let texts = self.texts(field, view, remarks);
                (!texts.is_empty()).then_some((*field, texts))
            };
            fields.iter().find_map(choice)
        };
        if let Some(device) = first(&DEVICE_FIELDS) {
            return vec![device];
        }
        let cloud = [first(&ACCOUNT_FIELDS), first(&ACTOR_FIELDS)];
        let cloud: Vec<Choice<'a>> = cloud.into_iter().flatten().collect();
        if !cloud.is_empty() {
            return cloud;
        }
        vec![(SOURCE, vec![Cow::Borrowed(self.origin.source)])]
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
pub(crate) fn key<'n>(
    fields: impl Iterator<Item = &'n str>,
    tenant: TenantKey,
    values: &[Cow<'_, str>],
) -> GroupKey {
    let tenant = tenant.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + 2 * values.len());
    parts.push(&tenant);
    for (field, value) in fields.zip(values) {
        parts.extend([field.as_bytes(), value.as_bytes()]);
    }
    GroupKey::of(&parts)
}

impl EventGroup<'_> {
    /// The fields of the group, with their values.
    pub(crate) fn fields(&self) -> Vec<GroupField> {
        let pairs = self.names.iter().zip(self.values);
        pairs
            .map(|(name, value)| GroupField {
                name: (*name).to_owned(),
                value: value.clone().into_owned(),
            })
            .collect()
    }
}
