//! Which changes a stream says, and by which word, so that what was said is always corrected.
//!
//! A filtered stream starts to speak of an alert when it first passes the filter: that is its
//! `raised`, whatever happened before. From then on it says everything about it, until it is
//! retracted or superseded; of an alert that it never raised it says nothing. All this is a
//! function of the kept changes alone, not of the connection, so a resumed stream goes on as if it
//! had never been cut.

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
        if change.kind == ChangeKind::Retracted {
            return Ok((said.then_some(ChangeKind::Retracted), false));
        }
        if let AlertState::SupersededBy(_) = change.record.state {
            return Ok((said.then_some(change.kind), false));
        }
        if said {
            return Ok((Some(change.kind), true));
        }
        let raised = self.passes(change) || self.swallows_said(alerts, change, mergers)?;
        Ok((raised.then_some(ChangeKind::Raised), raised))
    }

    fn passes(&self, change: &Change) -> bool {
        let record = &change.record;
        let level = self.level_min.is_none_or(|least| record.level >= least);
        level && (self.provisional || record.state != AlertState::Provisional)
    }

    /// Whether it takes the place of an alert that was said before this epoch.
    fn swallows_said(
        &self,
        alerts: &dyn Alerts,
        change: &Change,
        mergers: u8,
    ) -> Result<bool, PortError> {
        let Some(mergers) = mergers.checked_sub(1) else {
            return Ok(!change.supersedes.is_empty());
        };
        // The swallowed alert's own last row may stand in this very epoch, before this one.
        let start = Cursor {
            epoch: change.epoch,
            ordinal: 0,
        };
        for alert in &change.supersedes {
            if self.said_before(alerts, *alert, start, mergers)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
