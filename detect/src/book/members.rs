//! Resolves the members of a correlation, and refuses those that it cannot read.

use weir_schema::{Plan, PlanKind, RuleId};

use crate::book::catalog::{Catalog, RuleEntry};
use crate::sigma::correlation::Correlation;
use crate::sigma::document::RuleBody;
use crate::sigma::issue::Issue;

/// Maximum number of rules in one chain. A rule counts each time it is listed.
const RULES_MAX: usize = 256;

/// A correlation, under the id of its rule.
#[derive(Clone, Copy)]
pub(crate) struct NamedCorrelation<'a> {
    pub id: &'a str,
    pub correlation: &'a Correlation,
}

/// A member of a correlation, by the three ways in which aliases may refer to it.
#[derive(Clone, Copy)]
pub(crate) struct MemberNames<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    /// As the correlation lists it.
    pub reference: &'a str,
}

/// The entries of all members, or the issues with them.
pub(crate) fn resolve<'a>(
    catalog: &'a Catalog,
    of: NamedCorrelation<'_>,
) -> Result<Vec<(&'a RuleId, &'a RuleEntry)>, Vec<Issue>> {
    let (mut members, mut issues, mut rules) = (Vec::new(), Vec::new(), 0);
    for reference in &of.correlation.members {
        let found = catalog.resolve(reference);
        match found.and_then(|found| catalog.rules.get_key_value(found)) {
            None => issues.push(
                Issue::new(format!(
                    "waits for rule `{reference}`, which does not exist"
                ))
                .hint("the correlation starts when a rule of this id or name is added"),
            ),
            Some((member, _)) if **member == *of.id => issues.push(circular(reference)),
            Some((member, _)) if catalog.filters.contains(member) => {
                let message = format!("`{reference}` names a filter, which matches nothing");
                issues.push(Issue::new(message));
            }
            Some((member, _)) if members.iter().any(|(known, _)| *known == member) => {
                let message = format!("`{reference}` names a rule that is listed already");
                issues.push(Issue::new(message));
            }
            Some((member, entry)) => {
                issues.extend(check(catalog, of, reference, entry, &mut rules));
                members.push((member, entry));
            }
        }
    }
    if issues.is_empty() {
        Ok(members)
    } else {
        Err(issues)
    }
}

/// Checks a member that is a correlation. Returns why it cannot be a member, if so.
///
/// `rules` counts the rules beneath all members that were checked before.
pub(crate) fn check(
    catalog: &Catalog,
    outer: NamedCorrelation<'_>,
    reference: &str,
    entry: &RuleEntry,
    rules: &mut usize,
) -> Option<Issue> {
    let (id, version) = (catalog.resolve(reference)?, entry.active_versions.last()?);
    let RuleBody::Correlation(inner) = &version.document.body else {
        return None;
    };
    if let Some(reason) = incompatibility(outer.correlation, inner) {
        return Some(Issue::new(format!("`{reference}`: {reason}")));
    }
    let fields: Vec<String> = [&outer.correlation.group_by, &outer.correlation.values]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let names = MemberNames {
        id,
        name: version.document.name.as_deref(),
        reference,
    };
    let fields = member_fields(outer.correlation, names, &fields);
    if let Some(field) = fields.iter().find(|field| !inner.group_by.contains(field)) {
        let message = format!("`{reference}` is not grouped by `{field}`");
        return Some(
            Issue::new(message)
                .hint("fields that are read from a correlation must be in its `group-by`"),
        );
    }
    let inner = NamedCorrelation {
        id,
        correlation: inner,
    };
    match depth(catalog, inner, &[outer.id], rules) {
        Err(issue) => Some(issue),
        Ok(depth) if depth >= Plan::STAGE_MAX => Some(
            Issue::new(format!("`{reference}` makes the chain too long")).hint(format!(
                "a chain has at most {} correlations",
                Plan::STAGE_MAX + 1
            )),
        ),
        Ok(_) => None,
    }
}

/// The names that a member's events use for fields of the correlation.
pub(crate) fn member_fields(
    correlation: &Correlation,
    member: MemberNames<'_>,
    fields: &[String],
) -> Vec<String> {
    let field_of = |field: &String| {
        let alias = correlation.aliases.get(field)?;
        let by_name = member.name.and_then(|name| alias.get(name));
        alias
            .get(member.reference)
            .or(by_name)
            .or_else(|| alias.get(member.id))
    };
    let pairs = fields.iter().map(|field| field_of(field).unwrap_or(field));
    pairs.cloned().collect()
}

/// Why a correlation of one kind cannot read one of the other, whatever their fields are.
pub(crate) fn incompatibility(outer: &Correlation, inner: &Correlation) -> Option<&'static str> {
    match (&outer.kind, &inner.kind) {
        (_, PlanKind::Silence) => Some("a silence cannot be a member: it may be blind"),
        (PlanKind::Value { .. } | PlanKind::Silence, _) => {
            Some("a correlation has neither numbers nor a source that could fall silent")
        }
        _ => None,
    }
}

/// The number of correlations in the longest chain beneath this one.
///
/// `above` are the correlations on the way to it, to find circles.
fn depth(
    catalog: &Catalog,
    of: NamedCorrelation<'_>,
    above: &[&str],
    rules: &mut usize,
) -> Result<u8, Issue> {
    if above.contains(&of.id) {
        return Err(circular(of.id));
    }
    let above: Vec<&str> = above.iter().copied().chain([of.id]).collect();
    let mut deepest = 0;
    for reference in &of.correlation.members {
        *rules += 1;
        if *rules > RULES_MAX {
            return Err(Issue::new(format!(
                "more than {RULES_MAX} rules in one chain"
            )));
        }
        let found = catalog.resolve(reference);
        let Some((id, entry)) = found.and_then(|found| catalog.rules.get_key_value(found)) else {
            continue;
        };
        if above.len() > usize::from(Plan::STAGE_MAX) + 2 {
            return Ok(u8::MAX); // Long enough to be refused.
        }
        for (_, correlation) in entry.correlations() {
            let inner = NamedCorrelation { id, correlation };
            let below = depth(catalog, inner, &above, rules)?;
            deepest = deepest.max(below.saturating_add(1));
        }
    }
    Ok(deepest)
}

/// The issue of a correlation that reads itself, directly or through others.
pub(crate) fn circular(reference: &str) -> Issue {
    Issue::new(format!("`{reference}` is a member of itself"))
        .hint("correlations of correlations must not form a circle")
}
