//! Lists and edits rules for the API, through the registry and the editor.

use std::sync::Arc;

use weir_dataflow::{BackfillProgress, BatchReader, Status};
use weir_manage::{
    EditUnavailable, RegisteredRule, RuleEditError, RuleEditor, RuleRegistry, source_position,
};
use weir_schema::{EventTime, RuleId, Span, TimeBounds};
use weir_web::ports::{
    BackfillInfo, PortError, RuleDiagnostic, RuleInfo, RuleUpdateError, Rules, SuspensionInfo,
    WhatIfPort,
};

use crate::server::budget::{RuleBudget, suspension_reason};

/// Rules and what-ifs over the API.
pub struct EditRules {
    pub editor: RuleEditor,
    pub registry: Arc<RuleRegistry>,
    pub budget: RuleBudget,
    pub status: Arc<Status>,
    /// For the group values of alerts that only a what-if has.
    pub frames: Arc<dyn BatchReader>,
    pub bounds: TimeBounds,
}

impl Rules for EditRules {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        let incomplete = self.registry.incomplete();
        let shares = self.budget.shares();
        let info = |rule: RegisteredRule| {
            let RegisteredRule {
                summary,
                origin,
                suspension,
                limited_by,
            } = rule;
            RuleInfo {
                origin,
                incomplete: incomplete.contains(&summary.id),
                share: shares.get(&summary.id).copied().unwrap_or(0.0),
                suspension: suspension.map(|suspension| SuspensionInfo {
                    reason: suspension_reason(&suspension),
                    share: f64::from(suspension.share_permille) / 1_000.0,
                    since: suspension.received,
                }),
                limited_by,
                id: summary.id,
                version: summary.version,
                title: summary.title,
                level: summary.level,
                since: summary.since,
                until: (summary.until < EventTime::MAX).then_some(summary.until),
            }
        };
        Ok(self.registry.rules().into_iter().map(info).collect())
    }

    fn diagnostics(&self) -> Result<Vec<RuleDiagnostic>, PortError> {
        let diagnostics = self.registry.diagnostics();
        Ok(diagnostics.iter().map(rule_diagnostic).collect())
    }

    fn add(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        self.add_from(text, origin, None)
    }

    fn add_with_backfill(
        &self,
        text: &str,
        origin: &str,
        backfill: Span,
    ) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        self.add_from(text, origin, Some(backfill))
    }

    fn backfill(&self) -> Option<BackfillInfo> {
        self.status.backfill().as_ref().map(backfill_info)
    }

    fn what_ifs(&self) -> Option<&dyn WhatIfPort> {
        Some(self)
    }

    fn disable(&self, id: &str) -> Result<bool, PortError> {
        self.editor.disable(id).map_err(unavailable)
    }

    fn enable(&self, id: &str) -> Result<bool, RuleUpdateError> {
        self.editor.enable(id).map_err(update_error)
    }

    fn remove(&self, id: &str) -> Result<Option<Vec<RuleId>>, PortError> {
        self.editor.remove(id).map_err(unavailable)
    }
}

impl EditRules {
    fn add_from(
        &self,
        text: &str,
        origin: &str,
        backfill: Option<Span>,
    ) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        let added = self.editor.add(text, origin, backfill);
        let ids = added.map_err(update_error)?;
        let mut rules = Rules::list(self)?;
        rules.retain(|rule| ids.iter().any(|id| **id == *rule.id));
        Ok(rules)
    }
}

/// Converts the progress of a backfill for the API.
pub fn backfill_info(backfill: &BackfillProgress) -> BackfillInfo {
    BackfillInfo {
        epoch: backfill.epoch.0,
        batches: backfill.batches,
        batches_total: backfill.batches_total,
        events: backfill.events,
        events_per_second: backfill.events_per_second(),
    }
}

/// Converts an edit that did not start for the API.
pub fn unavailable(error: EditUnavailable) -> PortError {
    PortError::Unavailable(error.0)
}

/// Converts an edit that was not made for the API.
pub fn update_error(error: RuleEditError) -> RuleUpdateError {
    match error {
        RuleEditError::Refused(diagnostics) => {
            RuleUpdateError::Refused(diagnostics.iter().map(rule_diagnostic).collect())
        }
        RuleEditError::WhatIf { message, hint } => RuleUpdateError::Refused(vec![RuleDiagnostic {
            origin: "what-if".to_owned(),
            line: None,
            column: None,
            message,
            hint: hint.map(str::to_owned),
            refused: true,
        }]),
        RuleEditError::Unavailable(error) => unavailable(error).into(),
    }
}

/// A diagnostic with its line in the whole file or body.
fn rule_diagnostic(diagnostic: &weir_detect::Diagnostic) -> RuleDiagnostic {
    let position = source_position(diagnostic);
    RuleDiagnostic {
        origin: position.file,
        line: Some(position.line),
        column: diagnostic.column.map(|_| position.column),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
        refused: diagnostic.refused,
    }
}
