//! Entry points of the fuzzer to the RELP code. They are not part of the public interface.

pub use super::frame::RelpFrame;
use super::frame::RelpFramer;
use super::offer;

/// The frames in `pieces`, and whether the stream is valid RELP to its end.
pub fn frames(pieces: &[&[u8]], data_bytes_max: usize) -> (Vec<RelpFrame>, bool) {
    let mut framer = RelpFramer::new(data_bytes_max);
    let mut frames = Vec::new();
    let mut is_relp = true;
    for piece in pieces {
        is_relp = is_relp && framer.push(piece, &mut frames).is_ok();
    }
    (frames, is_relp)
}

/// Whether the server accepts the offers of an `open` frame.
pub fn accepts_offer(offer: &[u8]) -> bool {
    offer::negotiate(offer).is_ok()
}
