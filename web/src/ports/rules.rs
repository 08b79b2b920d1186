//! The port to the rules in force.

use weir_schema::{EventTime, Level, ReceiveTime, RuleId, RuleVersion, Span};

use super::{BackfillInfo, PortError, RuleDiagnostic, RuleUpdateError, WhatIfPort};

/// A rule in a listing.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    pub id: RuleId,
    pub version: RuleVersion,
    pub title: String,
    pub level: Level,
    /// The file or channel that its text came from.
    pub origin: String,
    /// The rule sees no events before this time.
    pub since: EventTime,
    /// A disabled rule sees no events from this time on; `None` while enabled.
    pub until: Option<EventTime>,
    /// Whether the rule has refused groups, which makes its results incomplete.
    pub incomplete: bool,
    /// The share of the workers' time that it took of late, between 0 and 1.
    pub share: f64,
    /// Present while Weir itself has stopped the rule.
    pub suspension: Option<SuspensionInfo>,
    /// The suspended rules that it reads; its results are limited.
    pub limited_by: Vec<RuleId>,
}

/// Why and when Weir stopped a rule.
#[derive(Clone, Debug)]
pub struct SuspensionInfo {
    pub reason: String,
    /// The share of the workers' time that it took, between 0 and 1.
    pub share: f64,
    pub since: ReceiveTime,
}

/// Reads and changes the rules in force. Methods may block; changes return once journaled.
pub trait Rules: Send + Sync {
    /// Lists all rules.
    fn list(&self) -> Result<Vec<RuleInfo>, PortError>;

    /// Returns the faults in the files that rules are read from.
    fn diagnostics(&self) -> Result<Vec<RuleDiagnostic>, PortError>;

    /// Adds the rules of `text`, or replaces those of the same id: either all of them or none.
    fn add(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, RuleUpdateError>;

    /// Adds rules as [`Self::add`] does and backfills them from `backfill` before the watermark.
    fn add_with_backfill(
        &self,
        text: &str,
        origin: &str,
        backfill: Span,
    ) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        let _ = (text, origin, backfill);
        Err(PortError::Unavailable("backfill is not available here".to_owned()).into())
    }

    /// Returns the progress of the running backfill; `None` if none runs.
    fn backfill(&self) -> Option<BackfillInfo> {
        None
    }

    /// Returns the port to what-ifs; `None` where what-ifs are not available.
    fn what_ifs(&self) -> Option<&dyn WhatIfPort> {
        None
    }

    /// Stops a rule from the watermark on. Returns `false` if there is no such rule.
    fn disable(&self, id: &str) -> Result<bool, PortError>;

    /// Restarts a rule that was disabled or removed through this port.
    ///
    /// It uses the text of the rule's file if there is one, else the text that was added last.
    /// Returns `false` if there is no such rule.
    fn enable(&self, id: &str) -> Result<bool, RuleUpdateError>;

    /// Removes a rule and retracts all of its alerts. Returns the rules that only it read, which raise
    /// alerts by themselves from now on, or `None` if there is no such rule.
    fn remove(&self, id: &str) -> Result<Option<Vec<RuleId>>, PortError>;
}
