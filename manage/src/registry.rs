//! The rule registry: the one place that knows the active rules and serializes edits to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use weir_detect::{Diagnostic, RuleBook, RuleSummary};
use weir_schema::{Control, EventTime, ReceiveTime, RuleId, RuleVersion};

use crate::active::{ActiveRules, RuleSuspension};
use crate::compare::{RequestedRules, RuleChanges};
use crate::document::RuleFileDocument;
use crate::origin::{API_ORIGIN, is_manual};
use crate::ports::{AppendFailed, ControlJournal, GraphProgress, until_now};

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
    /// Present while Weir itself has stopped it.
    pub suspension: Option<RuleSuspension>,
    /// The suspended rules that it reads, directly or not: its results are limited.
    pub limited_by: Vec<RuleId>,
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
        if let Control::RuleRemove { rule } | Control::RuleDelete { rule, .. } = control {
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
        let summaries = active.book.rules();
        let limited = limited_rules(&active, &summaries);
        let rules = summaries.into_iter().map(|summary| {
            let current = active.current.get(&*summary.id);
            let limited_by = limited.get(&summary.id);
            RegisteredRule {
                origin: current.map_or_else(String::new, |current| current.origin.clone()),
                suspension: active.suspended.get(&*summary.id).copied(),
                limited_by: limited_by.into_iter().flatten().cloned().collect(),
                summary,
            }
        });
        rules.collect()
    }

    /// The rules that Weir has suspended, and no person started again.
    pub fn suspended(&self) -> BTreeSet<RuleId> {
        let active = self.lock();
        let suspended = active.suspended.keys();
        suspended.map(|rule| RuleId::from(rule.as_str())).collect()
    }

    /// The entry that suspends an active rule; `None` if it is not active.
    ///
    /// Its share is in thousandths. The rule ends after every event received so far, so that its
    /// alerts stand.
    pub fn suspend(
        &self,
        rule: &str,
        share_permille: u32,
        received: ReceiveTime,
        graph: &dyn GraphProgress,
    ) -> Option<Control> {
        self.lock().current.get(rule)?;
        Some(Control::RuleSuspend {
            rule: rule.to_owned(),
            until: until_now(graph),
            share_permille,
            received,
        })
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

/// The rules that read a suspended rule, directly or through others; each with the suspended ones.
fn limited_rules(
    active: &ActiveRules,
    summaries: &[RuleSummary],
) -> BTreeMap<RuleId, BTreeSet<RuleId>> {
    let mut limited: BTreeMap<RuleId, BTreeSet<RuleId>> = BTreeMap::new();
    if active.suspended.is_empty() {
        return limited;
    }
    let by_id: BTreeMap<&str, &RuleSummary> =
        summaries.iter().map(|rule| (&*rule.id, rule)).collect();
    for suspended in active.suspended.keys() {
        let mut next = vec![suspended.as_str()];
        // Correlations are never members of themselves, so this ends.
        while let Some(rule) = next.pop() {
            let readers = by_id.get(rule).map(|rule| rule.referenced_by.iter());
            for reader in readers.into_iter().flatten() {
                let by = limited.entry(RuleId::clone(reader)).or_default();
                if by.insert(RuleId::from(suspended.as_str())) {
                    next.extend(by_id.get(&**reader).map(|rule| &*rule.id));
                }
            }
        }
    }
    limited
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

    /// A graph that has seen nothing.
    struct NoGraph;

    impl GraphProgress for NoGraph {
        fn wait_for(&self, _epoch: weir_schema::Epoch, _limit: std::time::Duration) -> bool {
            true
        }
        fn has_ended(&self) -> bool {
            false
        }
        fn watermark(&self) -> Option<EventTime> {
            Some(EventTime(7))
        }
        fn greatest(&self) -> Option<EventTime> {
            Some(EventTime(9))
        }
        fn what_if(&self, _id: weir_schema::WhatIfId) -> Option<crate::WhatIfStage> {
            None
        }
    }

    /// W12: a suspension does to a rule what disabling does; files leave it, people end it.
    #[test]
    fn a_suspended_rule_stays_so_until_a_person_starts_it_and_limits_its_readers() {
        let one = "title: one\nid: one\nlogsource: {product: linux}\n\
                   detection: {selection: {user: root}, condition: selection}\n";
        let two = "title: two\nid: two\ncorrelation: {type: event_count, rules: [one], \
                   group-by: [host], timespan: 5m, condition: {gte: 3}}\n";
        let document = |text: &str| RuleFileDocument {
            origin: "a.yml:1".to_owned(),
            text: text.to_owned(),
        };
        let documents = vec![document(one), document(two)];
        let registry = RuleRegistry::default();
        let follow = || {
            let requested = RequestedRules::from_documents(documents.clone());
            let changes = registry.changes(&requested, EventTime(5), EventTime(9));
            let written = changes.controls.len();
            registry.adopt(changes);
            written
        };
        assert_eq!(follow(), 2);
        let plans = |book: RuleBook| book.plans().cloned().collect::<Vec<_>>();
        let mut disabled = registry.book();
        disabled.apply(&Control::RuleDisable {
            rule: "one".to_owned(),
            until: EventTime(10),
        });
        let suspend = || registry.suspend("one", 612, ReceiveTime(3), &NoGraph);
        let entry = suspend().expect("it is active");
        registry.follow(&entry);
        assert_eq!(plans(registry.book()), plans(disabled));
        assert_eq!(suspend(), None, "not twice");
        assert_eq!(follow(), 0, "its file does not start it again");
        let rules = registry.rules();
        let suspension = RuleSuspension {
            share_permille: 612,
            received: ReceiveTime(3),
        };
        assert_eq!(rules[0].suspension, Some(suspension));
        assert_eq!(rules[1].limited_by, [RuleId::from("one")]);
        let ResumeAction::Add(resumed) = registry.resume("one") else {
            panic!("it can run again");
        };
        registry.follow(&resumed.control(EventTime(11)));
        assert!(registry.suspended().is_empty());
        assert!(registry.rules()[1].limited_by.is_empty());
        registry.follow(&entry);
        let changed = document(&one.replace("root", "toor"));
        registry.follow(&changed.control(EventTime(12)));
        assert!(registry.suspended().is_empty(), "a new text ends it");
    }
}
