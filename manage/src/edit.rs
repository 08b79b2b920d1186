//! Edits of rules by people: each is tried on a copy of the rules, and only then journaled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_detect::{Diagnostic, RuleBook};
use weir_schema::{Control, Epoch, EventTime, RuleId, Span};

use crate::document::RuleFileDocument;
use crate::load::{deduplicate, load};
use crate::origin::{API_ORIGIN, api_origin};
use crate::ports::{ControlJournal, EditClock, GraphProgress, since_now, until_now};
use crate::registry::{EditLock, ResumeAction, RuleRegistry};

/// Longest wait of an edit: for the graph, for an edit before it, and for the journal.
const EDIT_WAIT: Duration = Duration::from_secs(10);

/// Edits the rules of a running server. Its methods block.
pub struct RuleEditor {
    pub registry: Arc<RuleRegistry>,
    pub journal: Arc<dyn ControlJournal>,
    pub graph: Arc<dyn GraphProgress>,
    pub clock: Arc<dyn EditClock>,
    /// The epoch that begins this run. The watermark at which an edit begins is known after it.
    pub caught_up_at: Epoch,
    pub runtime: tokio::runtime::Handle,
}

/// An edit could not be started or journaled in time; it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EditUnavailable(pub String);

/// An edit that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleEditError {
    /// The rule book refuses the texts.
    #[error("the rules cannot be used")]
    Refused(Vec<Diagnostic>),
    /// The what-if cannot be started or promoted; no text is the cause.
    #[error("{message}")]
    WhatIf {
        message: String,
        hint: Option<&'static str>,
    },
    #[error(transparent)]
    Unavailable(#[from] EditUnavailable),
}

impl RuleEditor {
    /// Adds the rules of a text, or replaces those with the same ids: all of them, or none.
    ///
    /// `client` names the source of the text. With `backfill`, the rules also see events that far
    /// behind the watermark. Returns the ids of the rules.
    pub fn add(
        &self,
        text: &str,
        client: &str,
        backfill: Option<Span>,
    ) -> Result<Vec<String>, RuleEditError> {
        self.wait_until_caught_up()?;
        let lock = self.lock()?;
        let documents = RuleFileDocument::split(text, API_ORIGIN);
        if documents.is_empty() {
            // An empty text is a mistake of the client, not an edit without effect.
            return Err(RuleEditError::Refused(vec![Diagnostic {
                origin: API_ORIGIN.to_owned(),
                line: Some(1),
                column: None,
                message: "there is no rule in the text".to_owned(),
                hint: None,
                refused: true,
            }]));
        }
        let since = self.since(backfill);
        self.add_documents(lock, &documents, Some(&api_origin(client)), since)
    }

    /// Stops a rule from now on; its alerts stand. False if no rule has the id.
    pub fn disable(&self, id: &str) -> Result<bool, EditUnavailable> {
        self.wait_until_caught_up()?;
        let lock = self.lock()?;
        if !self.has_rule(id) {
            return Ok(false);
        }
        let controls = self.registry.stop(id, until_now(&*self.graph));
        self.write(lock, controls)?;
        Ok(true)
    }

    /// Runs a rule again that was disabled or removed. False if no rule has the id.
    pub fn enable(&self, id: &str) -> Result<bool, RuleEditError> {
        self.wait_until_caught_up()?;
        let lock = self.lock()?;
        match self.registry.resume(id) {
            ResumeAction::UnknownRule => Ok(false),
            ResumeAction::AlreadyActive => Ok(true),
            ResumeAction::Add(document) => {
                let since = since_now(&*self.graph);
                self.add_documents(lock, &[document], None, since)?;
                Ok(true)
            }
        }
    }

    /// Removes a rule and retracts all of its alerts. `None` if no rule has the id.
    ///
    /// Returns the rules that only it read: they raise alerts by themselves from the watermark on.
    /// Does not wait for the graph: a removal may be the only way to make a stopped graph run again.
    pub fn remove(&self, id: &str) -> Result<Option<Vec<RuleId>>, EditUnavailable> {
        let lock = self.lock()?;
        if !self.has_rule(id) {
            return Ok(None);
        }
        let removal = Control::RuleDelete {
            rule: id.to_owned(),
            since: since_now(&*self.graph),
        };
        let mut book = self.registry.book();
        let silent = |book: &RuleBook| -> BTreeSet<RuleId> {
            let rules = book.rules().into_iter().filter(|rule| !rule.alerts);
            rules.map(|rule| rule.id).collect()
        };
        let before = silent(&book);
        book.apply(&removal);
        let after = silent(&book);
        self.write(lock, vec![removal])?;
        let is_freed = |rule: &RuleId| !after.contains(rule) && **rule != *id;
        Ok(Some(before.into_iter().filter(is_freed).collect()))
    }

    /// Waits until the graph has replayed the journal of earlier runs; before, its watermark is
    /// old.
    pub(crate) fn wait_until_caught_up(&self) -> Result<(), EditUnavailable> {
        if self.graph.wait_for(self.caught_up_at, EDIT_WAIT) {
            return Ok(());
        }
        let reason = "the journal is being replayed; rules can be changed once it is done";
        Err(EditUnavailable(reason.to_owned()))
    }

    /// Waits for the right to edit rules.
    pub(crate) fn lock(&self) -> Result<EditLock, EditUnavailable> {
        // The timeout is created inside the future, since a timer needs the runtime.
        let lock = async { tokio::time::timeout(EDIT_WAIT, self.registry.lock_for_edit()).await };
        let busy = || EditUnavailable("rules are being changed by someone else".to_owned());
        self.runtime.block_on(lock).map_err(|_| busy())
    }

    /// Journals entries, and follows them once they are durable, even if that outlasts the wait.
    pub(crate) fn write(
        &self,
        lock: EditLock,
        controls: Vec<Control>,
    ) -> Result<(), EditUnavailable> {
        let journal = Arc::clone(&self.journal);
        let written = self
            .runtime
            .spawn(async move { lock.write(&*journal, controls).await });
        let wait = async move { tokio::time::timeout(EDIT_WAIT, written).await };
        let late = || EditUnavailable("the journal did not answer in time".to_owned());
        let answer = self.runtime.block_on(wait).map_err(|_| late())?;
        answer
            .map_err(|error| EditUnavailable(error.to_string()))?
            .map_err(|error| EditUnavailable(error.to_string()))
    }

    /// Where a rule begins that also sees events as far back as `backfill`.
    pub(crate) fn since(&self, backfill: Option<Span>) -> EventTime {
        let now = since_now(&*self.graph);
        match backfill {
            Some(span) if now > EventTime::MIN => now.minus(span),
            _ => now,
        }
    }

    /// Whether a rule has the id.
    pub(crate) fn has_rule(&self, id: &str) -> bool {
        let rules = self.registry.book().rules();
        rules.iter().any(|rule| &*rule.id == id)
    }

    /// Tries documents, journals them if all can be used, and returns the ids of their rules.
    ///
    /// `origin` replaces the origins of the documents if a person added them.
    fn add_documents(
        &self,
        lock: EditLock,
        documents: &[RuleFileDocument],
        origin: Option<&str>,
        since: EventTime,
    ) -> Result<Vec<String>, RuleEditError> {
        let (candidates, mut diagnostics) = deduplicate(documents, |_| None);
        let ids = candidates.iter().filter_map(|one| one.id.clone()).collect();
        let outcome = load(&mut self.registry.book(), candidates, since);
        diagnostics.extend(outcome.diagnostics);
        retain_of(&mut diagnostics, documents);
        if !outcome.refused.is_empty() || diagnostics.iter().any(|one| one.refused) {
            return Err(RuleEditError::Refused(diagnostics));
        }
        let controls = outcome.accepted.into_iter().map(|mut candidate| {
            if let Some(origin) = origin {
                candidate.document.origin = origin.to_owned();
            }
            candidate.document.control(since)
        });
        self.write(lock, controls.collect())?;
        Ok(ids)
    }
}

/// Retains the diagnostics of these documents; others were there before the edit.
pub fn retain_of(diagnostics: &mut Vec<Diagnostic>, documents: &[RuleFileDocument]) {
    diagnostics.retain(|one| {
        let mut documents = documents.iter();
        documents.any(|document| document.origin == one.origin)
    });
}
