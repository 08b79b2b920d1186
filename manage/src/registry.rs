//! The rule registry: the one place that knows the active rules and serializes edits to them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use weir_detect::{Diagnostic, RuleBook, RuleSummary};
use weir_schema::{Control, EventTime, RuleId, RuleVersion};

use crate::active::ActiveRules;
use crate::compare::{RequestedRules, RuleChanges};
use crate::document::RuleFileDocument;
use crate::origin::{API_ORIGIN, is_manual};
use crate::ports::{AppendFailed, ControlJournal};

/// The active rules, shared by everything that reads or edits them.
#[derive(Default)]
pub struct RuleRegistry {
    active: Mutex<ActiveRules>,
    /// Locked from the decision on an edit until its entries are followed, so that edits are
    /// followed in the order in which the journal has them.
    edit: Arc<tokio::sync::Mutex<()>>,
    /// Rules that reached their group limit since the start; at most as many as there are rules.
    incomplete: Mutex<BTreeSet<RuleId>>,
}

/// An active or stopped rule, with the place its text came from.
#[derive(Clone, Debug)]
pub struct RegisteredRule {
    pub summary: RuleSummary,
    /// Empty if the rule was stopped.
    pub origin: String,
}

/// How a rule that a person stopped can run again.
#[derive(Debug)]
pub enum ResumeAction {
    /// No rule has this id.
    UnknownRule,
    AlreadyActive,
    /// Add this document: the file's text, else the text that ran last.
    Add(RuleFileDocument),
}

impl RuleRegistry {
    /// Applies a control entry of the journal. Returns the diagnostics of the rules.
    pub fn follow(&self, control: &Control) -> Vec<Diagnostic> {
        if let Control::RuleRemove { rule } = control {
            self.lock_incomplete().remove(rule.as_str());
        }
        self.lock().follow(control)
    }

    /// Notes rules that reached their group limit. Returns those that were not noted before.
    pub fn note_incomplete(&self, rules: &BTreeSet<RuleId>) -> Vec<RuleId> {
        let mut known = self.lock_incomplete();
        let new = rules.iter().filter(|rule| known.insert(Arc::clone(rule)));
        new.cloned().collect()
    }

    /// Rules whose results are incomplete, because they reached their group limit.
    pub fn incomplete(&self) -> BTreeSet<RuleId> {
        self.lock_incomplete().clone()
    }

    /// Takes over changes that are now in the journal. Returns the diagnostics that are new.
    pub fn adopt(&self, changes: RuleChanges) -> Vec<Diagnostic> {
        self.lock().adopt(changes)
    }

    /// Waits for the right to edit rules.
    pub async fn lock_for_edit(self: &Arc<Self>) -> EditLock {
        let edit = Arc::clone(&self.edit);
        EditLock {
            registry: Arc::clone(self),
            _guard: edit.lock_owned().await,
        }
    }

    /// A copy of the rule book.
    pub fn book(&self) -> RuleBook {
        self.lock().book.clone()
    }

    /// The text of one version of a rule.
    pub fn text(&self, rule: &str, version: RuleVersion) -> Option<String> {
        let key = (rule.to_owned(), version);
        self.lock().texts.get(&key).cloned()
    }

    /// Whether any rule is in force.
    pub fn has_active_rule(&self) -> bool {
        !self.lock().current.is_empty()
    }

    /// All rules, active and stopped.
    pub fn rules(&self) -> Vec<RegisteredRule> {
        let active = self.lock();
        let rules = active.book.rules().into_iter().map(|summary| {
            let current = active.current.get(&*summary.id);
            RegisteredRule {
                origin: current.map_or_else(String::new, |current| current.origin.clone()),
                summary,
            }
        });
        rules.collect()
    }

    /// All diagnostics of the requested files.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.lock().diagnostics.clone()
    }

    /// Number of edits by people. Each may change the diagnostics of the files.
    pub fn manual_edits(&self) -> u64 {
        self.lock().manual_edits
    }

    /// The control entries that stop a rule by hand.
    ///
    /// A file's rule is added with the API as its origin first, so that the journal shows that no
    /// file stopped it.
    pub fn stop(&self, rule: &str, until: EventTime) -> Vec<Control> {
        let active = self.lock();
        let current = active.current.get(rule);
        let manual = current.map_or(active.stopped.contains_key(rule), |current| {
            is_manual(&current.origin)
        });
        // The active version, or the last one of a file. From `until` on it selects no event.
        let version = current.map(|current| current.version);
        let version = version.or_else(|| active.latest_version(rule));
        let take_over = version.filter(|_| !manual).and_then(|version| {
            let text = active.texts.get(&(rule.to_owned(), version))?;
            let document = RuleFileDocument {
                origin: API_ORIGIN.to_owned(),
                text: text.clone(),
            };
            Some(document.control(until))
        });
        let stop = Control::RuleDisable {
            rule: rule.to_owned(),
            until,
        };
        take_over.into_iter().chain([stop]).collect()
    }

    /// How a rule that was stopped by hand can run again.
    pub fn resume(&self, rule: &str) -> ResumeAction {
        let active = self.lock();
        if active.current.contains_key(rule) {
            return ResumeAction::AlreadyActive;
        }
        if let Some(document) = active.overridden.get(rule) {
            return ResumeAction::Add(document.clone());
        }
        let last = active.stopped.get(rule).and_then(Option::as_ref);
        let document = last.and_then(|last| {
            let text = active.texts.get(&(rule.to_owned(), last.version))?;
            Some(RuleFileDocument {
                origin: last.origin.clone(),
                text: text.clone(),
            })
        });
        document.map_or(ResumeAction::UnknownRule, ResumeAction::Add)
    }

    /// Derives the changes that make the requested rules active and stop rules of files that no
    /// longer request them.
    pub fn changes(
        &self,
        requested: &RequestedRules,
        since: EventTime,
        until: EventTime,
    ) -> RuleChanges {
        self.lock().changes(requested, since, until)
    }

    fn lock_incomplete(&self) -> MutexGuard<'_, BTreeSet<RuleId>> {
        // The set is consistent even after a panic: it gains and loses whole rules.
        self.incomplete
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, ActiveRules> {
        // The rules are consistent even after a panic: entries are applied one by one.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to edit rules; one holder at a time.
pub struct EditLock {
    registry: Arc<RuleRegistry>,
    _guard: OwnedMutexGuard<()>,
}

impl EditLock {
    /// Appends control entries to the journal, and follows them once they are durable.
    pub async fn write(
        &self,
        journal: &dyn ControlJournal,
        controls: Vec<Control>,
    ) -> Result<(), AppendFailed> {
        journal.append(controls.clone()).await?;
        for control in &controls {
            self.registry.follow(control);
        }
        Ok(())
    }

    /// Appends the entries of changes to the journal, and adopts the changes. Returns the
    /// diagnostics that are new.
    pub async fn apply(
        &self,
        journal: &dyn ControlJournal,
        changes: RuleChanges,
    ) -> Result<Vec<Diagnostic>, AppendFailed> {
        if !changes.controls.is_empty() {
            journal.append(changes.controls.clone()).await?;
        }
        Ok(self.registry.adopt(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_its_file_stopped_can_be_stopped_by_hand() {
        let text = "title: one\nid: one\nlogsource: {product: linux}\n\
                    detection: {selection: {user: root}, condition: selection}\n";
        let file = RuleFileDocument {
            origin: "a.yml:1".to_owned(),
            text: text.to_owned(),
        };
        let registry = RuleRegistry::default();
        let follow = |documents: &[RuleFileDocument]| {
            let requested = RequestedRules::from_documents(documents.to_vec());
            let changes = registry.changes(&requested, EventTime(5), EventTime(9));
            let written = changes.controls.len();
            registry.adopt(changes);
            written
        };
        let present = std::slice::from_ref(&file);
        assert_eq!((follow(present), follow(&[])), (1, 1));
        // The rule is taken over from its file only once.
        for entries in [2, 1] {
            let controls = registry.stop("one", EventTime(9));
            assert_eq!(controls.len(), entries);
            controls
                .iter()
                .for_each(|control| drop(registry.follow(control)));
        }
        assert_eq!(follow(present), 0);
        assert!(registry.rules()[0].summary.until < EventTime::MAX);
        assert!(matches!(registry.resume("one"), ResumeAction::Add(document) if document == file));
    }
}
