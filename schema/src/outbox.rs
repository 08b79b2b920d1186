//! The filter of alert streams: which changes a consumer receives, and as which kind.
//!
//! A consumer with a filter receives an alert as `raised` when the alert first passes the filter,
//! whatever happened before. From then on it receives every change of that alert, until the alert
//! is retracted, or superseded by another alert, whose change lists it. It receives nothing about
//! an alert that it never received as `raised`.
//!
//! All this depends only on the stored changes, not on the connection. A resumed stream, or a sink,
//! therefore continues as if it had never been interrupted.

use crate::alert::{AlertRecord, AlertState, Change, ChangeKind};
use crate::id::{AlertId, Epoch};
use crate::rule::Level;

/// A position in the outbox: row `ordinal` of an epoch. `(0, 0)` is before every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub epoch: Epoch,
    pub ordinal: u32,
}

impl Cursor {
    /// Before every row, since epochs count from 1.
    pub const START: Self = Self {
        epoch: Epoch(0),
        ordinal: 0,
    };

    /// The position of a change.
    #[must_use]
    pub const fn of(change: &Change) -> Self {
        Self {
            epoch: change.epoch,
            ordinal: change.ordinal,
        }
    }

    /// Reads `<epoch>-<n>`, digits only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, ordinal) = text.split_once('-')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(epoch) || !digits(ordinal) {
            return None;
        }
        Some(Self {
            epoch: Epoch(epoch.parse().ok()?),
            ordinal: ordinal.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.ordinal)
    }
}

/// Rows of the outbox after some position, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxRows {
    pub changes: Vec<Change>,
    /// Rows between that position and the first row are gone: the outbox has a size limit.
    pub has_gap: bool,
}

/// The stored changes of each alert.
pub trait AlertHistory {
    type Error;

    /// The newest stored change of an alert whose revision is below `revision`.
    fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, Self::Error>;
}

/// How many nested mergers are followed to find whether a superseded alert was emitted.
///
/// Beyond it the alert counts as emitted: the next row corrects a surplus change, but nothing
/// corrects a missing one.
const MERGERS_MAX: u8 = 4;

/// The alerts that a consumer wants. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxFilter {
    /// Least severe level.
    pub level_min: Option<Level>,
    /// Whether to include alerts that the watermark has not confirmed yet.
    pub provisional: bool,
    /// Rule ids; empty for all rules.
    pub rules: Vec<String>,
    /// Tenant names; empty for all tenants.
    pub tenants: Vec<String>,
}

impl OutboxFilter {
    /// The kind as which to emit `change`; `None` if the filter withholds it.
    pub fn emitted_kind<H: AlertHistory + ?Sized>(
        &self,
        history: &H,
        change: &Change,
    ) -> Result<Option<ChangeKind>, H::Error> {
        if self.accepts_all() {
            return Ok(Some(change.kind));
        }
        let record = &change.record;
        let was_emitted = if change.kind == ChangeKind::Raised && record.revision <= 1 {
            false
        } else {
            let (alert, end) = (record.alert, Cursor::of(change));
            self.is_emitted_at(history, alert, record.revision, end, MERGERS_MAX)?
        };
        Ok(match change.kind {
            ChangeKind::Retracted => was_emitted.then_some(ChangeKind::Retracted),
            ChangeKind::Revised if was_emitted => Some(ChangeKind::Revised),
            // An alert that is raised again did not stand: it was retracted or superseded.
            ChangeKind::Raised | ChangeKind::Revised => {
                let raises = self.raises(history, change, MERGERS_MAX)?;
                raises.then_some(ChangeKind::Raised)
            }
        })
    }

    /// Whether the alert stands for a consumer that received everything before `end`.
    ///
    /// Looks back from `revision` to the change that decides it, most often the previous one.
    fn is_emitted_at<H: AlertHistory + ?Sized>(
        &self,
        history: &H,
        alert: AlertId,
        mut revision: u64,
        end: Cursor,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        while let Some(change) = history.previous_revision(alert, revision)? {
            revision = change.record.revision;
            if Cursor::of(&change) >= end {
                continue;
            }
            if change.kind == ChangeKind::Retracted {
                return Ok(false);
            }
            if self.raises(history, &change, mergers)? {
                return Ok(true);
            }
            if change.kind == ChangeKind::Raised {
                return Ok(false);
            }
            // A revision that does not raise the alert leaves it as it was before.
        }
        Ok(false)
    }

    /// Whether `change`, which is no retraction, raises an alert that was not emitted before.
    fn raises<H: AlertHistory + ?Sized>(
        &self,
        history: &H,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        Ok(self.passes(&change.record) || self.supersedes_emitted(history, change, mergers)?)
    }

    /// Whether this is the first change with which the alert passes the filter.
    ///
    /// For consumers that receive each alert only once.
    pub fn is_first_match<H: AlertHistory + ?Sized>(
        &self,
        history: &H,
        change: &Change,
    ) -> Result<bool, H::Error> {
        let matches =
            |change: &Change| change.kind != ChangeKind::Retracted && self.passes(&change.record);
        if !matches(change) {
            return Ok(false);
        }
        let mut revision = change.record.revision;
        while let Some(earlier) = history.previous_revision(change.record.alert, revision)? {
            if matches(&earlier) {
                return Ok(false);
            }
            revision = earlier.record.revision;
        }
        Ok(true)
    }

    /// Whether an alert, as it is now, meets all conditions of the filter.
    #[must_use]
    pub fn passes(&self, record: &AlertRecord) -> bool {
        let includes = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted == name)
        };
        let is_confirmed = !matches!(record.state, AlertState::Provisional | AlertState::Blind);
        self.level_min.is_none_or(|least| record.level >= least)
            && (self.provisional || is_confirmed)
            && includes(&self.rules, &record.rule)
            && includes(&self.tenants, &record.tenant)
    }

    fn accepts_all(&self) -> bool {
        let is_unnamed = self.rules.is_empty() && self.tenants.is_empty();
        is_unnamed && self.provisional && self.level_min.is_none()
    }

    /// Whether `change` supersedes an alert that was emitted.
    fn supersedes_emitted<H: AlertHistory + ?Sized>(
        &self,
        history: &H,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        let Some(mergers) = mergers.checked_sub(1) else {
            return Ok(!change.supersedes.is_empty());
        };
        for alert in &change.supersedes {
            if self.is_emitted_at(history, *alert, u64::MAX, Cursor::of(change), mergers)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::alert::{Cause, Evidence};
    use crate::id::RuleVersion;
    use crate::time::EventTime;

    /// A ledger that consists of its changes.
    struct Changes(Vec<Change>);

    impl AlertHistory for Changes {
        type Error = std::convert::Infallible;

        fn previous_revision(
            &self,
            alert: AlertId,
            revision: u64,
        ) -> Result<Option<Change>, Self::Error> {
            let mut newest = self.0.iter().rev();
            let matches = |change: &&Change| {
                change.record.alert == alert && change.record.revision < revision
            };
            Ok(newest.find(matches).cloned())
        }
    }

    /// One step of a history.
    #[derive(Clone, Copy, Debug)]
    struct Step {
        alert: u64,
        /// 0 retracts, 1 revises and supersedes another alert, the others revise.
        action: u8,
        provisional: bool,
        high: bool,
    }

    fn any_steps(steps_max: usize) -> impl Strategy<Value = Vec<Step>> {
        let step = (0..4_u64, 0..5_u8, any::<bool>(), any::<bool>());
        let step = step.prop_map(|(alert, action, provisional, high)| Step {
            alert,
            action,
            provisional,
            high,
        });
        prop::collection::vec(step, 0..steps_max)
    }

    /// A history that a ledger could store: an alert that does not stand is raised, any other is
    /// revised, retracted, or superseded without a change of its own.
    fn history(steps: &[Step]) -> Vec<Change> {
        let mut standing: BTreeMap<AlertId, u64> = BTreeMap::new();
        let mut revisions: BTreeMap<AlertId, u64> = BTreeMap::new();
        let mut changes = Vec::new();
        for (epoch, step) in (1..).zip(steps) {
            let alert = AlertId([0, step.alert]);
            let stood = standing.contains_key(&alert);
            let mut supersedes = Vec::new();
            let kind = match step.action {
                _ if !stood => ChangeKind::Raised,
                0 => ChangeKind::Retracted,
                1 => {
                    let other = standing.keys().copied().find(|other| *other != alert);
                    supersedes.extend(other.filter(|other| standing.remove(other).is_some()));
                    ChangeKind::Revised
                }
                _ => ChangeKind::Revised,
            };
            match kind {
                ChangeKind::Retracted => standing.remove(&alert),
                ChangeKind::Raised | ChangeKind::Revised => standing.insert(alert, epoch),
            };
            let revision = revisions.entry(alert).or_default();
            *revision += 1;
            changes.push(Change {
                kind,
                epoch: Epoch(epoch),
                ordinal: 0,
                supersedes,
                record: record(alert, *revision, step.provisional, step.high),
            });
        }
        changes
    }

    fn record(alert: AlertId, revision: u64, provisional: bool, high: bool) -> AlertRecord {
        AlertRecord {
            alert,
            key: alert,
            revision,
            standing: true,
            raised: Epoch(1),
            rule: "r".into(),
            version: RuleVersion(1),
            title: String::new(),
            level: if high { Level::High } else { Level::Low },
            tenant: String::new(),
            group: Vec::new(),
            state: if provisional {
                AlertState::Provisional
            } else {
                AlertState::Confirmed
            },
            first: EventTime(0),
            last: EventTime(0),
            count: 1,
            limited: false,
            supersedes: Vec::new(),
            evidence: Evidence::default(),
            cause: Cause::RuleRemoved,
            marked: None,
        }
    }

    /// Reads every stored change from the first one on: the oracle for the search backwards.
    fn is_emitted_before(
        filter: &OutboxFilter,
        all: &Changes,
        alert: AlertId,
        end: Cursor,
        mergers: u8,
    ) -> bool {
        let mut is_emitted = false;
        let changes = all.0.iter().filter(|change| change.record.alert == alert);
        for change in changes.take_while(|change| Cursor::of(change) < end) {
            let supersedes_emitted = || match mergers.checked_sub(1) {
                None => !change.supersedes.is_empty(),
                Some(mergers) => change.supersedes.iter().any(|other| {
                    is_emitted_before(filter, all, *other, Cursor::of(change), mergers)
                }),
            };
            is_emitted = match change.kind {
                ChangeKind::Retracted => false,
                ChangeKind::Revised if is_emitted => true,
                ChangeKind::Raised | ChangeKind::Revised => {
                    filter.passes(&change.record) || supersedes_emitted()
                }
            };
        }
        is_emitted
    }

    fn filter(only_high: bool) -> OutboxFilter {
        OutboxFilter {
            level_min: only_high.then_some(Level::High),
            ..OutboxFilter::default()
        }
    }

    proptest! {
        /// The search backwards agrees with the whole history, and an alert matches first once.
        #[test]
        fn search_backwards_agrees_with_whole_history(
            steps in any_steps(60),
            only_high in any::<bool>(),
        ) {
            let filter = filter(only_high);
            let all = Changes(history(&steps));
            let mut matched = BTreeSet::new();
            for change in &all.0 {
                let (alert, end) = (change.record.alert, Cursor::of(change));
                let expected = is_emitted_before(&filter, &all, alert, end, MERGERS_MAX);
                let revision = change.record.revision;
                let found = filter.is_emitted_at(&all, alert, revision, end, MERGERS_MAX).unwrap();
                prop_assert_eq!(found, expected, "{} at {}", alert, end);
                let passes = change.kind != ChangeKind::Retracted && filter.passes(&change.record);
                let first = filter.is_first_match(&all, change).unwrap();
                prop_assert_eq!(first, passes && matched.insert(alert));
            }
        }
    }

    proptest! {
        /// A consumer of a filtered stream has no alert that does not stand, and has every standing
        /// alert that passes.
        #[test]
        fn consumer_has_only_standing_alerts(
            steps in any_steps(40),
            only_high in any::<bool>(),
        ) {
            let filter = filter(only_high);
            let all = Changes(history(&steps));
            let mut received = BTreeSet::new();
            let mut standing = BTreeMap::new();
            for change in &all.0 {
                let alert = change.record.alert;
                standing.retain(|other, _| !change.supersedes.contains(other));
                match change.kind {
                    ChangeKind::Retracted => standing.remove(&alert),
                    _ => standing.insert(alert, filter.passes(&change.record)),
                };
                match filter.emitted_kind(&all, change).unwrap() {
                    Some(ChangeKind::Raised) => prop_assert!(received.insert(alert)),
                    Some(ChangeKind::Revised) => prop_assert!(received.contains(&alert)),
                    Some(ChangeKind::Retracted) => prop_assert!(received.remove(&alert)),
                    None => {
                        let is_lost = change.supersedes.iter().any(|other| received.contains(other));
                        prop_assert!(!is_lost, "superseded without a change");
                    }
                }
                received.retain(|other| !change.supersedes.contains(other));
                prop_assert!(received.iter().all(|alert| standing.contains_key(alert)));
                let passing = standing.iter().filter(|(_, passes)| **passes);
                prop_assert!(passing.clone().all(|(alert, _)| received.contains(alert)));
            }
        }
    }
}
