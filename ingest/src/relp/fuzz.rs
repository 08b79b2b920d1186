//! What is cut out of the bytes of a RELP connection: the fuzzer's way in, part of no interface.

use super::frame::{RelpFrame, RelpFramer};
use super::offer;

/// Transaction, command, data, and how much of the data was skipped.
pub type Read = (u32, String, Vec<u8>, usize);

/// The frames in `pieces`, and whether the stream is RELP to its end.
pub fn frames(pieces: &[&[u8]], data_bytes_max: usize) -> (Vec<Read>, bool) {
    let mut framer = RelpFramer::new(data_bytes_max);
    let mut frames = Vec::new();
    let mut is_relp = true;
    for piece in pieces {
        is_relp = is_relp && framer.push(piece, &mut frames).is_ok();
    }
    let read = |frame: RelpFrame| (frame.transaction, frame.command, frame.data, frame.skipped);
    (frames.into_iter().map(read).collect(), is_relp)
}

/// Whether the data of `open` is agreed to.
pub fn accepts_offer(offer: &[u8]) -> bool {
    offer::negotiate(offer).is_ok()
}
