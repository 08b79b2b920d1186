//! Changes of rules over the API: each is tried on a copy of the rules, and only then journaled.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::{Frames, Status};
use weir_detect::RuleSummary;
use weir_ingest::Intake;
use weir_schema::{Control, Epoch, EventTime, Span, TimeBounds};
use weir_web::ports::{BackfillInfo, Diagnostic, PortError, PutRule, RuleInfo, Rules, WhatIfs};

use crate::rule_desk::{self, Document, RuleDesk, Turn, since_now, until_now};
use crate::rules::known::{API_ORIGIN, api_origin};
use crate::rules::load;
use crate::rules::what_if::backfill_info;

/// How long a change of rules may take to reach the journal.
const JOURNAL_WAIT: Duration = Duration::from_secs(10);

/// Changes of rules over the API.
pub struct ManageRules {
    pub desk: Arc<RuleDesk>,
    pub intake: Intake,
    pub status: Arc<Status>,
    /// Before this epoch is done, nobody knows where a change of rules is to begin.
    pub caught_up_at: Epoch,
    pub runtime: tokio::runtime::Handle,
    /// To tell what groups are called that only a what-if has.
    pub frames: Arc<dyn Frames>,
    pub bounds: TimeBounds,
}

impl ManageRules {
    /// Waits until the graph stands where the journal stood at start: the watermark of a replay
    /// under way is one of the past.
    pub(super) fn caught_up(&self) -> Result<(), PortError> {
        if self.status.wait_for(self.caught_up_at, JOURNAL_WAIT) {
            return Ok(());
        }
        let reason = "the journal is being replayed; rules can be changed once it is done";
        Err(PortError::Unavailable(reason.to_owned()))
    }

    /// The right to change rules.
    pub(super) fn turn(&self) -> Result<Turn, PortError> {
        // Made inside, since a timer needs the runtime.
        let turn = async { tokio::time::timeout(JOURNAL_WAIT, self.desk.turn()).await };
        let busy = || PortError::Unavailable("rules are being changed by someone else".to_owned());
        self.runtime.block_on(turn).map_err(|_| busy())
    }

    /// Writes entries, and follows them once they are durable, even where that takes too long for
    /// who asked.
    pub(super) fn write(&self, turn: Turn, controls: Vec<Control>) -> Result<(), PortError> {
        let intake = self.intake.clone();
        let written = self
            .runtime
            .spawn(async move { turn.write(&intake, controls).await });
        let wait = async move { tokio::time::timeout(JOURNAL_WAIT, written).await };
        let late = || PortError::Unavailable("the journal did not answer in time".to_owned());
        let answer = self.runtime.block_on(wait).map_err(|_| late())?;
        let failed = |error: &dyn std::error::Error| PortError::Unavailable(error.to_string());
        answer
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    /// Tries documents, journals them where all can be used, and gives the rules that they are.
    /// Where people put them, `origin` says from where.
    fn take(
        &self,
        turn: Turn,
        documents: &[Document],
        origin: Option<&str>,
        since: EventTime,
    ) -> Result<Vec<RuleInfo>, PutRule> {
        let (wanted, mut said) = load::firsts(documents, |_| None);
        let ids: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| wanted.id.clone())
            .collect();
        let loaded = load::load(&mut self.desk.book(), wanted, since);
        said.extend(loaded.diagnostics);
        said.retain(|said| {
            documents
                .iter()
                .any(|document| document.origin == said.origin)
        });
        if !loaded.refused.is_empty() || said.iter().any(|said| said.refused) {
            return Err(PutRule::Refused(said.iter().map(shown).collect()));
        }
        let put = loaded.taken.into_iter().map(|mut wanted| {
            if let Some(origin) = origin {
                wanted.document.origin = origin.to_owned();
            }
            rule_desk::put(&wanted.document, since)
        });
        self.write(turn, put.collect())?;
        let mut rules = Rules::list(self)?;
        rules.retain(|rule| ids.iter().any(|id| **id == *rule.id));
        Ok(rules)
    }

    fn put_from(
        &self,
        text: &str,
        origin: &str,
        backfill: Option<Span>,
    ) -> Result<Vec<RuleInfo>, PutRule> {
        self.caught_up()?;
        let turn = self.turn()?;
        let documents = rule_desk::documents(text, API_ORIGIN);
        if documents.is_empty() {
            // Whoever sends nothing has sent another file than was meant.
            return Err(PutRule::Refused(vec![Diagnostic {
                origin: API_ORIGIN.to_owned(),
                line: Some(1),
                column: None,
                message: "there is no rule in the text".to_owned(),
                hint: None,
                refused: true,
            }]));
        }
        let since = self.since(backfill);
        self.take(turn, &documents, Some(&api_origin(origin)), since)
    }

    /// Whether there is such a rule.
    pub(super) fn is_known(&self, id: &str) -> bool {
        let rules = self.desk.book().rules();
        rules.iter().any(|rule| &*rule.id == id)
    }
}

/// A diagnostic for people, with lines of the whole file or body.
pub(super) fn shown(said: &weir_detect::Diagnostic) -> Diagnostic {
    let (file, line, column) = load::place(said);
    Diagnostic {
        origin: file,
        line: Some(line),
        column: said.column.map(|_| column),
        message: said.message.clone(),
        hint: said.hint.clone(),
        refused: said.refused,
    }
}

impl Rules for ManageRules {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        let incomplete = self.desk.incomplete();
        let info = |(rule, origin): (RuleSummary, String)| RuleInfo {
            origin,
            incomplete: incomplete.contains(&rule.id),
            id: rule.id,
            version: rule.version,
            title: rule.title,
            level: rule.level,
            since: rule.since,
            until: (rule.until < EventTime::MAX).then_some(rule.until),
        };
        Ok(self.desk.rules().into_iter().map(info).collect())
    }

    fn diagnostics(&self) -> Result<Vec<Diagnostic>, PortError> {
        Ok(self.desk.diagnostics().iter().map(shown).collect())
    }

    fn put(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, PutRule> {
        self.put_from(text, origin, None)
    }

    fn put_back(&self, text: &str, origin: &str, backfill: Span) -> Result<Vec<RuleInfo>, PutRule> {
        self.put_from(text, origin, Some(backfill))
    }

    fn backfill(&self) -> Option<BackfillInfo> {
        self.status.backfill().as_ref().map(backfill_info)
    }

    fn what_ifs(&self) -> Option<&dyn WhatIfs> {
        Some(self)
    }

    fn disable(&self, id: &str) -> Result<bool, PortError> {
        self.caught_up()?;
        let turn = self.turn()?;
        if !self.is_known(id) {
            return Ok(false);
        }
        self.write(turn, self.desk.stop(id, until_now(&self.status)))?;
        Ok(true)
    }

    fn enable(&self, id: &str) -> Result<bool, PutRule> {
        self.caught_up()?;
        let turn = self.turn()?;
        match self.desk.let_go(id) {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(document)) => {
                let since = since_now(&self.status);
                self.take(turn, &[document], None, since).map(|_| true)
            }
        }
    }

    fn remove(&self, id: &str) -> Result<bool, PortError> {
        // Needs no watermark, and may be what a graph that has stopped waits for.
        let turn = self.turn()?;
        if !self.is_known(id) {
            return Ok(false);
        }
        let rule = id.to_owned();
        self.write(turn, vec![Control::RuleRemove { rule }])?;
        Ok(true)
    }
}
