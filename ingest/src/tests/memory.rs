//! A journal in memory whose syncs can be blocked or made to fail.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use weir_schema::{Batch, Entry, Epoch};

use crate::{FaultKind, JournalFault, JournalPort};

type Fails = Box<dyn FnMut() -> bool + Send>;

#[derive(Default)]
struct State {
    durable: Vec<Entry>,
    buffer: Vec<Entry>,
    syncs: usize,
    /// Called at every append and sync.
    fails: Option<Fails>,
    gate_closed: bool,
    /// Whether a sync waits at the gate.
    waiting: bool,
}

#[derive(Clone, Default)]
pub struct MemoryJournal(Arc<(Mutex<State>, Condvar)>);

impl MemoryJournal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    pub fn fail(&self, fails: impl FnMut() -> bool + Send + 'static) {
        self.state().fails = Some(Box::new(fails));
    }

    pub fn heal(&self) {
        self.state().fails = None;
    }

    pub fn close_gate(&self) {
        self.state().gate_closed = true;
    }

    pub fn open_gate(&self) {
        self.state().gate_closed = false;
        self.0.1.notify_all();
    }

    pub fn is_waiting(&self) -> bool {
        self.state().waiting
    }

    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.state().durable.clone()
    }

    pub fn batches(&self) -> Vec<Batch> {
        let batches = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Batch(batch) => Some(Arc::unwrap_or_clone(batch)),
            Entry::Control(_) | Entry::Seal { .. } => None,
        });
        batches.collect()
    }

    pub fn frames(&self) -> Vec<Vec<u8>> {
        let batches = self.batches();
        let frames = batches.iter().flat_map(|batch| &batch.frames);
        frames.map(<[u8]>::to_vec).collect()
    }

    /// `b2 s1` is a batch of two frames and the seal of epoch 1; `c` is a control entry.
    pub fn sketch(&self) -> String {
        let symbol = |entry: &Entry| match entry {
            Entry::Batch(batch) => format!("b{}", batch.frames.len()),
            Entry::Control(_) => "c".to_owned(),
            Entry::Seal { epoch } => format!("s{}", epoch.0),
        };
        self.entries()
            .iter()
            .map(symbol)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl State {
    fn fault(&mut self) -> Result<(), JournalFault> {
        if self.fails.as_mut().is_some_and(|fails| fails()) {
            self.buffer.clear();
            return Err(JournalFault {
                kind: FaultKind::Full,
                message: "no space left on device".into(),
            });
        }
        Ok(())
    }
}

impl JournalPort for MemoryJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFault> {
        let mut state = self.state();
        state.fault()?;
        state.buffer.push(entry.clone());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalFault> {
        let mut state = self.state();
        while state.gate_closed {
            state.waiting = true;
            state = self.0.1.wait(state).unwrap();
        }
        state.waiting = false;
        state.fault()?;
        state.syncs += 1;
        let State {
            durable, buffer, ..
        } = &mut *state;
        durable.append(buffer);
        Ok(())
    }

    fn next_epoch(&self) -> Epoch {
        let state = self.state();
        assert!(
            state.buffer.is_empty(),
            "called only when all entries are synced"
        );
        let seals = state
            .durable
            .iter()
            .filter(|e| matches!(e, Entry::Seal { .. }));
        Epoch(1 + seals.count() as u64)
    }
}
