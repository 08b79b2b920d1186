//! Which changes a listener hears, and by which word, so that what was said is always corrected.
//!
//! A filtered listener first hears of an alert when it passes the filter: that is its `raised`,
//! whatever happened before. From then on it hears everything about it, until it is retracted, or
//! swallowed, which the alert that swallows it says. Of an alert that was never raised to it, it
//! hears nothing. All this is a function of the kept changes alone, not of the connection, so a
//! stream that is resumed, or a sink, goes on as if it had never been cut.

use crate::alert::{AlertRecord, AlertState, Change, ChangeKind};
use crate::id::{AlertId, Epoch};
use crate::rule::Level;

/// A place in the outbox: the row `ordinal` of an epoch. `(0, 0)` is before every row.
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

    /// Where a change stands.
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

/// Rows of the outbox behind some place, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxRows {
    pub changes: Vec<Change>,
    /// Rows between that place and the first of these have gone, since the outbox keeps so many
    /// only.
    pub has_gap: bool,
}

/// The kept changes, to look back in.
pub trait AlertHistory {
    type Error;

    /// The newest kept change of an alert whose revision is below `revision`.
    fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, Self::Error>;
}

/// How many mergers deep it is followed who was told what; beyond, the alert counts as told:
/// saying too much is mended by the next row, silence is not.
const MERGERS_MAX: u8 = 4;

/// What a listener wants to hear. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxFilter {
    /// This level or worse.
    pub level_min: Option<Level>,
    /// Also alerts that the watermark has not confirmed yet.
    pub provisional: bool,
    /// Of these rules, by id; of all where empty.
    pub rules: Vec<String>,
    /// Of these tenants, by name; of all where empty.
    pub tenants: Vec<String>,
}

impl OutboxFilter {
    /// The word under which `change` is said; `None` where it is withheld.
    pub fn emitted_kind<H: AlertHistory + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
    ) -> Result<Option<ChangeKind>, H::Error> {
        if self.is_open() {
            return Ok(Some(change.kind));
        }
        let record = &change.record;
        let said = if change.kind == ChangeKind::Raised && record.revision <= 1 {
            false
        } else {
            let (alert, end) = (record.alert, Cursor::of(change));
            self.said_before(alerts, alert, record.revision, end, MERGERS_MAX)?
        };
        Ok(match change.kind {
            ChangeKind::Retracted => said.then_some(ChangeKind::Retracted),
            ChangeKind::Revised if said => Some(ChangeKind::Revised),
            // Raised anew, it did not stand before: it was retracted, or swallowed by another.
            ChangeKind::Raised | ChangeKind::Revised => {
                let starts = self.starts(alerts, change, MERGERS_MAX)?;
                starts.then_some(ChangeKind::Raised)
            }
        })
    }

    /// Whether a listener to everything before `end` believes that the alert stands. Looks back from
    /// `revision` no further than to the change that decides it, which most often is the last one.
    fn said_before<H: AlertHistory + ?Sized>(
        &self,
        alerts: &H,
        alert: AlertId,
        mut revision: u64,
        end: Cursor,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        while let Some(change) = alerts.previous_revision(alert, revision)? {
            revision = change.record.revision;
            if Cursor::of(&change) >= end {
                continue;
            }
            if change.kind == ChangeKind::Retracted {
                return Ok(false);
            }
            if self.starts(alerts, &change, mergers)? {
                return Ok(true);
            }
            if change.kind == ChangeKind::Raised {
                return Ok(false);
            }
            // A revision that starts nothing leaves it as it was.
        }
        Ok(false)
    }

    /// Whether an alert that was not said is said with this change, which is no retraction.
    fn starts<H: AlertHistory + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        Ok(self.passes(&change.record) || self.swallows_said(alerts, change, mergers)?)
    }

    /// Whether a change is the first thing to be told of its alert, for who hears of each alert
    /// once and never again: none before it passed.
    pub fn is_first_match<H: AlertHistory + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
    ) -> Result<bool, H::Error> {
        let raises =
            |change: &Change| change.kind != ChangeKind::Retracted && self.passes(&change.record);
        if !raises(change) {
            return Ok(false);
        }
        let mut revision = change.record.revision;
        while let Some(earlier) = alerts.previous_revision(change.record.alert, revision)? {
            if raises(&earlier) {
                return Ok(false);
            }
            revision = earlier.record.revision;
        }
        Ok(true)
    }

    /// Whether the filter alone lets an alert through as it is now.
    #[must_use]
    pub fn passes(&self, record: &AlertRecord) -> bool {
        let named = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted == name)
        };
        let known = !matches!(record.state, AlertState::Provisional | AlertState::Blind);
        self.level_min.is_none_or(|least| record.level >= least)
            && (self.provisional || known)
            && named(&self.rules, &record.rule)
            && named(&self.tenants, &record.tenant)
    }

    fn is_open(&self) -> bool {
        let all = self.rules.is_empty() && self.tenants.is_empty();
        all && self.provisional && self.level_min.is_none()
    }

    /// Whether it takes the place of an alert that was said.
    fn swallows_said<H: AlertHistory + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        let Some(mergers) = mergers.checked_sub(1) else {
            return Ok(!change.supersedes.is_empty());
        };
        for alert in &change.supersedes {
            if self.said_before(alerts, *alert, u64::MAX, Cursor::of(change), mergers)? {
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

    /// A ledger that is its changes.
    struct Kept(Vec<Change>);

    impl AlertHistory for Kept {
        type Error = std::convert::Infallible;

        fn previous_revision(
            &self,
            alert: AlertId,
            revision: u64,
        ) -> Result<Option<Change>, Self::Error> {
            let mut newest = self.0.iter().rev();
            let is_it = |change: &&Change| {
                change.record.alert == alert && change.record.revision < revision
            };
            Ok(newest.find(is_it).cloned())
        }
    }

    /// What may happen to an alert: which one, what, provisional or not, high or low.
    type Move = (u64, u8, bool, bool);

    /// A history that the ledger could keep: an alert is raised when it does not stand, swallowed
    /// in silence by another, else revised or retracted.
    fn history(moves: &[Move]) -> Vec<Change> {
        let mut standing: BTreeMap<AlertId, u64> = BTreeMap::new();
        let mut revisions: BTreeMap<AlertId, u64> = BTreeMap::new();
        let mut changes = Vec::new();
        for (epoch, (alert, action, provisional, high)) in (1..).zip(moves) {
            let alert = AlertId([0, *alert]);
            let stood = standing.contains_key(&alert);
            let mut supersedes = Vec::new();
            let kind = match action {
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
                record: record(alert, *revision, *provisional, *high),
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
        }
    }

    /// Every kept change is read, from the first one on: what looking back is held against.
    fn said_after(
        filter: &OutboxFilter,
        kept: &Kept,
        alert: AlertId,
        end: Cursor,
        mergers: u8,
    ) -> bool {
        let mut said = false;
        let of_it = kept.0.iter().filter(|change| change.record.alert == alert);
        for change in of_it.take_while(|change| Cursor::of(change) < end) {
            let swallows = || match mergers.checked_sub(1) {
                None => !change.supersedes.is_empty(),
                Some(mergers) => change
                    .supersedes
                    .iter()
                    .any(|other| said_after(filter, kept, *other, Cursor::of(change), mergers)),
            };
            said = match change.kind {
                ChangeKind::Retracted => false,
                ChangeKind::Revised if said => true,
                ChangeKind::Raised | ChangeKind::Revised => {
                    filter.passes(&change.record) || swallows()
                }
            };
        }
        said
    }

    proptest! {
        /// Looking back to what decides it says what reading everything does; and who hears of each
        /// alert once hears of it when it first passes, and never again.
        #[test]
        fn looking_back_says_what_the_whole_history_does(
            moves in prop::collection::vec(
                (0..4_u64, 0..5_u8, any::<bool>(), any::<bool>()),
                0..60,
            ),
            level in any::<bool>(),
        ) {
            let level_min = level.then_some(Level::High);
            let filter = OutboxFilter { level_min, ..OutboxFilter::default() };
            let kept = Kept(history(&moves));
            let mut heard_once = BTreeSet::new();
            for change in &kept.0 {
                let (alert, end) = (change.record.alert, Cursor::of(change));
                let plain = said_after(&filter, &kept, alert, end, MERGERS_MAX);
                let revision = change.record.revision;
                let said = filter.said_before(&kept, alert, revision, end, MERGERS_MAX).unwrap();
                prop_assert_eq!(said, plain, "{} at {}", alert, end);
                let passes = change.kind != ChangeKind::Retracted && filter.passes(&change.record);
                let first = filter.is_first_match(&kept, change).unwrap();
                prop_assert_eq!(first, passes && heard_once.insert(alert));
            }
        }
    }

    proptest! {
        /// Whoever follows a filtered stream believes of no alert that it stands when it does not,
        /// and knows every standing one that passes.
        #[test]
        fn a_listener_is_never_left_with_what_no_longer_stands(
            moves in prop::collection::vec(
                (0..4_u64, 0..5_u8, any::<bool>(), any::<bool>()),
                0..40,
            ),
            level in any::<bool>(),
        ) {
            let level_min = level.then_some(Level::High);
            let filter = OutboxFilter { level_min, ..OutboxFilter::default() };
            let kept = Kept(history(&moves));
            let mut believed = BTreeSet::new();
            let mut standing = BTreeMap::new();
            for change in &kept.0 {
                let alert = change.record.alert;
                standing.retain(|other, _| !change.supersedes.contains(other));
                match change.kind {
                    ChangeKind::Retracted => standing.remove(&alert),
                    _ => standing.insert(alert, filter.passes(&change.record)),
                };
                match filter.emitted_kind(&kept, change).unwrap() {
                    Some(ChangeKind::Raised) => prop_assert!(believed.insert(alert)),
                    Some(ChangeKind::Revised) => prop_assert!(believed.contains(&alert)),
                    Some(ChangeKind::Retracted) => prop_assert!(believed.remove(&alert)),
                    None => {
                        let told = change.supersedes.iter().any(|other| believed.contains(other));
                        prop_assert!(!told, "swallowed without a word");
                    }
                }
                believed.retain(|other| !change.supersedes.contains(other));
                prop_assert!(believed.iter().all(|alert| standing.contains_key(alert)));
                let passing = standing.iter().filter(|(_, passes)| **passes);
                prop_assert!(passing.clone().all(|(alert, _)| believed.contains(alert)));
            }
        }
    }
}
