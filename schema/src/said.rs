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

/// The kept changes, to look back in.
pub trait Histories {
    type Error;

    /// All kept changes of an alert, oldest first; none where it is not known.
    fn history(&self, alert: AlertId) -> Result<Vec<Change>, Self::Error>;
}

/// How many mergers deep it is followed who was told what; beyond, the alert counts as told:
/// saying too much is mended by the next row, silence is not.
const MERGERS_MAX: u8 = 4;

/// What a listener wants to hear. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// This level or worse.
    pub level_min: Option<Level>,
    /// Also alerts that the watermark has not confirmed yet.
    pub provisional: bool,
    /// Of these rules, by id; of all where empty.
    pub rules: Vec<String>,
    /// Of these tenants, by name; of all where empty.
    pub tenants: Vec<String>,
}

impl Filter {
    /// The word under which `change` is said; `None` where it is withheld.
    pub fn word<H: Histories + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
    ) -> Result<Option<ChangeKind>, H::Error> {
        if self.is_open() {
            return Ok(Some(change.kind));
        }
        let said = if change.kind == ChangeKind::Raised && change.record.revision <= 1 {
            false
        } else {
            self.said_before(alerts, change.record.alert, Cursor::of(change), MERGERS_MAX)?
        };
        Ok(self.step(alerts, said, change, MERGERS_MAX)?.0)
    }

    /// Whether a listener to everything before `end` believes that the alert stands.
    fn said_before<H: Histories + ?Sized>(
        &self,
        alerts: &H,
        alert: AlertId,
        end: Cursor,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        let changes = alerts.history(alert)?;
        let mut said = false;
        for change in changes.iter().take_while(|change| Cursor::of(change) < end) {
            said = self.step(alerts, said, change, mergers)?.1;
        }
        Ok(said)
    }

    /// The word for a change, and whether the alert counts as said after it.
    fn step<H: Histories + ?Sized>(
        &self,
        alerts: &H,
        said: bool,
        change: &Change,
        mergers: u8,
    ) -> Result<(Option<ChangeKind>, bool), H::Error> {
        let starts = match change.kind {
            ChangeKind::Retracted => {
                return Ok((said.then_some(ChangeKind::Retracted), false));
            }
            ChangeKind::Revised if said => return Ok((Some(ChangeKind::Revised), true)),
            // Raised anew, it did not stand before: it was retracted, or swallowed by another.
            ChangeKind::Raised | ChangeKind::Revised => {
                self.passes(&change.record) || self.swallows_said(alerts, change, mergers)?
            }
        };
        Ok((starts.then_some(ChangeKind::Raised), starts))
    }

    /// Whether a change is the first thing to be told of its alert, for who hears of each alert
    /// once and never again: none before it passed.
    pub fn is_first<H: Histories + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
    ) -> Result<bool, H::Error> {
        let raises =
            |change: &Change| change.kind != ChangeKind::Retracted && self.passes(&change.record);
        if !raises(change) {
            return Ok(false);
        }
        let (history, end) = (alerts.history(change.record.alert)?, Cursor::of(change));
        let mut before = history
            .iter()
            .take_while(|earlier| Cursor::of(earlier) < end);
        Ok(!before.any(raises))
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
    fn swallows_said<H: Histories + ?Sized>(
        &self,
        alerts: &H,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, H::Error> {
        let Some(mergers) = mergers.checked_sub(1) else {
            return Ok(!change.supersedes.is_empty());
        };
        for alert in &change.supersedes {
            if self.said_before(alerts, *alert, Cursor::of(change), mergers)? {
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

    impl Histories for Kept {
        type Error = std::convert::Infallible;

        fn history(&self, alert: AlertId) -> Result<Vec<Change>, Self::Error> {
            let of_id = self.0.iter().filter(|change| change.record.alert == alert);
            Ok(of_id.cloned().collect())
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
            let filter = Filter { level_min, ..Filter::default() };
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
                match filter.word(&kept, change).unwrap() {
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
