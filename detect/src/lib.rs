//! Sigma rules in, compiled matcher and plans out. No I/O, no clock; the same entries in the same
//! order give the same answers everywhere.
//!
//! ```text
//! text ──yaml──► tree ──document──► Document ──plans──► Plan + sources ──index──► facts of an event
//!        bounded        refusals               by event time            by log source
//! ```
//!
//! What this crate decides where Sigma leaves it open:
//!
//! - A rule that is no correlation is `event_count >= 1` in 10 minutes, grouped by `host`, or by
//!   the fields that a top-level `weir: {group-by: [...]}` (or `weir.group-by: [...]`) lists. A
//!   field that the event lacks counts as the empty text there, so that no match is lost.
//! - A correlation drops events that lack a field of its `group-by`, and counts them.
//! - A correlation reads its rules from the latest `since` of them all. A rule raises no alerts of
//!   its own while a correlation without `generate: true` reads it, even a disabled one.
//! - Removing a rule removes the plans of the correlations that read it: they are as if it had
//!   never been there. Disabling it stops them.
//! - Keywords are searched for in the message and in the text of every field. The field `message`
//!   is the event's message unless the event has a field of that name.
//! - `neq` is the negation of the same clause without it; it holds for an absent field.
//! - A field that is present without a value exists (`exists: true`), and is `null`.
//! - A rule whose status is `unsupported` is refused: its author says that it cannot be used.
//! - Letters compare without regard to case; see `pattern.rs`.

mod diagnostic;

mod yaml;

mod document;

mod about;

mod checks;

mod span;

mod settings;

mod expand;

mod date;

mod filter;

mod condition;

mod modifiers;

mod chain;
mod clause;

mod encode;

mod number;

mod pattern;

mod test;

mod matcher;

mod sources;

mod engine;

mod correlation;

mod live;

mod values;

mod plans;

mod revise;

mod admit;

mod summary;

mod group;

mod index;

mod explain;

mod what_if;

mod book;

pub use admit::{RULES_MAX, VERSIONS_MAX};
pub use book::{Applied, PlanChange, RuleBook};
pub use diagnostic::Diagnostic;
pub use engine::Detector;
pub use explain::{ClauseExplanation, Explanation};
pub use group::GROUPS_MAX;
pub use index::{Detected, FactDraft};
pub use settings::{Placed, Placeholders, SETTINGS_BYTES_MAX, SETTINGS_CHANGES_MAX, Settings};
pub use sources::{LogSources, SourceEntry};
pub use summary::{RuleKind, RuleSummary};
pub use what_if::{SHADOWS_MAX, Shadow, WHAT_IF_CHANGES_MAX, WHAT_IF_ORIGIN, WHAT_IFS_MAX, WhatIf};
pub use yaml::{BRACKETS_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, split_documents};

/// All that is wrong with one document by itself; whether its members are there is not asked.
#[must_use]
pub fn check(text: &str, origin: &str) -> Vec<Diagnostic> {
    check_with(text, origin, &Placeholders::new())
}

/// As [`check`], where placeholders have these values.
#[must_use]
pub fn check_with(text: &str, origin: &str, placeholders: &Placeholders) -> Vec<Diagnostic> {
    match document::read(text, origin, placeholders) {
        Ok((_, remarks)) => remarks,
        Err(diagnostics) => diagnostics,
    }
}

/// Of a document that bears on other rules, a correlation or a filter, the id and the name by which
/// it may be removed: then the others are as if it had never been there.
#[must_use]
pub fn bears_on_others(text: &str) -> Vec<String> {
    // Most documents need not be read for it: they have no such key where their first one stands.
    let content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = text.lines().find(content).unwrap_or_default();
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
    let name = node.get("name").and_then(yaml::Node::text);
    let id = document::id_of(&node).ok();
    let id = id.map(|id| id.to_string());
    id.into_iter().chain(name.map(str::to_owned)).collect()
}

/// The id under which the document would be put: Sigma `id`, else `name`, else `title`.
#[must_use]
pub fn rule_id(text: &str) -> Option<String> {
    let node = yaml::read(text).ok()?;
    let id = document::id_of(&node).ok()?;
    Some((*id).to_owned())
}
