//! The problems that a source can have, each with its built-in rule.

use weir_schema::{Level, PlanId, RuleId, RuleVersion, TimeMark};

/// A problem of a source, which a built-in rule detects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceProblem {
    Silent,
    Lagging,
    Flooding,
    ClockSkew,
    TimeNotCredible,
    BeyondHorizon,
}

/// The number of sources with each problem, over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceProblemCounts {
    /// By place in [`SourceProblem::ALL`].
    pub standing: [u32; SourceProblem::ALL.len()],
    /// Batches of the epoch whose source is beyond the limit of its tenant.
    pub unwatched: u64,
}

impl SourceProblem {
    /// All problems, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Silent,
        Self::Lagging,
        Self::Flooding,
        Self::ClockSkew,
        Self::TimeNotCredible,
        Self::BeyondHorizon,
    ];

    /// The problem of a source whose events get this mark.
    #[must_use]
    pub const fn of_mark(mark: TimeMark) -> Self {
        match mark {
            TimeMark::NotCredible => Self::TimeNotCredible,
            TimeMark::LateBeyondHorizon => Self::BeyondHorizon,
        }
    }

    /// Its place in [`SourceProblem::ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// The id of the built-in rule.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Silent => "weir.source.silent",
            Self::Lagging => "weir.source.lagging",
            Self::Flooding => "weir.source.flooding",
            Self::ClockSkew => "weir.source.clock-skew",
            Self::TimeNotCredible => "weir.source.time-not-credible",
            Self::BeyondHorizon => "weir.source.beyond-horizon",
        }
    }

    /// The label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Lagging => "lagging",
            Self::Flooding => "flooding",
            Self::ClockSkew => "clock_skew",
            Self::TimeNotCredible => "time_not_credible",
            Self::BeyondHorizon => "beyond_horizon",
        }
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Silent => "A source is silent",
            Self::Lagging => "A source sends old events",
            Self::Flooding => "A source sends far more than usual",
            Self::ClockSkew => "A source's clock runs ahead",
            Self::TimeNotCredible => "A source states times that are not credible",
            Self::BeyondHorizon => "A source sends events from before the horizon",
        }
    }

    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Silent | Self::Flooding | Self::TimeNotCredible | Self::BeyondHorizon => {
                Level::Medium
            }
            Self::Lagging | Self::ClockSkew => Level::Low,
        }
    }

    /// The condition of the built-in rule, in words.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Silent => {
                "the source has sent nothing for longer than `self_alerts.silent`, after it was \
                 active for at least as long; the next event retracts the alert"
            }
            Self::Lagging => {
                "for `self_alerts.patience`, the newest event of each batch is further behind the \
                 furthest source of the tenant than `self_alerts.lagging`; the first batch that is \
                 not retracts the alert"
            }
            Self::Flooding => {
                "the source sent more than `self_alerts.flooding` times its usual number of events \
                 in a minute (the mean of up to a day), and more than \
                 `self_alerts.flooding_least`; the first minute without retracts the alert"
            }
            Self::ClockSkew => {
                "for `self_alerts.patience`, event times are later than their receipt by more than \
                 `self_alerts.clock_skew`; five minutes without such an event retract the alert"
            }
            Self::TimeNotCredible => {
                "events of the source state times beyond their receipt and \
                 `time.future_tolerance`, before 2000 or after 2261, and stand at their receipt; \
                 an hour without such an event retracts the alert"
            }
            Self::BeyondHorizon => {
                "events of the source state times before the settled line, so correlations do not \
                 count them, and other rules judge them at their receipt; an hour without such an \
                 event retracts the alert"
            }
        }
    }

    /// The text of the condition that is hashed into the version of the rule.
    ///
    /// It never changes: another text would be another version, and would replace standing alerts.
    const fn versioned_condition(self) -> &'static str {
        match self {
            Self::Silent => {
                "the source is unheard for longer than `self_alerts.silent`, after it was heard \
                 for at least as long; it is taken back with the next event"
            }
            Self::Lagging => {
                "the newest event of each batch is further behind the tenant's furthest source \
                 than `self_alerts.lagging`, for `self_alerts.patience`; it is taken back with \
                 the first batch that is not"
            }
            Self::Flooding => {
                "in a minute came more than `self_alerts.flooding` times as many events as in \
                 the mean of up to a day, and more than `self_alerts.flooding_least`; it is \
                 taken back after the first minute without"
            }
            Self::ClockSkew => {
                "events say times later than their receipt by more than \
                 `self_alerts.clock_skew`, for `self_alerts.patience`; it is taken back once \
                 none came for five minutes"
            }
            Self::TimeNotCredible => {
                "events state times beyond receipt and tolerance, before 2000 or after 2261; an \
                 hour without retracts"
            }
            Self::BeyondHorizon => {
                "events state times before the settled line; an hour without retracts"
            }
        }
    }

    /// The problem whose built-in rule has this id.
    #[must_use]
    pub fn from_rule(rule: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.rule() == rule)
    }

    /// The problem whose built-in rule has this plan.
    #[must_use]
    pub fn from_plan(plan: PlanId) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.plan() == plan)
    }

    /// The rule's id, as records hold it.
    #[must_use]
    pub fn rule_id(self) -> RuleId {
        self.rule().into()
    }

    pub(crate) fn plan(self) -> PlanId {
        PlanId::of(&[b"built in", self.rule().as_bytes()])
    }

    /// The version of the built-in rule.
    pub(crate) fn version(self) -> RuleVersion {
        let text = self.versioned_condition();
        RuleVersion::of(&[self.rule().as_bytes(), text.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_the_index_in_all() {
        for (place, problem) in SourceProblem::ALL.into_iter().enumerate() {
            assert_eq!(problem.place(), place);
        }
    }

    #[test]
    fn versions_do_not_change() {
        let versions = [
            1_104_791_523_771_107_966,
            16_442_176_136_772_112_631,
            8_064_645_775_065_344_658,
            10_885_161_030_284_195_053,
            2_178_718_784_587_111_501,
            16_589_787_280_626_475_261,
        ];
        let found = SourceProblem::ALL.map(SourceProblem::version);
        assert_eq!(found, versions.map(RuleVersion));
    }
}
