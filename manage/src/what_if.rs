//! Edits of what-ifs: starts them after a trial on a copy of the rules, promotes them, ends them.

use weir_detect::WHAT_IF_ORIGIN;
use weir_schema::{Control, EventTime, RuleChange, Span, WhatIfId};

use crate::document::RuleFileDocument;
use crate::edit::{EditUnavailable, RuleEditError, RuleEditor, retain_of};
use crate::load::{deduplicate, load};
use crate::origin::{API_ORIGIN, api_origin};
use crate::ports::WhatIfStage;
use crate::registry::EditLock;

/// The changes that a client asks to try.
#[derive(Clone, Debug, Default)]
pub struct RequestedWhatIf {
    /// Rules to add or replace; may be empty.
    pub text: String,
    /// Ids of rules to remove.
    pub remove: Vec<String>,
    /// Names the source of the text.
    pub client: String,
    /// How far behind the watermark the rules see events.
    pub backfill: Option<Span>,
}

/// One edit of a what-if. It holds the right to edit rules until it is made or dropped.
pub struct WhatIfEdit<'e> {
    editor: &'e RuleEditor,
    lock: EditLock,
}

impl RuleEditor {
    /// Starts a what-if. Returns its id once it is durable.
    pub fn start_what_if(&self, requested: &RequestedWhatIf) -> Result<WhatIfId, RuleEditError> {
        let WhatIfEdit { lock, .. } = self.edit_what_if()?;
        let since = self.since(requested.backfill);
        let changes = self.tried_changes(requested, since)?;
        let mut book = self.registry.book();
        let id = self.what_if_id(&changes, since);
        let (what_if, _) = book.compute_what_if(id, since, &changes);
        let control = Control::WhatIfPut {
            id,
            changes,
            since,
            from_journal: what_if.needs_journal(),
        };
        let mut diagnostics = book.apply(&control).diagnostics;
        diagnostics.retain(|one| one.origin == WHAT_IF_ORIGIN);
        if !diagnostics.is_empty() {
            return Err(RuleEditError::Refused(diagnostics));
        }
        self.write(lock, vec![control])?;
        Ok(id)
    }

    /// Waits until the graph has caught up, and for the right to edit.
    pub fn edit_what_if(&self) -> Result<WhatIfEdit<'_>, EditUnavailable> {
        self.wait_until_caught_up()?;
        self.edit_what_if_at_once()
    }

    /// Waits for the right to edit alone, which is enough to end a what-if.
    pub fn edit_what_if_at_once(&self) -> Result<WhatIfEdit<'_>, EditUnavailable> {
        Ok(WhatIfEdit {
            editor: self,
            lock: self.lock()?,
        })
    }

    /// The changes that are requested, if all of them can be made.
    fn tried_changes(
        &self,
        requested: &RequestedWhatIf,
        since: EventTime,
    ) -> Result<Vec<RuleChange>, RuleEditError> {
        let mut book = self.registry.book();
        let mut changes = Vec::new();
        for rule in &requested.remove {
            if !self.has_rule(rule) {
                return Err(refusal(format!("no rule has the id {rule:?}"), None));
            }
            let rule = rule.clone();
            let change = RuleChange::Remove { rule };
            book.apply(&change.control(EventTime::MIN));
            changes.push(change);
        }
        let documents = RuleFileDocument::split(&requested.text, API_ORIGIN);
        if documents.is_empty() && changes.is_empty() {
            return Err(refusal("there is no change to try".to_owned(), None));
        }
        let (candidates, mut diagnostics) = deduplicate(&documents, |_| None);
        let outcome = load(&mut book, candidates, since);
        diagnostics.extend(outcome.diagnostics);
        retain_of(&mut diagnostics, &documents);
        if !outcome.refused.is_empty() || diagnostics.iter().any(|one| one.refused) {
            return Err(RuleEditError::Refused(diagnostics));
        }
        let origin = api_origin(&requested.client);
        let accepted = outcome.accepted.into_iter();
        changes.extend(accepted.map(|candidate| RuleChange::Put {
            text: candidate.document.text,
            origin: origin.clone(),
        }));
        Ok(changes)
    }

    /// An id that no other what-if has: it depends on the changes and on the time.
    fn what_if_id(&self, changes: &[RuleChange], since: EventTime) -> WhatIfId {
        let mut parts = vec![
            self.clock.now().0.to_le_bytes().to_vec(),
            since.0.to_le_bytes().to_vec(),
        ];
        parts.extend(changes.iter().map(|change| match change {
            RuleChange::Put { text, .. } => text.clone().into_bytes(),
            RuleChange::Remove { rule } => rule.clone().into_bytes(),
        }));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        WhatIfId::of(&parts)
    }
}

impl WhatIfEdit<'_> {
    /// Makes the changes of a what-if that runs.
    pub fn promote(self, id: WhatIfId) -> Result<(), RuleEditError> {
        let not_running = |state: &str, hint| {
            let message = format!("the what-if is {state}, not running");
            Err(refusal(message, Some(hint)))
        };
        match self.editor.graph.what_if(id) {
            Some(WhatIfStage::Running) => {}
            Some(WhatIfStage::Deriving) | None => {
                return not_running("deriving", "wait for its first result");
            }
            Some(WhatIfStage::Ended(state)) => {
                return not_running(state, "start it again, and read its result");
            }
        }
        if !self.editor.registry.book().what_ifs().contains_key(&id) {
            // The journal has an entry that ends it, which the graph has not read yet.
            return Err(refusal("the what-if has ended".to_owned(), None));
        }
        let control = Control::WhatIfPromote { id };
        Ok(self.editor.write(self.lock, vec![control])?)
    }

    /// Ends a what-if without its changes.
    pub fn end(self, id: WhatIfId) -> Result<(), EditUnavailable> {
        let control = Control::WhatIfDrop { id };
        self.editor.write(self.lock, vec![control])
    }
}

fn refusal(message: String, hint: Option<&'static str>) -> RuleEditError {
    RuleEditError::WhatIf { message, hint }
}
