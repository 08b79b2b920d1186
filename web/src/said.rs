//! Which changes a stream says, and by which word, so that what was said is always corrected.
//!
//! A filtered stream starts to speak of an alert when it first passes the filter: that is its
//! `raised`, whatever happened before. From then on it says everything about it, until it is
//! retracted, or swallowed, which the alert that swallows it says. Of an alert that it never raised
//! it says nothing. All this is a function of the kept changes alone, not of the connection, so a
//! resumed stream goes on as if it had never been cut.

use weir_schema::{AlertId, AlertState, Change, ChangeKind, Level};

use crate::ports::{Alerts, Cursor, PortError};

/// How many mergers deep it is followed who was told what; beyond, the alert counts as told:
/// saying too much is mended by the next row, silence is not.
const MERGERS_MAX: u8 = 4;

/// What a listener wants to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    /// This level or worse.
    pub(crate) level_min: Option<Level>,
    /// Also alerts that the watermark has not confirmed yet.
    pub(crate) provisional: bool,
}

impl Filter {
    /// The word under which `change` is said; `None` where it is withheld.
    pub(crate) fn word(
        &self,
        alerts: &dyn Alerts,
        change: &Change,
    ) -> Result<Option<ChangeKind>, PortError> {
        if self.provisional && self.level_min.is_none() {
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
    fn said_before(
        &self,
        alerts: &dyn Alerts,
        alert: AlertId,
        end: Cursor,
        mergers: u8,
    ) -> Result<bool, PortError> {
        let Some((_, changes)) = alerts.get(alert)? else {
            return Ok(false);
        };
        let mut said = false;
        for change in changes.iter().take_while(|change| Cursor::of(change) < end) {
            said = self.step(alerts, said, change, mergers)?.1;
        }
        Ok(said)
    }

    /// The word for a change, and whether the alert counts as said after it.
    fn step(
        &self,
        alerts: &dyn Alerts,
        said: bool,
        change: &Change,
        mergers: u8,
    ) -> Result<(Option<ChangeKind>, bool), PortError> {
        let starts = match change.kind {
            ChangeKind::Retracted => {
                return Ok((said.then_some(ChangeKind::Retracted), false));
            }
            ChangeKind::Revised if said => return Ok((Some(ChangeKind::Revised), true)),
            // Raised anew, it did not stand before: it was retracted, or swallowed by another.
            ChangeKind::Raised | ChangeKind::Revised => {
                self.passes(change) || self.swallows_said(alerts, change, mergers)?
            }
        };
        Ok((starts.then_some(ChangeKind::Raised), starts))
    }

    fn passes(&self, change: &Change) -> bool {
        let record = &change.record;
        let level = self.level_min.is_none_or(|least| record.level >= least);
        level && (self.provisional || record.state != AlertState::Provisional)
    }

    /// Whether it takes the place of an alert that was said.
    fn swallows_said(
        &self,
        alerts: &dyn Alerts,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, PortError> {
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
    use weir_schema::{AlertRecord, Cause, Epoch, EventTime, Evidence, RuleVersion};

    use super::*;
    use crate::ports::{AlertQuery, Explanation, Page};

    /// A ledger that is its changes.
    struct Kept(Vec<Change>);

    impl Alerts for Kept {
        fn list(&self, _: &AlertQuery) -> Result<Page<AlertRecord>, PortError> {
            Err(PortError::Unavailable("not asked".into()))
        }

        fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
            let of_id = self.0.iter().filter(|change| change.record.alert == id);
            let of_id: Vec<_> = of_id.cloned().collect();
            Ok(of_id
                .last()
                .map(|last| (last.record.clone(), of_id.clone())))
        }

        fn explain(&self, _: AlertId) -> Result<Option<Explanation>, PortError> {
            Ok(None)
        }

        fn outbox(&self, _: Cursor, _: usize) -> Result<Vec<Change>, PortError> {
            Ok(self.0.clone())
        }

        fn latest(&self) -> Result<Cursor, PortError> {
            Ok(self.0.last().map_or(Cursor::START, Cursor::of))
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
            let filter = Filter { level_min: level.then_some(Level::High), provisional: false };
            let kept = Kept(history(&moves));
            let mut believed = BTreeSet::new();
            let mut standing = BTreeMap::new();
            for change in &kept.0 {
                let alert = change.record.alert;
                standing.retain(|other, _| !change.supersedes.contains(other));
                match change.kind {
                    ChangeKind::Retracted => standing.remove(&alert),
                    _ => standing.insert(alert, filter.passes(change)),
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
