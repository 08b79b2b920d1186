//! What was pushed and is not acknowledged: numbered, bounded, and cut into batches.

use std::collections::VecDeque;

use weir_schema::agent::{BATCH_EVENTS_MAX, encode_batch};

use crate::AgentError;

/// Largest event: four of them fit the largest message with room to spare.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of events in a batch, at most; or one event.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What a batch adds to each event.
const EVENT_OVERHEAD_BYTES: usize = 32;

/// Limits of a spool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub events_max: usize,
    pub bytes_max: usize,
    pub batch_events_max: usize,
    pub in_flight_events_max: u64,
}

/// ```text
///  oldest ........ sent ........ end
///    awaiting ack   to be sent
/// ```
#[derive(Debug)]
pub(crate) struct Spool {
    limits: Limits,
    events: VecDeque<Vec<u8>>,
    bytes: usize,
    oldest: u64,
    /// The next to send on this connection.
    sent: u64,
    /// One after the last that any connection of this spool may have brought.
    ever_sent: u64,
    /// Weir said before that it has events up to here, of which we never sent some: then batches go
    /// one at a time, as an acknowledgement does not say which of them it has compared.
    overlap_until: u64,
}

impl Spool {
    pub fn new(first_sequence: u64, limits: Limits) -> Self {
        Self {
            limits,
            events: VecDeque::new(),
            bytes: 0,
            oldest: first_sequence,
            sent: first_sequence,
            ever_sent: first_sequence,
            overlap_until: 0,
        }
    }

    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    pub fn end(&self) -> u64 {
        self.oldest.saturating_add(self.events.len() as u64)
    }

    /// Numbers the event, or gives it back where there is no room yet.
    pub fn push(&mut self, event: Vec<u8>) -> Result<Result<u64, Vec<u8>>, AgentError> {
        if event.len() > EVENT_BYTES_MAX {
            return Err(AgentError::EventTooLarge { bytes: event.len() });
        }
        let sequence = self.end();
        if sequence == u64::MAX {
            return Err(AgentError::SpoolExhausted);
        }
        let weight = event.len() + EVENT_OVERHEAD_BYTES;
        let full = self.events.len() >= self.limits.events_max
            || (!self.events.is_empty() && self.bytes + weight > self.limits.bytes_max);
        if full {
            return Ok(Err(event));
        }
        self.bytes += weight;
        self.events.push_back(event);
        Ok(Ok(sequence))
    }

    /// A new connection: Weir has all events before `next`.
    pub fn resume(&mut self, next: u64) -> Result<(), AgentError> {
        if next < self.oldest {
            return Err(AgentError::Gap {
                expected: next,
                oldest: self.oldest,
            });
        }
        self.overlap_until = if next > self.ever_sent { next } else { 0 };
        self.drop_until(next.min(self.ever_sent));
        self.sent = self.oldest;
        Ok(())
    }

    /// All events before `next` are durable.
    pub fn acknowledge(&mut self, next: u64) {
        self.drop_until(next.min(self.sent));
    }

    /// The next batch as a message, marked as sent; `None`: nothing to send yet.
    pub fn next_batch(&mut self) -> Option<Vec<u8>> {
        let awaited = self.sent - self.oldest;
        let alone = self.sent < self.overlap_until && awaited > 0;
        if alone || awaited >= self.limits.in_flight_events_max {
            return None;
        }
        let start = usize::try_from(awaited).ok()?;
        let mut bytes = 0;
        let events_max = self.limits.batch_events_max.clamp(1, BATCH_EVENTS_MAX);
        let batch: Vec<&Vec<u8>> = self
            .events
            .iter()
            .skip(start)
            .take(events_max)
            .take_while(|event| {
                let first = bytes == 0;
                bytes += event.len() + EVENT_OVERHEAD_BYTES;
                first || bytes <= BATCH_BYTES_MAX
            })
            .collect();
        if batch.is_empty() {
            return None;
        }
        let message = encode_batch(self.sent, &batch);
        self.sent += batch.len() as u64;
        self.ever_sent = self.ever_sent.max(self.sent);
        Some(message)
    }

    fn drop_until(&mut self, next: u64) {
        while self.oldest < next
            && let Some(event) = self.events.pop_front()
        {
            self.bytes -= event.len() + EVENT_OVERHEAD_BYTES;
            self.oldest += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(first: u64, events: usize) -> Spool {
        let limits = Limits {
            events_max: 8,
            bytes_max: 1 << 20,
            batch_events_max: 2,
            in_flight_events_max: 4,
        };
        let mut spool = Spool::new(first, limits);
        for n in 0..events {
            assert!(spool.push(vec![n as u8]).unwrap().is_ok());
        }
        spool
    }

    /// First sequences of the batches that go now.
    fn batches(spool: &mut Spool) -> Vec<u64> {
        let firsts = std::iter::from_fn(|| spool.next_batch()).map(|bytes| {
            let message = weir_schema::agent::message(&bytes[4..]).unwrap();
            message.body_as_event_batch().unwrap().first_sequence()
        });
        firsts.collect()
    }

    #[test]
    fn the_window_moves_with_acknowledgements_and_a_cut_goes_back_to_them() {
        let mut spool = spool(10, 8);
        assert_eq!(spool.push(vec![]).unwrap(), Err(vec![]), "full");
        spool.resume(10).unwrap();
        assert_eq!(batches(&mut spool), [10, 12]);
        spool.acknowledge(11);
        assert_eq!(batches(&mut spool), [14]);
        spool.acknowledge(99);
        assert_eq!(spool.oldest(), 16, "what was not sent is not acknowledged");
        assert_eq!(batches(&mut spool), [16]);
        spool.resume(16).unwrap();
        assert_eq!(batches(&mut spool), [16]);
        assert!(matches!(
            spool.resume(3),
            Err(AgentError::Gap {
                expected: 3,
                oldest: 16
            })
        ));
    }

    #[test]
    fn numbers_that_weir_has_already_are_compared_batch_by_batch() {
        let mut spool = spool(0, 6);
        spool.resume(3).unwrap();
        assert_eq!(batches(&mut spool), [0]);
        spool.acknowledge(3);
        assert_eq!(batches(&mut spool), [2, 4], "from 3 on all is new");
        spool.acknowledge(6);
        assert_eq!((spool.oldest(), spool.end()), (6, 6));
    }
}
