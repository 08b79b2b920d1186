//! The channels of senders that ask for acknowledgements, and how many ids each was given.
//!
//! An id is given only once its events are durable, so every id that was given is acknowledged, and
//! nothing has to be kept of it but how many there are. A restart forgets them; whoever asks then is
//! told `false` and sends again, as Splunk's clients do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Channels that are remembered; the one that was not used for longest goes.
const CHANNELS_MAX: usize = 1_000;

#[derive(Default)]
pub(crate) struct Channels(Mutex<Known>);

#[derive(Default)]
struct Known {
    channels: HashMap<u128, Channel>,
    /// Counts uses, to tell which was last.
    uses: u64,
}

#[derive(Default)]
struct Channel {
    issued: u64,
    used: u64,
}

impl Channels {
    /// The next id of a channel, and whether another channel was forgotten for it.
    pub(super) fn issue(&self, channel: u128) -> (u64, bool) {
        // What it guards is whole after each statement.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut evicted = false;
        if !known.channels.contains_key(&channel) && known.channels.len() == CHANNELS_MAX {
            let oldest = known
                .channels
                .iter()
                .min_by_key(|(_, channel)| channel.used);
            let oldest = oldest.map(|(id, _)| *id);
            evicted = oldest.and_then(|id| known.channels.remove(&id)).is_some();
        }
        known.uses += 1;
        let uses = known.uses;
        let channel = known.channels.entry(channel).or_default();
        let id = channel.issued;
        channel.issued += 1;
        channel.used = uses;
        (id, evicted)
    }

    /// How many ids a channel was given: all below it are durable.
    pub(super) fn issued(&self, channel: u128) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let uses = known.uses;
        known.channels.get_mut(&channel).map_or(0, |channel| {
            channel.used = uses;
            channel.issued
        })
    }
}

/// Reads a GUID, with hyphens where they belong.
pub(super) fn guid(text: &str) -> Option<u128> {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits: String = parts.concat();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if lengths != [8, 4, 4, 4, 12] || !hexadecimal {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_by_channel_and_the_oldest_channel_goes() {
        let channels = Channels::default();
        assert_eq!(
            (channels.issue(7), channels.issue(7)),
            ((0, false), (1, false))
        );
        for channel in 1..CHANNELS_MAX as u128 {
            assert!(!channels.issue(channel + 7).1);
        }
        assert_eq!(
            channels.issued(7),
            2,
            "it was asked for, so it is not the oldest"
        );
        assert!(channels.issue(1).1);
        assert_eq!(
            (channels.issued(7), channels.issued(8), channels.issued(9)),
            (2, 0, 1)
        );
    }

    #[test]
    fn a_channel_is_a_guid() {
        assert_eq!(guid("00000000-0000-0000-0000-0000000000Ff"), Some(255));
        for text in ["", "1", "0-0-0-0-0", "00000000-0000-0000-0000-00000000000g"] {
            assert_eq!(guid(text), None, "{text}");
        }
        assert_eq!(guid("+0000000-0000-0000-0000-000000000000"), None);
    }
}
