//! Admission: decides whether a document may join the rules of the catalog.

use std::collections::BTreeSet;

use crate::book::catalog::{Catalog, RuleEntry};
use crate::book::members::{self, NamedCorrelation};
use crate::sigma::correlation::Correlation;
use crate::sigma::document::{RuleBody, RuleDocument};
use crate::sigma::filter::{FILTERS_MAX, Filter, RULE_FILTERS_MAX};
use crate::sigma::issue::Issue;

/// Maximum number of rules. The largest public collection has about 4,000.
pub const RULES_MAX: usize = 10_000;

/// Maximum number of versions of one rule. The plans and alerts of all of them stay.
pub const VERSIONS_MAX: usize = 64;

/// Refuses a document that uses the name of another rule, contains itself, or exceeds a limit.
///
/// `is_full`: its rule has the maximum number of versions.
pub(crate) fn admit(
    catalog: &Catalog,
    document: &RuleDocument,
    is_full: bool,
) -> Result<(), Issue> {
    let id = &document.id;
    let entry = catalog.rules.get(id);
    if entry.is_none() && catalog.rules.len() >= RULES_MAX {
        return Err(Issue::new(format!("more than {RULES_MAX} rules")).hint("remove some"));
    }
    if is_full {
        let message = format!("more than {VERSIONS_MAX} versions of one rule");
        return Err(Issue::new(message).hint("remove the rule, or give the new one another id"));
    }
    check_names(catalog, document)?;
    match &document.body {
        RuleBody::Correlation(correlation) => check_members(catalog, document, correlation),
        RuleBody::Filter(filter) => check_filter(catalog, document, filter),
        RuleBody::Rule(..) if catalog.filters_of(document).len() > RULE_FILTERS_MAX => {
            let message = format!("more than {RULE_FILTERS_MAX} filters apply to this rule");
            Err(Issue::new(message).hint("merge some of them"))
        }
        RuleBody::Rule(..) => Ok(()),
    }
}

/// Refuses an id or a name that another rule has.
fn check_names(catalog: &Catalog, document: &RuleDocument) -> Result<(), Issue> {
    let id = &document.id;
    for name in BTreeSet::from([&**id, document.name.as_deref().unwrap_or(id)]) {
        let other = catalog.resolve(name).filter(|other| *other != id);
        if let Some(other) = other {
            let origin = origin_of(catalog, other);
            return Err(
                Issue::new(format!("`{name}` already names rule `{other}`{origin}"))
                    .hint("ids and names of all rules must differ")
                    .key(if name == &**id { "id" } else { "name" }),
            );
        }
    }
    Ok(())
}

/// Refuses members that the correlation cannot read. Members may be added later.
fn check_members(
    catalog: &Catalog,
    document: &RuleDocument,
    correlation: &Correlation,
) -> Result<(), Issue> {
    let id = &*document.id;
    let mut rules = 0;
    for (at, member) in correlation.members.iter().enumerate() {
        let is_itself = *member == *id || document.name.as_ref() == Some(member);
        let entry = catalog.resolve(member).and_then(|id| catalog.rules.get(id));
        let issue = match entry {
            _ if is_itself => Some(members::circular(member)),
            Some(entry) => {
                let outer = NamedCorrelation { id, correlation };
                members::check(catalog, outer, member, entry, &mut rules)
            }
            None => None,
        };
        if let Some(issue) = issue {
            return Err(issue.nth(at).key("rules").key("correlation"));
        }
    }
    Ok(())
}

/// The origin of a rule, for a message.
fn origin_of(catalog: &Catalog, id: &str) -> String {
    let current = catalog.rules.get(id).and_then(RuleEntry::current);
    current.map_or(String::new(), |version| {
        format!(" of {}", version.document.origin)
    })
}

/// Refuses a filter where the catalog, or one of its rules, has too many.
fn check_filter(catalog: &Catalog, document: &RuleDocument, filter: &Filter) -> Result<(), Issue> {
    let known = catalog.filters.contains(&document.id);
    if !known && catalog.filters.len() >= FILTERS_MAX {
        return Err(Issue::new(format!("more than {FILTERS_MAX} filters")).hint("remove some"));
    }
    let full = catalog.rules.values().find_map(|entry| {
        let rule = &entry.current()?.document;
        let others = || {
            let filters = catalog.filters_of(rule).into_iter();
            filters.filter(|other| **other != document.id).count()
        };
        (rule.is_filtered_by(filter) && others() >= RULE_FILTERS_MAX).then(|| rule.title.clone())
    });
    match full {
        Some(title) => {
            let message = format!("`{title}` has {RULE_FILTERS_MAX} filters already");
            Err(Issue::new(message).hint("merge some of them"))
        }
        None => Ok(()),
    }
}

/// Remarks on the rules that a filter lists without effect.
pub(crate) fn ineffective_references(catalog: &Catalog, document: &RuleDocument) -> Vec<Issue> {
    let RuleBody::Filter(filter) = &document.body else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    for reference in filter.listed() {
        let entry = catalog
            .resolve(reference)
            .and_then(|id| catalog.rules.get(id));
        let reason = match entry.and_then(RuleEntry::current) {
            None => "there is no such rule yet",
            Some(rule) if rule.document.is_filtered_by(filter) => continue,
            Some(rule) if matches!(rule.document.body, RuleBody::Rule(..)) => {
                "its log source is not included in the filter's"
            }
            Some(_) => "it does not match events by itself",
        };
        let remark = Issue::new(format!(
            "the filter does nothing for `{reference}`: {reason}"
        ));
        remarks.push(remark.key("rules").key("filter"));
    }
    remarks
}
