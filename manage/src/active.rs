//! The active rules and their origins, as the control entries of the journal state them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_detect::{Diagnostic, RuleBook, RuleSummary, WHAT_IF_ORIGIN};
use weir_schema::{Control, EventTime, ReceiveTime, RuleVersion};

use crate::document::RuleFileDocument;
use crate::origin::{API_ORIGIN, is_manual};

/// Why and when Weir stopped a rule that held up all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSuspension {
    /// The share of the workers' time that it took, in thousandths.
    pub share_permille: u32,
    pub received: ReceiveTime,
}

/// Most texts stored per rule, so that endless edits cannot fill memory: four times the versions
/// that may select events.
pub const TEXTS_MAX: usize = 4 * weir_detect::VERSIONS_MAX;

/// Most rules remembered as stopped by a person: as many as there may be rules.
const STOPPED_MAX: usize = weir_detect::RULES_MAX;

/// The active rules, and why each is active or stopped.
#[derive(Default)]
pub struct ActiveRules {
    pub book: RuleBook,
    /// Rules that were added and not stopped since, by id.
    pub current: BTreeMap<String, ActiveRule>,
    /// Texts by rule id and version, for explanations.
    pub texts: BTreeMap<(String, RuleVersion), String>,
    /// The versions in `texts` by rule, the latest one last.
    pub(crate) order: BTreeMap<String, VecDeque<RuleVersion>>,
    /// Ids by version, which save parsing a known text again.
    pub(crate) ids: BTreeMap<RuleVersion, String>,
    /// Rules that people stopped or removed, with what ran last: files do not start them again.
    pub stopped: BTreeMap<String, Option<ActiveRule>>,
    /// Rules that Weir itself stopped. They are in `stopped`, too, until a person starts them.
    pub suspended: BTreeMap<String, RuleSuspension>,
    /// The file's text of rules that people changed, by id.
    pub overridden: BTreeMap<String, RuleFileDocument>,
    /// Active rules with diagnostics.
    pub(crate) suspects: BTreeSet<String>,
    /// All diagnostics of the requested files.
    pub diagnostics: Vec<Diagnostic>,
    /// Number of edits by people.
    pub manual_edits: u64,
}

/// Origin and version of the text that is active for one rule.
#[derive(Clone)]
pub struct ActiveRule {
    pub origin: String,
    pub version: RuleVersion,
}

impl ActiveRules {
    /// Applies a control entry of the journal. Returns the diagnostics of the rules.
    pub fn follow(&mut self, control: &Control) -> Vec<Diagnostic> {
        let promoted = match control {
            Control::WhatIfPromote { id } => self.book.what_ifs().get(id).cloned(),
            _ => None,
        };
        let diagnostics = self.book.apply(control).diagnostics;
        if let Some(what_if) = promoted {
            if !diagnostics.iter().any(|one| one.origin == WHAT_IF_ORIGIN) {
                let changes = what_if.changes.iter();
                changes.for_each(|change| self.record(&change.control(what_if.since)));
            }
            return diagnostics;
        }
        if let Control::RulePut { text, .. } = control
            && diagnostics.iter().any(|one| one.refused)
        {
            // Either the text is refused, or the rule is active and only waits for its members.
            let version = RuleVersion::of(&[text.as_bytes()]);
            let rules = self.book.rules();
            let runs = |rule: &RuleSummary| rule.version == version && rule.until == EventTime::MAX;
            if !rules.iter().any(runs) {
                return diagnostics;
            }
        }
        self.record(control);
        diagnostics
    }

    /// The latest version of a rule.
    pub fn latest_version(&self, rule: &str) -> Option<RuleVersion> {
        self.order.get(rule)?.back().copied()
    }

    /// Records a control entry that the rule book has accepted.
    pub(crate) fn record(&mut self, control: &Control) {
        match control {
            Control::RulePut { text, origin, .. } => {
                let version = RuleVersion::of(&[text.as_bytes()]);
                let known = self.ids.get(&version).cloned();
                let Some(id) = known.or_else(|| weir_detect::rule_id(text)) else {
                    return;
                };
                self.manual_edits += u64::from(is_manual(origin));
                self.store_overridden(&id, origin);
                self.stopped.remove(&id);
                self.suspended.remove(&id);
                self.store_text(&id, version, text);
                let origin = origin.clone();
                self.current.insert(id, ActiveRule { origin, version });
            }
            Control::RuleDisable { rule, .. } => {
                self.suspended.remove(rule);
                let last = self.current.remove(rule);
                if last.as_ref().is_some_and(|last| is_manual(&last.origin)) {
                    self.store_stopped(rule, last);
                }
            }
            // Files do not start a suspended rule again, even if they state it.
            Control::RuleSuspend {
                rule,
                share_permille,
                received,
                ..
            } => {
                let suspension = RuleSuspension {
                    share_permille: *share_permille,
                    received: *received,
                };
                self.record_suspension(rule, suspension);
            }
            Control::RuleRemove { rule } | Control::RuleDelete { rule, .. } => {
                self.record_removal(rule);
            }
            Control::Start { .. }
            | Control::Tick { .. }
            | Control::Heartbeat { .. }
            | Control::Settings { .. }
            | Control::SelfAlerts(_)
            | Control::Condition(_)
            | Control::Delivered(_)
            | Control::Reading { .. }
            | Control::WatermarkHolders(_)
            | Control::ClockJump(_)
            | Control::ClockRepair(_)
            | Control::Ahead { .. }
            | Control::WhatIfPut { .. }
            | Control::WhatIfPromote { .. }
            | Control::WhatIfDrop { .. }
            | Control::Finish => {}
        }
    }

    /// Records the removal of a rule: only people remove rules.
    fn record_removal(&mut self, rule: &str) {
        self.suspended.remove(rule);
        self.store_overridden(rule, API_ORIGIN);
        self.current.remove(rule);
        self.texts.retain(|(id, _), _| id != rule);
        self.ids.retain(|_, id| id != rule);
        self.order.remove(rule);
        self.store_stopped(rule, None);
    }

    fn record_suspension(&mut self, rule: &str, suspension: RuleSuspension) {
        self.store_overridden(rule, API_ORIGIN);
        let last = self.current.remove(rule);
        self.store_stopped(rule, last);
        self.suspended.insert(rule.to_owned(), suspension);
    }

    /// Stores a text that is now active. Past `TEXTS_MAX` texts, the oldest one is dropped.
    fn store_text(&mut self, id: &str, version: RuleVersion, text: &str) {
        self.ids.insert(version, id.to_owned());
        self.texts.insert((id.to_owned(), version), text.to_owned());
        let order = self.order.entry(id.to_owned()).or_default();
        order.retain(|known| *known != version);
        order.push_back(version);
        if order.len() > TEXTS_MAX
            && let Some(oldest) = order.pop_front()
        {
            self.texts.remove(&(id.to_owned(), oldest));
            self.ids.remove(&oldest);
        }
    }

    /// Stores a file's text when a person changes its rule.
    fn store_overridden(&mut self, rule: &str, new_origin: &str) {
        let Some(current) = self.current.get(rule) else {
            return;
        };
        let text = self.texts.get(&(rule.to_owned(), current.version));
        let overrides = is_manual(new_origin) && !is_manual(&current.origin);
        if let (Some(text), true) = (text, overrides) {
            let document = RuleFileDocument {
                origin: current.origin.clone(),
                text: text.clone(),
            };
            self.overridden.insert(rule.to_owned(), document);
        }
    }

    fn store_stopped(&mut self, rule: &str, last: Option<ActiveRule>) {
        self.manual_edits += 1;
        if self.stopped.len() < STOPPED_MAX || self.stopped.contains_key(rule) {
            self.stopped.insert(rule.to_owned(), last);
        } else {
            tracing::error!(
                rule,
                "more than {STOPPED_MAX} rules are stopped by hand; a file may start this one again"
            );
        }
    }
}
