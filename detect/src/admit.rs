//! Which documents are let in beside the rules that are there.

use std::collections::BTreeSet;

use crate::chain;
use crate::diagnostic::Refusal;
use crate::document::{Body, Document};
use crate::filter::{FILTERS_MAX, Filter, RULE_FILTERS_MAX};
use crate::plans::{Catalog, of_itself};

/// More rules are refused; the largest public collection has about 4,000.
pub const RULES_MAX: usize = 10_000;

/// More versions of one rule are refused: the plans of all of them live on, with their alerts.
pub const VERSIONS_MAX: usize = 64;

/// Refuses what would take the place of another rule, be a member of itself, or pass a limit; `full`
/// where it would be one version of its rule too many.
pub(crate) fn admit(catalog: &Catalog, document: &Document, full: bool) -> Result<(), Refusal> {
    let id = &document.id;
    let entry = catalog.rules.get(id);
    if entry.is_none() && catalog.rules.len() >= RULES_MAX {
        return Err(Refusal::new(format!("more than {RULES_MAX} rules")).hint("remove some"));
    }
    if full {
        let message = format!("more than {VERSIONS_MAX} versions of one rule");
        return Err(Refusal::new(message).hint("remove the rule, or give the new one another id"));
    }
    let words = BTreeSet::from([&**id, document.name.as_deref().unwrap_or(id)]);
    for word in words {
        let other = catalog.resolve(word).filter(|other| *other != id);
        if let Some(other) = other {
            let origin = origin_of(catalog, other);
            return Err(
                Refusal::new(format!("`{word}` already names rule `{other}`{origin}"))
                    .hint("ids and names of all rules must differ")
                    .key(if word == &**id { "id" } else { "name" }),
            );
        }
    }
    match &document.body {
        Body::Correlation(correlation) => {
            let mut rules = 0;
            for (at, member) in correlation.members.iter().enumerate() {
                let itself = **member == **id || document.name.as_ref() == Some(member);
                let entry = catalog.resolve(member).and_then(|id| catalog.rules.get(id));
                let refusal = match entry {
                    _ if itself => Some(of_itself(member)),
                    Some(entry) => {
                        let asked = ((&**id, correlation), (member.as_str(), entry));
                        chain::refusal(catalog, asked.0, asked.1, &mut rules)
                    }
                    None => None,
                };
                if let Some(refusal) = refusal {
                    return Err(refusal.nth(at).key("rules").key("correlation"));
                }
            }
            Ok(())
        }
        Body::Filter(filter) => admit_filter(catalog, document, filter),
        Body::Rule(..) if catalog.filters_of(document).len() > RULE_FILTERS_MAX => {
            let message = format!("more than {RULE_FILTERS_MAX} filters are for this rule");
            Err(Refusal::new(message).hint("join some of them"))
        }
        Body::Rule(..) => Ok(()),
    }
}

fn origin_of(catalog: &Catalog, id: &str) -> String {
    let current = catalog.rules.get(id).and_then(|entry| entry.current());
    current.map_or(String::new(), |version| {
        format!(" of {}", version.document.origin)
    })
}

fn admit_filter(catalog: &Catalog, document: &Document, filter: &Filter) -> Result<(), Refusal> {
    let known = catalog.filters.contains(&document.id);
    if !known && catalog.filters.len() >= FILTERS_MAX {
        return Err(Refusal::new(format!("more than {FILTERS_MAX} filters")).hint("remove some"));
    }
    let full = catalog.rules.values().find_map(|entry| {
        let rule = &entry.current()?.document;
        let others = || {
            let filters = catalog.filters_of(rule).into_iter();
            filters.filter(|other| **other != document.id).count()
        };
        (filter.is_for(rule) && others() >= RULE_FILTERS_MAX).then(|| rule.title.clone())
    });
    match full {
        Some(title) => {
            let message = format!("`{title}` has {RULE_FILTERS_MAX} filters already");
            Err(Refusal::new(message).hint("join some of them"))
        }
        None => Ok(()),
    }
}

/// What a filter lists and does not reach: told, as its author meant it to.
pub(crate) fn unreached(catalog: &Catalog, document: &Document) -> Vec<Refusal> {
    let Body::Filter(filter) = &document.body else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    for reference in filter.listed() {
        let entry = catalog
            .resolve(reference)
            .and_then(|id| catalog.rules.get(id));
        let why = match entry.and_then(|entry| entry.current()) {
            None => "there is no such rule (yet)",
            Some(rule) if filter.is_for(&rule.document) => continue,
            Some(rule) if matches!(rule.document.body, Body::Rule(..)) => {
                "its log source is none that the filter's contains"
            }
            Some(_) => "it is no rule that matches events by itself",
        };
        let remark = Refusal::new(format!("the filter does nothing for `{reference}`: {why}"));
        remarks.push(remark.key("rules").key("filter"));
    }
    remarks
}
