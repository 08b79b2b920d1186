//! Lets an edit take effect before the events that still wait for the graph.
//!
//! ```text
//! edit ─► hold: "from epoch 42" ─► journal, durable ─► release ─┐
//! journal ─► epoch 41 │ 42 waits while it is held ◄──────────────┴─► 42, with the edit at its begin
//! ```

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_dataflow::{EpochSource, PortFault};
use weir_schema::{AheadControls, Control, Epoch, SealedEpoch};

/// The edits of a journal that take effect before their place, and the epochs that they hold.
pub struct EditsAhead {
    state: Mutex<State>,
    released: Condvar,
    /// Held from the choice of an epoch until the edit is durable, so that edits keep their order.
    pub turn: tokio::sync::Mutex<()>,
}

struct State {
    ahead: AheadControls,
    /// The first epoch that the graph does not have.
    next: Epoch,
    /// From here on epochs wait: an edit is being journaled that takes effect in this one.
    held: Option<Epoch>,
}

impl EditsAhead {
    /// The edits that a journal holds, for a graph that reads it from its begin.
    pub fn new(ahead: AheadControls) -> Self {
        Self {
            state: Mutex::new(State {
                ahead,
                next: Epoch(1),
                held: None,
            }),
            released: Condvar::new(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// A copy of the edits that no graph has applied yet.
    pub fn collected(&self) -> AheadControls {
        self.lock().ahead.clone()
    }

    /// Chooses the epoch in which an edit takes effect, and lets it wait for [`Self::release`].
    pub fn hold(&self) -> Epoch {
        let mut state = self.lock();
        let from = state.next.max(state.ahead.first_free);
        state.held = Some(from);
        from
    }

    /// Lets the epochs pass again: with the `edits`, which are durable, at the begin of the first.
    pub fn release(&self, edits: Vec<Control>) {
        let mut state = self.lock();
        if let Some(from) = state.held.take() {
            for edit in edits {
                state.ahead.push(from, edit);
            }
        }
        drop(state);
        self.released.notify_all();
    }

    /// Applies the edits of an epoch once it is not held; returns it unchanged if it still is after
    /// `wait`.
    fn pass(&self, sealed: SealedEpoch, wait: Duration) -> Result<SealedEpoch, SealedEpoch> {
        let is_held = |state: &mut State| state.held.is_some_and(|from| from <= sealed.epoch);
        let waited = self.released.wait_timeout_while(self.lock(), wait, is_held);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(sealed);
        }
        state.next = Epoch(sealed.epoch.0.saturating_add(1));
        Ok(state.ahead.apply(sealed))
    }

    // No caller panics between two changes that belong together.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads epochs with the edits that take effect in them.
pub struct EditedEpochs<S> {
    read: S,
    edits: Arc<EditsAhead>,
    /// The epoch that an edit holds.
    waiting: Option<SealedEpoch>,
}

impl<S> EditedEpochs<S> {
    pub fn new(read: S, edits: Arc<EditsAhead>) -> Self {
        Self {
            read,
            edits,
            waiting: None,
        }
    }
}

impl<S: EpochSource> EpochSource for EditedEpochs<S> {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let read = match self.waiting.take() {
            Some(sealed) => Some(sealed),
            None => self.read.next(wait)?,
        };
        let Some(sealed) = read else { return Ok(None) };
        match self.edits.pass(sealed, wait) {
            Ok(sealed) => Ok(Some(sealed)),
            Err(held) => {
                self.waiting = Some(held);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use weir_schema::EventTime;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    /// Epochs without entries.
    struct Epochs(VecDeque<u64>);

    impl EpochSource for Epochs {
        fn next(&mut self, _: Duration) -> Result<Option<SealedEpoch>, PortFault> {
            let sealed = |epoch| SealedEpoch {
                epoch: Epoch(epoch),
                batches: Vec::new(),
                controls: Vec::new(),
                follower_controls: Vec::new(),
            };
            Ok(self.0.pop_front().map(sealed))
        }
    }

    fn edited(last: u64) -> (Arc<EditsAhead>, EditedEpochs<Epochs>) {
        let edits = Arc::new(EditsAhead::new(AheadControls::default()));
        let epochs = Epochs((1..=last).collect());
        (Arc::clone(&edits), EditedEpochs::new(epochs, edits))
    }

    fn next(epochs: &mut EditedEpochs<Epochs>) -> Option<(u64, Vec<Control>)> {
        let next = epochs.next(SOON).expect("reading cannot fail");
        next.map(|sealed| (sealed.epoch.0, sealed.controls))
    }

    fn remove() -> Control {
        Control::RuleDelete {
            rule: "heavy".to_owned(),
            since: EventTime(1),
        }
    }

    #[test]
    fn an_epoch_waits_for_the_edit_that_takes_effect_in_it() {
        let (edits, mut epochs) = edited(3);
        assert_eq!(next(&mut epochs), Some((1, vec![])));
        assert_eq!(
            edits.hold(),
            Epoch(2),
            "the first that the graph does not have"
        );
        assert_eq!(next(&mut epochs), None);
        assert_eq!(next(&mut epochs), None, "and goes on waiting");
        edits.release(vec![remove()]);
        assert_eq!(next(&mut epochs), Some((2, vec![remove()])));
        assert_eq!(next(&mut epochs), Some((3, vec![])));
    }

    #[test]
    fn an_edit_that_was_not_journaled_takes_no_effect() {
        let (edits, mut epochs) = edited(1);
        edits.hold();
        edits.release(Vec::new());
        assert_eq!(next(&mut epochs), Some((1, vec![])));
    }

    #[test]
    fn an_edit_overtakes_no_other() {
        let (edits, mut epochs) = edited(9);
        edits.lock().ahead.first_free = Epoch(5);
        assert_eq!(edits.hold(), Epoch(5));
        for epoch in 1..5 {
            assert_eq!(
                next(&mut epochs),
                Some((epoch, vec![])),
                "earlier ones pass"
            );
        }
        assert_eq!(next(&mut epochs), None);
        edits.release(vec![remove()]);
        assert_eq!(next(&mut epochs), Some((5, vec![remove()])));
    }
}
