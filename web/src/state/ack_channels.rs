//! The acknowledgement channels of the HTTP Event Collector: how many ids each was given.
//!
//! A channel gets an id only once its events are durable. Every id that was given out is therefore
//! acknowledged, and a channel needs no more than a counter. A restart forgets all channels; their
//! clients then read `false` and send again, as Splunk's clients do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Channels in memory; a new one evicts the least recently used.
const CHANNELS_MAX: usize = 1_000;

/// All acknowledgement channels, by their GUIDs.
#[derive(Default)]
pub(crate) struct AckChannels(Mutex<ChannelTable>);

/// An acknowledgement id that was given to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IssuedAck {
    pub(crate) id: u64,
    /// Whether another channel was evicted for this one.
    pub(crate) evicted: bool,
}

#[derive(Default)]
struct ChannelTable {
    channels: HashMap<u128, AckChannel>,
    /// Counts all uses of channels; the order of use.
    uses: u64,
}

#[derive(Default)]
struct AckChannel {
    /// Number of ids given out.
    issued: u64,
    /// The value of `uses` at its last use.
    used: u64,
}

impl AckChannels {
    /// Gives a channel its next id.
    pub(crate) fn issue(&self, channel: u128) -> IssuedAck {
        // A panic leaves the table consistent: each statement is a whole change.
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut evicted = false;
        if !table.channels.contains_key(&channel) && table.channels.len() == CHANNELS_MAX {
            let oldest = table
                .channels
                .iter()
                .min_by_key(|(_, channel)| channel.used);
            let oldest = oldest.map(|(id, _)| *id);
            evicted = oldest.and_then(|id| table.channels.remove(&id)).is_some();
        }
        table.uses += 1;
        let uses = table.uses;
        let channel = table.channels.entry(channel).or_default();
        let id = channel.issued;
        channel.issued += 1;
        channel.used = uses;
        IssuedAck { id, evicted }
    }

    /// Returns the number of ids a channel was given; the events of all lower ids are durable.
    pub(crate) fn issued(&self, channel: u128) -> u64 {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.uses += 1;
        let uses = table.uses;
        table.channels.get_mut(&channel).map_or(0, |channel| {
            channel.used = uses;
            channel.issued
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_ids_by_channel_and_evict_the_least_recently_used() {
        let channels = AckChannels::default();
        let issued = |id| IssuedAck { id, evicted: false };
        assert_eq!(channels.issue(7), issued(0));
        assert_eq!(channels.issue(7), issued(1));
        for channel in 1..CHANNELS_MAX as u128 {
            assert!(!channels.issue(channel + 7).evicted);
        }
        assert_eq!(channels.issued(7), 2, "reading a channel uses it");
        assert!(channels.issue(1).evicted);
        assert_eq!(
            (channels.issued(7), channels.issued(8), channels.issued(9)),
            (2, 0, 1)
        );
    }
}
