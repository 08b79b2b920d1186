//! Compares the rules that files request with the active ones, and derives the control entries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use weir_detect::{Diagnostic, RuleBook};
use weir_schema::{Control, EventTime, RuleVersion};

use crate::active::ActiveRules;
use crate::document::RuleFileDocument;
use crate::load::{self, RuleCandidate};
use crate::origin::{file_of, is_manual};

/// The rules that files request, as far as the files can be read.
#[derive(Clone, Debug, Default)]
pub struct RequestedRules {
    /// In order of precedence: of two with one id, the first is used.
    pub documents: Vec<RuleFileDocument>,
    /// Diagnostics of files that could not be read.
    pub diagnostics: Vec<Diagnostic>,
    /// Files and folders that could not be read: rules from them stay active.
    pub unreadable: Vec<PathBuf>,
}

impl RequestedRules {
    /// Requests these documents, all of which could be read.
    pub fn from_documents(documents: Vec<RuleFileDocument>) -> Self {
        Self {
            documents,
            ..Self::default()
        }
    }
}

/// The control entries that make the requested rules active, and the state after them.
#[derive(Debug, Default)]
pub struct RuleChanges {
    pub controls: Vec<Control>,
    /// All diagnostics of the requested files.
    pub diagnostics: Vec<Diagnostic>,
    /// The rules with `controls` applied.
    book: RuleBook,
    /// Ids of the added texts, which save parsing them again.
    ids: Vec<(RuleVersion, String)>,
    suspects: BTreeSet<String>,
    overridden: BTreeMap<String, RuleFileDocument>,
    /// New origins of rules whose text only moved, by id.
    moved: BTreeMap<String, String>,
}

impl ActiveRules {
    /// Derives the changes that make the requested rules active and stop rules of files that no
    /// longer request them.
    ///
    /// Edits by people take precedence over files. A document that cannot be used gets a
    /// diagnostic, and the version before it stays active. A text that is already active costs only
    /// its hash.
    pub fn changes(
        &self,
        requested: &RequestedRules,
        since: EventTime,
        until: EventTime,
    ) -> RuleChanges {
        let (candidates, duplicates) =
            load::deduplicate(&requested.documents, |v| self.ids.get(&v).cloned());
        let mut unreadable: BTreeSet<PathBuf> = requested.unreadable.iter().cloned().collect();
        let refused = duplicates.iter().filter(|one| one.refused);
        unreadable.extend(refused.map(|one| file_of(&one.origin)));
        let diagnostics = requested.diagnostics.iter().cloned();
        let mut changes = RuleChanges {
            diagnostics: diagnostics.chain(duplicates).collect(),
            book: self.book.clone(),
            ..RuleChanges::default()
        };
        let new = self.new_candidates(&candidates, &mut changes);
        let outcome = load::load(&mut changes.book, new, since);
        let refused = outcome.refused.iter().map(|one| &one.document.origin);
        let refused: BTreeSet<&str> = refused.map(String::as_str).collect();
        unreadable.extend(refused.iter().map(|origin| file_of(origin)));
        let accepted = outcome.accepted.iter();
        changes.controls = accepted
            .clone()
            .map(|candidate| candidate.document.control(since))
            .collect();
        changes.ids = accepted
            .filter_map(|candidate| Some((candidate.version, candidate.id.clone()?)))
            .collect();
        let mut diagnostics = outcome.diagnostics;
        for rule in self.no_longer_requested(&candidates, &unreadable) {
            let stop = Control::RuleDisable { rule, until };
            diagnostics.extend(changes.book.apply(&stop).diagnostics);
            changes.controls.push(stop);
        }
        let (of_refused, of_others): (Vec<_>, _) = diagnostics
            .into_iter()
            .partition(|one| refused.contains(&*one.origin));
        changes.diagnostics.extend(of_refused);
        self.recheck_suspects(&candidates, &refused, &of_others, &mut changes);
        changes
    }

    /// Takes over changes that are now in the journal. Returns the diagnostics that are new.
    pub fn adopt(&mut self, changes: RuleChanges) -> Vec<Diagnostic> {
        self.ids.extend(changes.ids);
        for control in &changes.controls {
            self.record(control);
        }
        for (id, origin) in changes.moved {
            if let Some(current) = self.current.get_mut(&id) {
                current.origin = origin;
            }
        }
        self.book = changes.book;
        self.suspects = changes.suspects;
        self.overridden = changes.overridden;
        let before = std::mem::replace(&mut self.diagnostics, changes.diagnostics);
        let new = self.diagnostics.iter();
        let new = new.filter(|one| !before.contains(one));
        new.cloned().collect()
    }

    /// The candidates that are not active yet and that no person has overridden.
    fn new_candidates(
        &self,
        candidates: &[RuleCandidate],
        changes: &mut RuleChanges,
    ) -> Vec<RuleCandidate> {
        let mut new = Vec::new();
        for candidate in candidates {
            let Some(id) = &candidate.id else {
                new.push(candidate.clone());
                continue;
            };
            let document = &candidate.document;
            let current = self.current.get(id);
            let manual = current.filter(|current| is_manual(&current.origin));
            if manual.is_some() || self.stopped.contains_key(id) {
                changes.overridden.insert(id.clone(), document.clone());
                if manual.is_none_or(|current| current.version != candidate.version) {
                    let diagnostic = overridden_by_hand(document, manual.is_some());
                    changes.diagnostics.push(diagnostic);
                }
            } else if current.map(|current| current.version) != Some(candidate.version) {
                new.push(candidate.clone());
            } else if current.is_some_and(|current| current.origin != document.origin) {
                changes.moved.insert(id.clone(), document.origin.clone());
            }
        }
        new
    }

    /// Active rules of files that no document requests any more.
    fn no_longer_requested(
        &self,
        candidates: &[RuleCandidate],
        unreadable: &BTreeSet<PathBuf>,
    ) -> Vec<String> {
        let requested: BTreeSet<&String> =
            candidates.iter().filter_map(|c| c.id.as_ref()).collect();
        let stale = self.current.iter().filter(|(id, current)| {
            let file = file_of(&current.origin);
            let is_unreadable = || file.ancestors().any(|path| unreadable.contains(path));
            !requested.contains(id) && !is_manual(&current.origin) && !is_unreadable()
        });
        stale.map(|(id, _)| id.clone()).collect()
    }

    /// Checks again the active rules that had or have diagnostics.
    fn recheck_suspects(
        &self,
        candidates: &[RuleCandidate],
        refused: &BTreeSet<&str>,
        diagnostics: &[Diagnostic],
        changes: &mut RuleChanges,
    ) {
        if diagnostics.is_empty() && self.suspects.is_empty() {
            return;
        }
        let origins: BTreeSet<&str> = diagnostics.iter().map(|one| &*one.origin).collect();
        let is_suspect = |candidate: &&RuleCandidate| {
            let Some(id) = &candidate.id else {
                return false;
            };
            let active_origin = self.current.get(id).map(|current| &*current.origin);
            self.suspects.contains(id)
                || origins.contains(&*candidate.document.origin)
                || active_origin.is_some_and(|origin| origins.contains(origin))
        };
        let suspects = candidates.iter().filter(is_suspect).filter(|candidate| {
            let id = candidate.id.as_ref();
            let overridden = id.is_some_and(|id| changes.overridden.contains_key(id));
            !refused.contains(&*candidate.document.origin) && !overridden
        });
        let found = load::recheck(&changes.book, &suspects.collect::<Vec<_>>());
        for (id, diagnostics) in found {
            changes.suspects.insert(id);
            changes.diagnostics.extend(diagnostics);
        }
    }
}

fn overridden_by_hand(document: &RuleFileDocument, runs: bool) -> Diagnostic {
    let (message, hint) = if runs {
        (
            "another text of this rule was added over the API, and is active",
            "to use this one, disable the rule over the API and then enable it",
        )
    } else {
        (
            "the rule was stopped over the API, and stays stopped",
            "to run it again, enable it over the API",
        )
    };
    Diagnostic {
        origin: document.origin.clone(),
        line: None,
        column: None,
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        refused: false,
    }
}

#[cfg(test)]
mod tests;
