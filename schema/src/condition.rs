//! Conditions of Weir itself: what the server notices about its own parts, as entries of the journal.

use serde::{Deserialize, Serialize};

use crate::id::{AlertId, GroupKey, PlanId, RuleId, RuleVersion, TenantKey};
use crate::rule::Level;
use crate::time::{EventTime, ReceiveTime, Span};

/// Longest subject in bytes; a longer one is cut.
pub const CONDITION_SUBJECT_BYTES_MAX: usize = 256;

/// Most bytes of the details; longer ones are cut.
pub const CONDITION_DETAILS_BYTES_MAX: usize = 512;

/// Subjects of one kind that are followed. Conditions of further subjects raise no alert.
pub const CONDITION_SUBJECTS_MAX: usize = 64;

/// A momentary condition that recurs within this time of its last entry counts as the same one.
pub const CONDITION_RECURS_WITHIN: Span = Span::seconds(3_600);

/// The tenant whose alerts these are: the one of sources without a tenant of their own.
pub const CONDITION_TENANT: &str = "default";

/// One report about a part of Weir. The graph turns it into an alert, as it does for sources.
///
/// A server journals one when a condition begins, changes or ends, so every replay of the journal
/// raises the same alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub kind: ConditionKind,
    /// The rule, sink or part concerned; empty where there is only one.
    pub subject: String,
    /// The figures and reasons, for people.
    pub details: String,
    /// False once the condition is over.
    pub standing: bool,
    pub received: ReceiveTime,
}

/// The conditions that raise an alert, each with a built-in rule. Journaled: append new ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionKind {
    /// Acknowledged events wait too long for their alerts.
    AlertsLate,
    /// The clock of the server jumped.
    ClockJumped,
    /// A rule takes more of the graph than its share.
    RuleOverBudget,
    /// A rule was suspended, because it held up all others.
    RuleSuspended,
    /// No rule is in force.
    NoRuleInForce,
    /// Alerts wait too long for a sink, or its consumer has stopped it.
    SinkStuck,
    /// A part could not work for a while: the journal, its reads, or the ledger.
    PartFailed,
    /// The server ended because a part had ended or stalled, and was started again.
    RestartedAfterFailure,
    /// The run before this one ended without a stop: killed, crashed, or a power loss.
    UncleanEnd,
    /// A source sends too many events without a log source, or with a problem.
    SourceUnread,
}

impl ConditionKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::AlertsLate,
        Self::ClockJumped,
        Self::RuleOverBudget,
        Self::RuleSuspended,
        Self::NoRuleInForce,
        Self::SinkStuck,
        Self::PartFailed,
        Self::RestartedAfterFailure,
        Self::UncleanEnd,
        Self::SourceUnread,
    ];

    /// The id of the built-in rule.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::AlertsLate => "weir.self.alerts-late",
            Self::ClockJumped => "weir.self.clock-jumped",
            Self::RuleOverBudget => "weir.self.rule-over-budget",
            Self::RuleSuspended => "weir.self.rule-suspended",
            Self::NoRuleInForce => "weir.self.no-rule-in-force",
            Self::SinkStuck => "weir.self.sink-stuck",
            Self::PartFailed => "weir.self.part-failed",
            Self::RestartedAfterFailure => "weir.self.restarted-after-failure",
            Self::UncleanEnd => "weir.self.unclean-end",
            Self::SourceUnread => "weir.self.source-unread",
        }
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::AlertsLate => "Alerts are late",
            Self::ClockJumped => "The server's clock jumped",
            Self::RuleOverBudget => "A rule takes more than its share of the graph",
            Self::RuleSuspended => "A rule is suspended",
            Self::NoRuleInForce => "No rule is in force",
            Self::SinkStuck => "Alerts wait too long for a sink",
            Self::PartFailed => "A part of Weir failed for a while",
            Self::RestartedAfterFailure => "Weir restarted after a failure",
            Self::UncleanEnd => "Weir restarted after an unclean end",
            Self::SourceUnread => "A source sends lines that no reader knows",
        }
    }

    /// The condition of the built-in rule, in words.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::AlertsLate => {
                "the oldest acknowledged event without its results is older than \
                 `self_alerts.alerts_late`; the alert is retracted once it is younger than half"
            }
            Self::ClockJumped => {
                "the wall clock of the server jumped against the time since boot; the alert stays"
            }
            Self::RuleOverBudget => {
                "the rule takes more of the graph's time than its share; the alert is retracted \
                 once it takes less"
            }
            Self::RuleSuspended => {
                "the rule held up all others and was suspended; the alert is retracted once the \
                 rule runs again or is removed"
            }
            Self::NoRuleInForce => {
                "no rule is in force, so nothing can be detected; the alert is retracted once a \
                 rule is"
            }
            Self::SinkStuck => {
                "an alert has waited for the sink for two minutes, or the consumer has stopped the \
                 sink; the alert is retracted once none has waited for one minute"
            }
            Self::PartFailed => {
                "the part could not work for 30 seconds or more, and works again; the alert stays"
            }
            Self::RestartedAfterFailure => {
                "a part of the server had ended or stalled, so the server ended and was started \
                 again; the alert stays"
            }
            Self::UncleanEnd => {
                "the run before this one ended without a stop: it was killed, it crashed, or the \
                 machine lost power; the alert stays"
            }
            Self::SourceUnread => {
                "a larger share of the source's events than `self_alerts.unread_share` has no log \
                 source, or a problem; the alert is retracted once it is less than half of that"
            }
        }
    }

    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::ClockJumped | Self::RuleOverBudget | Self::UncleanEnd | Self::SourceUnread => {
                Level::Medium
            }
            Self::AlertsLate
            | Self::RuleSuspended
            | Self::NoRuleInForce
            | Self::SinkStuck
            | Self::PartFailed
            | Self::RestartedAfterFailure => Level::High,
        }
    }

    /// Whether the condition has no duration. Its alerts stay, because they are about the past.
    #[must_use]
    pub const fn is_momentary(self) -> bool {
        match self {
            Self::ClockJumped
            | Self::PartFailed
            | Self::RestartedAfterFailure
            | Self::UncleanEnd => true,
            Self::AlertsLate
            | Self::RuleOverBudget
            | Self::RuleSuspended
            | Self::NoRuleInForce
            | Self::SinkStuck
            | Self::SourceUnread => false,
        }
    }

    /// The name of the group field that holds the subject.
    #[must_use]
    pub const fn subject_name(self) -> &'static str {
        match self {
            Self::RuleOverBudget | Self::RuleSuspended => "rule",
            Self::SinkStuck => "sink",
            Self::SourceUnread => "source",
            Self::AlertsLate
            | Self::ClockJumped
            | Self::NoRuleInForce
            | Self::PartFailed
            | Self::RestartedAfterFailure
            | Self::UncleanEnd => "part",
        }
    }

    /// The kind whose built-in rule has this id.
    #[must_use]
    pub fn from_rule(rule: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.rule() == rule)
    }

    /// The kind whose built-in rule has this plan.
    #[must_use]
    pub fn from_plan(plan: PlanId) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.plan() == plan)
    }

    /// The rule's id, as records hold it.
    #[must_use]
    pub fn rule_id(self) -> RuleId {
        self.rule().into()
    }

    #[must_use]
    pub fn plan(self) -> PlanId {
        PlanId::of(&[b"built in", self.rule().as_bytes()])
    }

    /// The version of the built-in rule. It never changes with the words.
    #[must_use]
    pub fn version(self) -> RuleVersion {
        RuleVersion::of(&[b"condition", self.rule().as_bytes()])
    }

    /// The key of a subject's group.
    #[must_use]
    pub fn group(self, subject: &str) -> GroupKey {
        GroupKey::of(&[b"weir.self", self.rule().as_bytes(), subject.as_bytes()])
    }

    /// The alert about a group whose condition began at `first`.
    #[must_use]
    pub fn alert(self, group: &GroupKey, first: EventTime) -> AlertId {
        AlertId::for_episode(condition_tenant(), self.rule(), group, first)
    }
}

/// The key of [`CONDITION_TENANT`].
#[must_use]
pub fn condition_tenant() -> TenantKey {
    TenantKey::of(&[CONDITION_TENANT.as_bytes()])
}

impl Condition {
    /// A condition whose texts are cut to their limits.
    #[must_use]
    pub fn new(
        kind: ConditionKind,
        subject: &str,
        details: &str,
        standing: bool,
        received: ReceiveTime,
    ) -> Self {
        let subject = &subject[..subject.floor_char_boundary(CONDITION_SUBJECT_BYTES_MAX)];
        let details = &details[..details.floor_char_boundary(CONDITION_DETAILS_BYTES_MAX)];
        Self {
            kind,
            subject: subject.to_owned(),
            details: details.to_owned(),
            standing,
            received,
        }
    }

    /// The title of its alert: the kind, and the figures.
    #[must_use]
    pub fn title(&self) -> String {
        let title = self.kind.title();
        if self.details.is_empty() {
            return title.to_owned();
        }
        format!("{title}: {}", self.details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_rules_plans_and_versions_of_their_own() {
        for kind in ConditionKind::ALL {
            assert_eq!(ConditionKind::from_rule(kind.rule()), Some(kind));
            assert_eq!(ConditionKind::from_plan(kind.plan()), Some(kind));
        }
        let mut versions = ConditionKind::ALL.map(ConditionKind::version).to_vec();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), ConditionKind::ALL.len());
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "ä".repeat(1_000);
        let kind = ConditionKind::SinkStuck;
        let condition = Condition::new(kind, &long, &long, true, ReceiveTime(0));
        assert_eq!(condition.subject.len(), CONDITION_SUBJECT_BYTES_MAX);
        assert_eq!(condition.details.len(), CONDITION_DETAILS_BYTES_MAX);
        assert!(
            condition
                .title()
                .starts_with("Alerts wait too long for a sink: ä")
        );
    }
}
