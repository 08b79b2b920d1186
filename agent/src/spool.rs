//! The spool: unacknowledged events, numbered, bounded, and split into batches.

use std::collections::VecDeque;

use weir_schema::agent::{BATCH_EVENTS_MAX, encode_batch};

use crate::AgentError;

/// Largest event. Three of them fit the largest message.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// Most bytes of events in a batch, unless it has only one event.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Bytes that a batch adds to each event.
const EVENT_OVERHEAD_BYTES: usize = 32;

/// Limits of a spool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpoolLimits {
    pub events_max: usize,
    pub bytes_max: usize,
    pub batch_events_max: usize,
    pub in_flight_events_max: u64,
}

/// Events between two sequence numbers, and how many of them are sent.
///
/// ```text
///  oldest ........ sent ........ end
///    awaiting ack   to be sent
/// ```
#[derive(Debug)]
pub(crate) struct Spool {
    limits: SpoolLimits,
    events: VecDeque<Vec<u8>>,
    bytes: usize,
    oldest: u64,
    /// The next event to send on this connection.
    sent: u64,
    /// One after the last event that any connection may have delivered.
    ever_sent: u64,
    /// End of the events that Weir has but this spool never sent.
    ///
    /// Before it, batches go one at a time: an acknowledgement does not say which batches Weir has
    /// compared with its own events.
    overlap_until: u64,
}

impl Spool {
    pub fn new(first_sequence: u64, limits: SpoolLimits) -> Self {
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

    /// Adds and numbers the event, or returns it if the spool is full.
    pub fn push(&mut self, event: Vec<u8>) -> Result<SpoolPush, AgentError> {
        if event.len() > EVENT_BYTES_MAX {
            return Err(AgentError::EventTooLarge { bytes: event.len() });
        }
        let sequence = self.end();
        if sequence == u64::MAX {
            return Err(AgentError::SpoolExhausted);
        }
        let weight = event.len() + EVENT_OVERHEAD_BYTES;
        let is_full = self.events.len() >= self.limits.events_max
            || (!self.events.is_empty() && self.bytes + weight > self.limits.bytes_max);
        if is_full {
            return Ok(SpoolPush::Full { event });
        }
        self.bytes += weight;
        self.events.push_back(event);
        Ok(SpoolPush::Added { sequence })
    }

    /// Starts over on a new connection, on which Weir has all events before `next`.
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

    /// Drops all events before `next`, which are durable, as far as they were sent.
    pub fn acknowledge(&mut self, next: u64) {
        self.drop_until(next.min(self.sent));
    }

    /// Encodes the next batch and marks it as sent; `None` if there is nothing to send yet.
    pub fn next_batch(&mut self) -> Option<Vec<u8>> {
        let in_flight = self.sent - self.oldest;
        let must_wait = self.sent < self.overlap_until && in_flight > 0;
        if must_wait || in_flight >= self.limits.in_flight_events_max {
            return None;
        }
        let start = usize::try_from(in_flight).ok()?;
        let mut bytes = 0;
        let events_max = self.limits.batch_events_max.clamp(1, BATCH_EVENTS_MAX);
        let batch: Vec<&Vec<u8>> = self
            .events
            .iter()
            .skip(start)
            .take(events_max)
            .take_while(|event| {
                let is_first = bytes == 0;
                bytes += event.len() + EVENT_OVERHEAD_BYTES;
                is_first || bytes <= BATCH_BYTES_MAX
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

/// The result of [`Spool::push`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpoolPush {
    Added { sequence: u64 },
    Full { event: Vec<u8> },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(first: u64, events: usize) -> Spool {
        let limits = SpoolLimits {
            events_max: 8,
            bytes_max: 1 << 20,
            batch_events_max: 2,
            in_flight_events_max: 4,
        };
        let mut spool = Spool::new(first, limits);
        for n in 0..events {
            let pushed = spool.push(vec![n as u8]).unwrap();
            assert!(matches!(pushed, SpoolPush::Added { .. }));
        }
        spool
    }

    /// First sequences of the batches that can be sent.
    fn batches(spool: &mut Spool) -> Vec<u64> {
        let firsts = std::iter::from_fn(|| spool.next_batch()).map(|bytes| {
            let message = weir_schema::agent::decode_message(&bytes[4..]).unwrap();
            message.body_as_event_batch().unwrap().first_sequence()
        });
        firsts.collect()
    }

    #[test]
    fn acknowledgements_move_the_window_and_resume_resets_it() {
        let mut spool = spool(10, 8);
        let full = SpoolPush::Full { event: vec![] };
        assert_eq!(spool.push(vec![]).unwrap(), full);
        spool.resume(10).unwrap();
        assert_eq!(batches(&mut spool), [10, 12]);
        spool.acknowledge(11);
        assert_eq!(batches(&mut spool), [14]);
        spool.acknowledge(99);
        assert_eq!(spool.oldest(), 16, "unsent events are not acknowledged");
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
    fn send_overlap_one_batch_at_a_time() {
        let mut spool = spool(0, 6);
        spool.resume(3).unwrap();
        assert_eq!(batches(&mut spool), [0]);
        spool.acknowledge(3);
        assert_eq!(batches(&mut spool), [2, 4], "all events from 3 on are new");
        spool.acknowledge(6);
        assert_eq!((spool.oldest(), spool.end()), (6, 6));
    }
}
