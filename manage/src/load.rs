//! Loads many documents into one rule book, and reports which rules are active afterwards.

use std::collections::{BTreeMap, BTreeSet};

use weir_detect::{Diagnostic, RuleBook};
use weir_schema::{Control, EventTime, RuleVersion};

use crate::document::{RuleFileDocument, sort_members_first};

/// A document whose id no earlier document of the same load has.
#[derive(Clone, Debug)]
pub struct RuleCandidate {
    pub document: RuleFileDocument,
    /// `None` if the text is too broken to have an id.
    pub id: Option<String>,
    pub version: RuleVersion,
}

/// Drops documents whose id an earlier one has, each with a diagnostic.
///
/// `known_id` gives the ids of texts that need not be parsed again.
pub fn deduplicate(
    documents: &[RuleFileDocument],
    known_id: impl Fn(RuleVersion) -> Option<String>,
) -> (Vec<RuleCandidate>, Vec<Diagnostic>) {
    let mut first: BTreeMap<String, &RuleFileDocument> = BTreeMap::new();
    let (mut candidates, mut diagnostics) = (Vec::new(), Vec::new());
    for document in documents {
        let version = RuleVersion::of(&[document.text.as_bytes()]);
        let id = known_id(version).or_else(|| weir_detect::rule_id(&document.text));
        if let Some(id) = &id {
            if let Some(before) = first.get(id) {
                diagnostics.push(duplicate_id(id, document, before));
                continue;
            }
            first.insert(id.clone(), document);
        }
        candidates.push(RuleCandidate {
            document: document.clone(),
            id,
            version,
        });
    }
    (candidates, diagnostics)
}

fn duplicate_id(id: &str, document: &RuleFileDocument, before: &RuleFileDocument) -> Diagnostic {
    // People may replace a built-in rule by one of the same id, so this is not an error.
    let builtin = document.origin.starts_with("builtin:");
    let (message, hint) = if builtin {
        let message = format!("the rule `{id}` runs as {} has it", before.origin);
        (message, None)
    } else {
        let message = format!("the id `{id}` is that of the rule at {}", before.origin);
        let hint = "the first in order of path is used; give this one an id of its own";
        (message, Some(hint.to_owned()))
    };
    Diagnostic {
        origin: document.origin.clone(),
        line: id_line(&document.text),
        column: None,
        message,
        hint,
        refused: !builtin,
    }
}

fn id_line(text: &str) -> Option<u32> {
    let line = text.lines().position(|line| line.starts_with("id:"))?;
    u32::try_from(line + 1).ok()
}

/// The result of loading candidates into a rule book.
#[derive(Debug, Default)]
pub struct LoadOutcome {
    /// Candidates that are active, in the order in which they were added.
    pub accepted: Vec<RuleCandidate>,
    /// Candidates that are not active.
    pub refused: Vec<RuleCandidate>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Adds candidates to the book, correlations after the rules they name.
pub fn load(book: &mut RuleBook, candidates: Vec<RuleCandidate>, since: EventTime) -> LoadOutcome {
    let mut outcome = LoadOutcome::default();
    let mut diagnostics = Vec::new();
    let candidates = sort_members_first(candidates, |candidate| &candidate.document);
    for candidate in &candidates {
        let control = candidate.document.control(since);
        diagnostics.extend(book.apply(&control).diagnostics);
    }
    if !diagnostics.iter().any(|one| one.refused) {
        outcome.accepted = candidates;
        outcome.diagnostics = diagnostics;
        return outcome;
    }
    let active: BTreeMap<_, _> = book
        .rules()
        .into_iter()
        .filter(|rule| rule.until == EventTime::MAX)
        .map(|rule| (rule.id, rule.version))
        .collect();
    for candidate in candidates {
        let is_active = |id: &String| active.get(id.as_str()) == Some(&candidate.version);
        if candidate.id.as_ref().is_some_and(is_active) {
            outcome.accepted.push(candidate);
        } else {
            outcome.refused.push(candidate);
        }
    }
    let origins: BTreeSet<&str> = diagnostics.iter().map(|one| &*one.origin).collect();
    let mut suspects: Vec<&RuleCandidate> = outcome.accepted.iter().collect();
    suspects.retain(|candidate| origins.contains(&*candidate.document.origin));
    let origins = suspects.iter().map(|one| one.document.origin.clone());
    let rechecked: BTreeSet<String> = origins.collect();
    let remaining = recheck(book, &suspects);
    diagnostics.retain(|one| !rechecked.contains(&one.origin));
    diagnostics.extend(remaining.into_iter().flat_map(|(_, found)| found));
    outcome.diagnostics = diagnostics;
    outcome
}

/// Checks active rules again now that all others are loaded. Returns their diagnostics by rule id.
///
/// A rule that was added later may have resolved a diagnostic of an earlier one.
pub fn recheck(book: &RuleBook, rules: &[&RuleCandidate]) -> Vec<(String, Vec<Diagnostic>)> {
    let mut scratch = book.clone();
    let mut found = Vec::new();
    for candidate in rules {
        let Some(id) = &candidate.id else { continue };
        scratch.apply(&Control::RuleDelete {
            rule: id.clone(),
            since: EventTime::MIN,
        });
        let control = candidate.document.control(EventTime::MIN);
        let mut diagnostics = scratch.apply(&control).diagnostics;
        diagnostics.retain(|one| one.origin == candidate.document.origin);
        if !diagnostics.is_empty() {
            found.push((id.clone(), diagnostics));
        }
    }
    found
}

/// Place of a diagnostic in its file; sorts by file, line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePosition {
    pub file: String,
    /// From 1, in the whole file.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// The place of a diagnostic in its whole file.
///
/// An origin is the `file:line` at which the document starts, and a diagnostic counts lines from
/// there.
pub fn source_position(diagnostic: &Diagnostic) -> SourcePosition {
    let origin = diagnostic.origin.as_str();
    let (file, first) = match origin.rsplit_once(':') {
        Some((file, line)) => (file, line.parse().unwrap_or(1)),
        None => (origin, 1_u32),
    };
    let inner = diagnostic.line.unwrap_or(1).max(1);
    SourcePosition {
        file: file.to_owned(),
        line: first.saturating_add(inner - 1),
        column: diagnostic.column.unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(origin: &str, id: &str, more: &str) -> RuleFileDocument {
        let body = "logsource:\n  product: linux\ndetection:\n  selection:\n    user: root\n  \
                    condition: selection\n";
        RuleFileDocument {
            origin: origin.to_owned(),
            text: format!("title: {id}\nid: {id}\n{body}{more}"),
        }
    }

    fn correlation(origin: &str, id: &str, reads: &str) -> RuleFileDocument {
        RuleFileDocument {
            origin: origin.to_owned(),
            text: format!(
                "title: {id}\nid: {id}\ncorrelation:\n  type: event_count\n  rules:\n    - {reads}\n  \
                 group-by:\n    - host\n  timespan: 1m\n  condition:\n    gte: 2\n"
            ),
        }
    }

    /// Loads documents into an empty book. Returns accepted ids, refused ids, and diagnostics.
    fn load_new(documents: &[RuleFileDocument]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let (candidates, mut diagnostics) = deduplicate(documents, |_| None);
        let outcome = load(&mut RuleBook::new(), candidates, EventTime::MIN);
        diagnostics.extend(outcome.diagnostics);
        let ids = |candidates: Vec<RuleCandidate>| {
            let ids = candidates.into_iter().filter_map(|one| one.id);
            ids.collect()
        };
        let diagnostics = diagnostics.iter().map(ToString::to_string).collect();
        (ids(outcome.accepted), ids(outcome.refused), diagnostics)
    }

    #[test]
    fn the_first_of_two_rules_with_one_id_is_used_and_both_are_named() {
        let (accepted, _, diagnostics) = load_new(&[
            document("a.yml:1", "x", ""),
            document("b.yml:4", "x", "level: high\n"),
            document("builtin:c.yml:1", "x", ""),
        ]);
        assert_eq!(accepted, ["x"]);
        assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
        assert!(
            diagnostics[0].starts_with("b.yml:4:2: ") && diagnostics[0].contains("a.yml:1"),
            "{diagnostics:?}"
        );
        assert!(
            diagnostics[1].contains("runs as a.yml:1 has it"),
            "{diagnostics:?}"
        );
    }

    #[test]
    fn diagnostics_that_a_later_rule_resolves_are_dropped() {
        let (accepted, refused, diagnostics) = load_new(&[
            correlation("a.yml:1", "many", "one"),
            correlation("b.yml:1", "lonely", "none"),
            document("c.yml:1", "one", ""),
            document("d.yml:1", "bad", "level: loud\n"),
        ]);
        assert_eq!(accepted, ["one", "many", "lonely"]);
        assert_eq!(refused, ["bad"]);
        assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
        assert!(
            diagnostics
                .iter()
                .any(|one| one.starts_with("b.yml:1") && one.contains("`none`"))
        );
        assert!(diagnostics.iter().any(|one| one.starts_with("d.yml:1")));
    }

    /// c11b: the diagnostics of a load are those of its end, wherever its documents stand.
    #[test]
    fn correlations_in_front_of_their_members_are_no_problem() {
        let documents = [
            correlation("a.yml:1", "four", "three"),
            correlation("a.yml:20", "three", "two"),
            correlation("b.yml:1", "two", "one"),
            correlation("b.yml:20", "one", "rule"),
            document("c.yml:1", "rule", ""),
        ];
        let (accepted, refused, diagnostics) = load_new(&documents);
        assert_eq!(diagnostics, [""; 0]);
        assert_eq!(accepted, ["rule", "one", "two", "three", "four"]);
        assert_eq!(refused, [""; 0]);
        // No entry of a journal that has them in this order reports a problem either.
        let mut book = RuleBook::new();
        for document in crate::members_first(documents.to_vec()) {
            let update = book.apply(&document.control(EventTime::MIN));
            assert_eq!(update.diagnostics, [], "{}", document.origin);
        }
    }

    #[test]
    fn correlations_in_a_circle_are_reported_as_such() {
        let (_, _, diagnostics) = load_new(&[
            correlation("a.yml:1", "one", "two"),
            correlation("a.yml:20", "two", "one"),
            document("c.yml:1", "rule", ""),
        ]);
        let circular = |one: &String| one.contains("is a member of itself");
        assert!(diagnostics.iter().any(circular), "{diagnostics:?}");
        assert!(!diagnostics.iter().any(|one| one.contains("waits for")));
    }
}
