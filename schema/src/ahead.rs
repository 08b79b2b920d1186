//! Control entries that take effect before their place in the journal.
//!
//! ```text
//!  epochs   … 41 │ 42 │ 43 │ … │ 907
//!                  ▲                └ mark "the next 1, from 42", remove a rule
//!                  └ here it applies, before all else in the epoch
//! ```
//!
//! An edit need not wait for the events between: it names the first epoch that no worker had when it
//! was journaled. Every reader of a journal collects these entries before it reads the first epoch.

use std::collections::BTreeMap;

use crate::control::Control;
use crate::id::Epoch;
use crate::journal::{Entry, SealedEpoch};

/// The entries of a journal that take effect before their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AheadControls {
    by_epoch: BTreeMap<Epoch, Vec<Control>>,
    /// Where the last mark says that entries take effect, and how many of them are still to come.
    open: Option<(Epoch, u32)>,
    /// Whether the open epoch holds an edit that no mark precedes.
    edits_in_place: bool,
    /// No edit takes effect before it: it would overtake one that the journal holds before it.
    pub first_free: Epoch,
}

impl AheadControls {
    /// Follows the entries of a journal, in order.
    pub fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::Batch(_) => {}
            Entry::Control(Control::Ahead { from, controls }) => {
                self.open = Some((*from, *controls));
            }
            Entry::Control(control) => match next_marked(&mut self.open) {
                Some(from) => self.push(from, control.clone()),
                None => self.edits_in_place |= is_edit(control),
            },
            Entry::Seal { epoch } => self.seal(*epoch),
        }
    }

    /// Ends an epoch: its marks hold no further.
    pub fn seal(&mut self, epoch: Epoch) {
        self.open = None;
        if std::mem::take(&mut self.edits_in_place) {
            self.first_free = self.first_free.max(Epoch(epoch.0.saturating_add(1)));
        }
    }

    /// Adds an entry that takes effect at the begin of the epoch `from`.
    pub fn push(&mut self, from: Epoch, control: Control) {
        self.by_epoch.entry(from).or_default().push(control);
        self.first_free = self.first_free.max(from);
    }

    /// Gives an epoch the entries that take effect in it, and takes away those that did so earlier.
    #[must_use]
    pub fn apply(&mut self, mut sealed: SealedEpoch) -> SealedEpoch {
        let mut controls = self.by_epoch.remove(&sealed.epoch).unwrap_or_default();
        let mut open = None;
        for control in sealed.controls {
            if let Control::Ahead { from, controls } = control {
                open = Some((from, controls));
            } else if next_marked(&mut open).is_none() {
                controls.push(control);
            }
        }
        sealed.controls = controls;
        sealed
    }
}

/// Counts one entry behind a mark. Returns where it takes effect, or `None` if none is left.
fn next_marked(open: &mut Option<(Epoch, u32)>) -> Option<Epoch> {
    let (from, left) = open.as_mut()?;
    *left = left.checked_sub(1)?;
    Some(*from)
}

/// Whether an entry belongs to the edits, which must keep their order.
const fn is_edit(control: &Control) -> bool {
    match control {
        Control::RulePut { .. }
        | Control::RuleDisable { .. }
        | Control::RuleSuspend { .. }
        | Control::RuleRemove { .. }
        | Control::RuleDelete { .. }
        | Control::Settings { .. }
        | Control::WhatIfPut { .. }
        | Control::WhatIfPromote { .. }
        | Control::WhatIfDrop { .. } => true,
        Control::Start { .. }
        | Control::Tick { .. }
        | Control::Heartbeat { .. }
        | Control::Finish
        | Control::Delivered(_)
        | Control::SelfAlerts(_)
        | Control::Condition(_)
        | Control::Reading { .. }
        | Control::WatermarkHolders(_)
        | Control::ClockJump(_)
        | Control::ClockRepair(_)
        | Control::Ahead { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{EventTime, ReceiveTime};

    fn remove(rule: &str) -> Control {
        Control::RuleDelete {
            rule: rule.to_owned(),
            since: EventTime(1),
        }
    }

    fn mark(from: u64, controls: u32) -> Control {
        Control::Ahead {
            from: Epoch(from),
            controls,
        }
    }

    const TICK: Control = Control::Tick {
        received: ReceiveTime(1),
    };

    /// The controls of each epoch as a reader of the journal applies them.
    fn applied(epochs: &[Vec<Control>]) -> (Vec<Vec<Control>>, Epoch) {
        let mut ahead = AheadControls::default();
        let numbered = || (1..).map(Epoch).zip(epochs);
        for (epoch, controls) in numbered() {
            for control in controls {
                ahead.follow(&Entry::Control(control.clone()));
            }
            ahead.follow(&Entry::Seal { epoch });
        }
        let first_free = ahead.first_free;
        let apply = |(epoch, controls): (Epoch, &Vec<Control>)| {
            let sealed = SealedEpoch {
                epoch,
                batches: Vec::new(),
                controls: controls.clone(),
                follower_controls: Vec::new(),
            };
            ahead.apply(sealed).controls
        };
        (numbered().map(apply).collect(), first_free)
    }

    #[test]
    fn marked_entries_take_effect_where_their_mark_says_and_nowhere_else() {
        let (epochs, first_free) = applied(&[
            vec![TICK],
            vec![TICK],
            vec![TICK, mark(2, 2), remove("a"), remove("b"), remove("c")],
            vec![mark(2, 1), remove("d"), TICK],
        ]);
        assert_eq!(
            epochs,
            [
                vec![TICK],
                vec![remove("a"), remove("b"), remove("d"), TICK],
                vec![TICK, remove("c")],
                vec![TICK],
            ]
        );
        assert_eq!(first_free, Epoch(4), "behind the edit without a mark");
    }

    #[test]
    fn a_mark_holds_for_its_own_epoch_only() {
        let (epochs, _) = applied(&[vec![mark(1, 5), remove("a")], vec![remove("b")]]);
        assert_eq!(epochs, [vec![remove("a")], vec![remove("b")]]);
    }

    #[test]
    fn an_edit_at_its_own_epoch_stays_in_it() {
        let (epochs, first_free) = applied(&[vec![TICK, mark(1, 1), remove("a")]]);
        assert_eq!(epochs, [vec![remove("a"), TICK]]);
        assert_eq!(first_free, Epoch(1));
    }
}
