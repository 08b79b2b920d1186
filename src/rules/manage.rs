//! Changes of rules over the API: each is tried on a copy of the rules, and only then journaled.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_detect::RuleSummary;
use weir_ingest::Intake;
use weir_schema::{Control, Epoch, EventTime};
use weir_web::ports::{Diagnostic, PortError, PutRule, RuleInfo, Rules};

use crate::rule_desk::{self, Document, RuleDesk, Turn, since_now, until_now};
use crate::rules::known::{API_ORIGIN, api_origin};
use crate::rules::load;

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
}

impl ManageRules {
    /// Waits until the graph stands where the journal stood at start: the watermark of a replay
    /// under way is one of the past.
    fn caught_up(&self) -> Result<(), PortError> {
        if self.status.wait_for(self.caught_up_at, JOURNAL_WAIT) {
            return Ok(());
        }
        let reason = "the journal is being replayed; rules can be changed once it is done";
        Err(PortError::Unavailable(reason.to_owned()))
    }

    /// The right to change rules.
    fn turn(&self) -> Result<Turn, PortError> {
        // Made inside, since a timer needs the runtime.
        let turn = async { tokio::time::timeout(JOURNAL_WAIT, self.desk.turn()).await };
        let busy = || PortError::Unavailable("rules are being changed by someone else".to_owned());
        self.runtime.block_on(turn).map_err(|_| busy())
    }

    /// Writes entries, and follows them once they are durable, even where that takes too long for
    /// who asked.
    fn write(&self, turn: Turn, controls: Vec<Control>) -> Result<(), PortError> {
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
    ) -> Result<Vec<RuleInfo>, PutRule> {
        let since = since_now(&self.status);
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
        let mut rules = self.list()?;
        rules.retain(|rule| ids.iter().any(|id| **id == *rule.id));
        Ok(rules)
    }

    /// Whether there is such a rule.
    fn is_known(&self, id: &str) -> bool {
        let rules = self.desk.book().rules();
        rules.iter().any(|rule| &*rule.id == id)
    }
}

/// A diagnostic for people, with lines of the whole file or body.
fn shown(said: &weir_detect::Diagnostic) -> Diagnostic {
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
        let info = |(rule, origin): (RuleSummary, String)| RuleInfo {
            origin,
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
        self.take(turn, &documents, Some(&api_origin(origin)))
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
            Some(Err(document)) => self.take(turn, &[document], None).map(|_| true),
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
