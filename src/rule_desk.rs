//! The one place where rules are changed: what runs, where it came from, and whose turn it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use weir_dataflow::Status;
use weir_detect::{Diagnostic, RuleBook, RuleSummary};
use weir_ingest::{Intake, SubmitError};
use weir_schema::{Control, EventTime, RuleId, RuleVersion};

use crate::rules::files;
use crate::rules::known::{API_ORIGIN, Asked, Changes, Known, is_by_hand};

/// A document of a rules file, with where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `file:line`.
    pub origin: String,
    pub text: String,
}

/// The rules in force, as the journal tells them.
#[derive(Default)]
pub struct RuleDesk {
    known: Mutex<Known>,
    /// Held from the decision on a change until it is followed, so that changes are followed in
    /// the order in which the journal has them.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Rules that have refused groups since the start, at most as many as there are rules.
    incomplete: Mutex<BTreeSet<RuleId>>,
}

impl RuleDesk {
    /// Follows an entry of the journal. Returns what it had to say against it.
    pub fn follow(&self, control: &Control) -> Vec<Diagnostic> {
        if let Control::RuleRemove { rule } = control {
            self.lock_incomplete().remove(rule.as_str());
        }
        self.lock().follow(control)
    }

    /// Notes rules that have refused groups. Returns those that had not before.
    pub fn note_incomplete(&self, rules: &BTreeSet<RuleId>) -> Vec<RuleId> {
        let mut known = self.lock_incomplete();
        let fresh = rules.iter().filter(|rule| known.insert(Arc::clone(rule)));
        fresh.cloned().collect()
    }

    /// Rules that do not say all that they should, since they have refused groups.
    pub fn incomplete(&self) -> BTreeSet<RuleId> {
        self.lock_incomplete().clone()
    }

    /// Takes changes over that the journal has now. Returns what is wrong and was not before.
    pub fn adopt(&self, changes: Changes) -> Vec<Diagnostic> {
        self.lock().adopt(changes)
    }

    /// The right to change rules; whoever comes meanwhile waits.
    pub async fn turn(self: &Arc<Self>) -> Turn {
        let turn = Arc::clone(&self.turn);
        Turn {
            desk: Arc::clone(self),
            _held: turn.lock_owned().await,
        }
    }

    /// The rules, to ask.
    pub fn book(&self) -> RuleBook {
        self.lock().book.clone()
    }

    pub fn text(&self, rule: &str, version: RuleVersion) -> Option<String> {
        self.lock().texts.get(&(rule.to_owned(), version)).cloned()
    }

    /// All rules, each with where its text came from; nothing where it was stopped.
    pub fn rules(&self) -> Vec<(RuleSummary, String)> {
        let known = self.lock();
        let origin = |rule: &RuleSummary| known.current.get(&*rule.id).map(|at| at.origin.clone());
        let rules = known.book.rules().into_iter();
        rules
            .map(|rule| (origin(&rule).unwrap_or_default(), rule))
            .map(|(origin, rule)| (rule, origin))
            .collect()
    }

    /// All that is wrong with what the files ask for.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.lock().diagnostics.clone()
    }

    /// Moves when people change a rule: what files ask for may then have to be told otherwise.
    pub fn by_hand(&self) -> u64 {
        self.lock().by_hand
    }

    /// The entries that stop a rule by hand: it is taken over first, so that the journal tells that
    /// no file stopped it.
    pub fn stop(&self, rule: &str, until: EventTime) -> Vec<Control> {
        let known = self.lock();
        let current = known.current.get(rule);
        let by_hand = current.map_or(known.held.contains_key(rule), |current| {
            is_by_hand(&current.origin)
        });
        // The version that runs, or that a file ran last: nothing begins by it.
        let version = current.map(|current| current.version);
        let version = version.or_else(|| known.last(rule)).filter(|_| !by_hand);
        let taken_over = version.and_then(|version| {
            let text = known.texts.get(&(rule.to_owned(), version))?;
            let document = Document {
                origin: API_ORIGIN.to_owned(),
                text: text.clone(),
            };
            Some(put(&document, until))
        });
        let stop = Control::RuleDisable {
            rule: rule.to_owned(),
            until,
        };
        taken_over.into_iter().chain([stop]).collect()
    }

    /// What runs again once a rule that was stopped by hand is let go: what a file has, else what
    /// was put last. `Ok` where it runs already.
    pub fn let_go(&self, rule: &str) -> Option<Result<(), Document>> {
        let known = self.lock();
        if known.current.contains_key(rule) {
            return Some(Ok(()));
        }
        if let Some(document) = known.shadowed.get(rule) {
            return Some(Err(document.clone()));
        }
        let last = known.held.get(rule)?.as_ref()?;
        let text = known.texts.get(&(rule.to_owned(), last.version))?;
        Some(Err(Document {
            origin: last.origin.clone(),
            text: text.clone(),
        }))
    }

    /// What to write so that what the files ask for runs and rules of earlier files that are no
    /// longer asked for stop, beside what people did. What cannot be used is told and left out; the
    /// version before runs on. Texts that run already cost nothing but their hash.
    pub fn changes(&self, asked: &Asked, since: EventTime, until: EventTime) -> Changes {
        self.lock().changes(asked, since, until)
    }

    fn lock_incomplete(&self) -> MutexGuard<'_, BTreeSet<RuleId>> {
        // A set that lost or gained a rule whole is whole whoever panicked.
        self.incomplete
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic while it was held leaves a whole book: entries are applied one by one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to change rules, one at a time.
pub struct Turn {
    desk: Arc<RuleDesk>,
    _held: OwnedMutexGuard<()>,
}

impl Turn {
    /// Journals entries, and follows them once they are durable.
    pub async fn write(&self, intake: &Intake, controls: Vec<Control>) -> Result<(), SubmitError> {
        intake.control(controls.clone()).await?;
        for control in &controls {
            self.desk.follow(control);
        }
        Ok(())
    }

    /// Journals changes, and takes them over. Returns what is wrong and was not before.
    pub async fn make(
        &self,
        intake: &Intake,
        changes: Changes,
    ) -> Result<Vec<Diagnostic>, SubmitError> {
        if !changes.controls.is_empty() {
            intake.control(changes.controls.clone()).await?;
        }
        Ok(self.desk.adopt(changes))
    }
}

/// The entry that puts a document in place.
pub fn put(document: &Document, since: EventTime) -> Control {
    Control::RulePut {
        text: document.text.clone(),
        origin: document.origin.clone(),
        since,
    }
}

/// Cuts a file's text into documents, in order.
pub fn documents(text: &str, file: &str) -> Vec<Document> {
    let documents = weir_detect::split_documents(text).into_iter();
    let documents = documents.map(|(line, text)| Document {
        origin: format!("{file}:{line}"),
        text: text.to_owned(),
    });
    documents.collect()
}

/// Puts correlations and filters behind the rules that they read, so that none is told to lack them.
pub fn members_first(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_by_cached_key(|document| is_correlation(&document.text));
    documents
}

/// Whether the text is that of a correlation or a filter, for its place among others.
pub fn is_correlation(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| line.starts_with("correlation:") || line.starts_with("filter:"))
}

/// Reads a file, or all `*.yml` and `*.yaml` below a folder, in order of path; fails at the first
/// that cannot be read.
pub fn read(path: &Path) -> Result<Vec<Document>, String> {
    let found = files::read_all(&[path.to_owned()]);
    match found.troubles.first() {
        Some(trouble) => Err(trouble.to_string()),
        None => Ok(members_first(found.documents)),
    }
}

/// Where a rule put now begins: at the watermark, which all tenants have passed.
pub fn since_now(status: &Status) -> EventTime {
    let clocks = status.clocks();
    let least = clocks.iter().map(|clock| clock.watermark).min();
    least.unwrap_or(EventTime::MIN)
}

/// Where a rule stopped now ends: behind all that was heard, so that what it said stands.
pub fn until_now(status: &Status) -> EventTime {
    let heard = status.greatest().unwrap_or(EventTime::MIN);
    EventTime(heard.0.saturating_add(1)).max(since_now(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_its_file_has_stopped_can_be_stopped_by_hand() {
        let text = "title: one\nid: one\nlogsource: {product: linux}\n\
                    detection: {selection: {user: root}, condition: selection}\n";
        let file = Document {
            origin: "a.yml:1".to_owned(),
            text: text.to_owned(),
        };
        let asked = |documents: &[Document]| Asked {
            documents: documents.to_vec(),
            ..Asked::default()
        };
        let desk = RuleDesk::default();
        let follow = |documents: &[Document]| {
            let changes = desk.changes(&asked(documents), EventTime(5), EventTime(9));
            let written = changes.controls.len();
            desk.adopt(changes);
            written
        };
        let here = std::slice::from_ref(&file);
        assert_eq!((follow(here), follow(&[])), (1, 1));
        // Once is enough.
        for entries in [2, 1] {
            let controls = desk.stop("one", EventTime(9));
            assert_eq!(controls.len(), entries);
            controls
                .iter()
                .for_each(|control| drop(desk.follow(control)));
        }
        assert_eq!(follow(here), 0);
        assert!(desk.rules()[0].0.until < EventTime::MAX);
        assert!(matches!(desk.let_go("one"), Some(Err(document)) if document == file));
    }
}
