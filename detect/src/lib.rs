//! Compiles Sigma rules into matchers and plans, and finds the matches of events.
//!
//! The crate does no I/O and reads no clock: the same entries in the same order always give the
//! same results.
//!
//! ```text
//! text ──sigma──► RuleDocument ──book──► Plan + sources ──index, engine──► facts of an event
//!        limits,                 by event time           by log source
//!        diagnostics
//! ```
//!
//! Where Sigma leaves a choice, this crate decides as follows:
//!
//! - A rule that is not a correlation is `event_count >= 1` in 10 minutes. It is grouped by `host`,
//!   or by the fields in a top-level `weir: {group-by: [...]}` (or `weir.group-by: [...]`). A field
//!   that the event lacks counts as the empty text there, so no match is lost.
//! - A correlation drops events that lack a field of its `group-by`, and counts them.
//! - A correlation reads its rules from the latest `since` of all of them. While a correlation
//!   without `generate: true` reads a rule, the rule raises no alerts of its own. This holds even
//!   if the correlation is disabled.
//! - Removing a rule also removes the plans of the correlations that read it, as if it had never
//!   existed. Disabling a rule stops them.
//! - Keywords are searched in the message and in the text of every field. The field `message` is
//!   the event's message unless the event has a field of that name.
//! - `neq` is the negation of the same clause without it, so it holds for an absent field.
//! - A field that is present without a value exists (`exists: true`), and is `null`.
//! - A rule with the status `unsupported` is refused: its author states that it cannot be used.
//! - Letters compare without regard to case; see `sigma/pattern/mod.rs`.

mod sigma;

mod book;

mod what_if;

mod engine;

use sigma::yaml::{self, YamlNode};
use sigma::{correlation, document, header};

pub use book::admit::{RULES_MAX, VERSIONS_MAX};
pub use book::change::{BookUpdate, PlanChange};
pub use book::drafts::{Detections, FactDraft};
pub use book::explain::{ClauseExplanation, Explanation};
pub use book::group::GROUPS_MAX;
pub use book::identity;
pub use book::origin::EventOrigin;
pub use book::rule_book::RuleBook;
pub use book::settings::{SETTINGS_BYTES_MAX, SETTINGS_CHANGES_MAX, Settings};
pub use book::summary::{RuleKind, RuleSummary};
pub use engine::{Detector, Measure};
pub use sigma::diagnostic::Diagnostic;
pub use sigma::log_sources::{LogSources, SourceEntry};
pub use sigma::placeholders::{PlaceholderValue, Placeholders};
pub use sigma::yaml::{BRACKETS_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, split_documents};
pub use what_if::{
    SHADOWS_MAX, ShadowPlan, WHAT_IF_CHANGES_MAX, WHAT_IF_ORIGIN, WHAT_IFS_MAX, WhatIf,
};

/// Returns the diagnostics of one document. Its members are not looked up.
#[must_use]
pub fn check(text: &str, origin: &str) -> Vec<Diagnostic> {
    check_with(text, origin, &Placeholders::new())
}

/// Same as [`check`], with values of placeholders.
#[must_use]
pub fn check_with(text: &str, origin: &str, placeholders: &Placeholders) -> Vec<Diagnostic> {
    match document::read(text, origin, placeholders) {
        Ok((_, remarks)) => remarks,
        Err(diagnostics) => diagnostics,
    }
}

/// Returns the id and the name of a correlation or filter; empty for other documents.
///
/// These change the results of other rules. Removing one by its id or name undoes that.
#[must_use]
pub fn names_affecting_others(text: &str) -> Vec<String> {
    // Most documents need not be parsed: no line at the indent of their first key has such a key.
    let has_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = text.lines().find(has_content).unwrap_or_default();
    let indent = first.len() - first.trim_start().len();
    let is_key = |line: &str| {
        let line = line.get(indent..).unwrap_or_default();
        let key = line.trim_start_matches(['"', '\'']);
        key.starts_with("correlation") || key.starts_with("filter")
    };
    if !first.trim_start().starts_with('{') && !text.lines().any(is_key) {
        return Vec::new();
    }
    let Ok(node) = yaml::read(text) else {
        return Vec::new();
    };
    if node.get("correlation").is_none() && node.get("filter").is_none() {
        return Vec::new();
    }
    let name = node.get("name").and_then(YamlNode::text);
    let id = header::id_of(&node).ok();
    let id = id.map(|id| id.to_string());
    id.into_iter().chain(name.map(str::to_owned)).collect()
}

/// The names of a document that reads other rules, and of the rules that it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentReferences {
    /// Its id and its name.
    pub names: Vec<String>,
    /// Ids or names of the rules that a correlation reads; none for a filter.
    pub reads: Vec<String>,
    pub is_filter: bool,
}

/// Returns the references of a correlation or filter; empty for a text that is none.
#[must_use]
pub fn references(text: &str) -> DocumentReferences {
    let Ok(node) = yaml::read(text) else {
        return DocumentReferences::default();
    };
    let id = header::id_of(&node).ok().map(|id| id.to_string());
    let name = node.get("name").and_then(YamlNode::text);
    DocumentReferences {
        names: id.into_iter().chain(name.map(str::to_owned)).collect(),
        reads: node
            .get("correlation")
            .map_or_else(Vec::new, correlation::reads),
        is_filter: node.get("filter").is_some(),
    }
}

/// Returns the id of the rule: Sigma `id`, else `name`, else `title`.
#[must_use]
pub fn rule_id(text: &str) -> Option<String> {
    let node = yaml::read(text).ok()?;
    let id = header::id_of(&node).ok()?;
    Some((*id).to_owned())
}
