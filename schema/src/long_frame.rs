//! Frames beyond the cap: head and tail are kept, with a marker of what was left out between them.
//!
//! ```text
//!  <13>1 … AAAAAAAA[weir left out 1234 bytes]BBBBBBBB …
//!  └ head ────────┘                          └ tail ──┘   together at most the cap
//! ```
//!
//! The marker is data like any other: a sender that writes one itself only gets the problem
//! `truncated` on its own event.

use std::ops::Range;

/// The start of the marker; the number of bytes follows it.
const MARKER_START: &str = "[weir left out ";

/// The end of the marker.
const MARKER_END: &str = " bytes]";

/// Room that is reserved for a marker: both texts and the digits of the largest number.
const MARKER_BYTES_MAX: usize = MARKER_START.len() + 20 + MARKER_END.len();

/// Smallest cap at which a tail is kept. Below it, the head alone would be shorter than a marker.
const TAIL_CAP_MIN: usize = 256;

/// Cap of a frame: above the 8 KiB of RFC 5424 senders, and the size of a UDP datagram.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// Collects the bytes of one frame in bounded memory: at most the cap and twice the tail.
#[derive(Debug)]
pub struct FrameBuffer {
    cap: usize,
    /// The first bytes, at most the cap.
    head: Vec<u8>,
    /// The last bytes after the head; older ones are dropped.
    rest: Vec<u8>,
    /// Number of all bytes after the head.
    rest_total: u64,
}

/// Buffer capacity that is retained for the next frame; most frames are shorter.
const IDLE_CAPACITY_BYTES: usize = 1 << 10;

impl FrameBuffer {
    /// Creates an empty buffer. A cap of 0 counts as 1.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self {
            cap: cap.max(1),
            head: Vec::new(),
            rest: Vec::new(),
            rest_total: 0,
        }
    }

    /// The bytes of the tail that are kept.
    const fn tail_bytes(&self) -> usize {
        if self.cap < TAIL_CAP_MIN {
            0
        } else {
            self.cap / 4
        }
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.cap - self.head.len();
        let (first, more) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(first);
        if more.is_empty() {
            return;
        }
        self.rest_total += more.len() as u64;
        // One byte more than the tail: a line end may take the last one away.
        let most = self.tail_bytes() + 1;
        if more.len() >= most {
            self.rest.clear();
        } else if self.rest.len() + more.len() > 2 * most {
            let stale = (self.rest.len() + more.len() - most).min(self.rest.len());
            self.rest.drain(..stale);
        }
        self.rest
            .extend_from_slice(&more[more.len().saturating_sub(most)..]);
    }

    /// Removes the last byte if it is `byte`.
    pub fn strip_last(&mut self, byte: u8) {
        if self.rest_total > 0 {
            if self.rest.last() == Some(&byte) {
                self.rest.pop();
                self.rest_total -= 1;
            }
        } else if self.head.last() == Some(&byte) {
            self.head.pop();
        }
    }

    /// Whether no byte was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// The bytes, if there are at most as many as the cap.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        &self.head
    }

    /// Ends the frame: gives it to `take`, and returns the number of bytes that were left out.
    pub fn finish(&mut self, take: impl FnOnce(&[u8])) -> u64 {
        let left_out = if self.rest_total == 0 { 0 } else { self.cut() };
        take(&self.head);
        self.head.clear();
        self.rest.clear();
        self.head.shrink_to(IDLE_CAPACITY_BYTES);
        self.rest.shrink_to(0);
        self.rest_total = 0;
        left_out
    }

    /// Puts marker and tail behind a shortened head. Returns the number of bytes left out.
    fn cut(&mut self) -> u64 {
        let total = self.head.len() as u64 + self.rest_total;
        let tail_bytes = self.tail_bytes();
        if tail_bytes == 0 {
            return self.rest_total;
        }
        let of_rest = self.rest.len().min(tail_bytes);
        let of_head = match self.rest_total {
            // The rest is shorter than the tail: the tail begins in the head.
            rest if rest < tail_bytes as u64 => tail_bytes - of_rest,
            _ => 0,
        };
        let mut tail = self.head[self.head.len() - of_head..].to_vec();
        tail.extend_from_slice(&self.rest[self.rest.len() - of_rest..]);
        // A character that the cut splits would make the whole frame invalid UTF-8.
        let is_inner = |byte: &&u8| **byte & 0xC0 == 0x80;
        let split = tail.iter().take(3).take_while(is_inner).count();
        let tail = &tail[split..];
        self.head.truncate(self.cap - tail_bytes - MARKER_BYTES_MAX);
        let whole = whole_characters(&self.head);
        self.head.truncate(whole);
        let left_out = total - self.head.len() as u64 - tail.len() as u64;
        let marker = format!("{MARKER_START}{left_out}{MARKER_END}");
        self.head.extend_from_slice(marker.as_bytes());
        self.head.extend_from_slice(tail);
        left_out
    }
}

/// Length of `bytes` without a character that their end splits.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(4) {
        let at = bytes.len() - back;
        let needed = match bytes[at] {
            0x80..=0xBF => continue, // Inside of a character.
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => 1,
        };
        return if needed > back { at } else { bytes.len() };
    }
    bytes.len()
}

/// Cuts a frame that is in memory to `cap`, if it is longer. Returns the number of bytes left out.
pub fn cut_to_cap(frame: &mut Vec<u8>, cap: usize) -> u64 {
    if frame.len() <= cap {
        return 0;
    }
    let mut buffer = FrameBuffer::new(cap);
    buffer.push(frame);
    buffer.finish(|cut| {
        frame.clear();
        frame.extend_from_slice(cut);
    })
}

/// Whether a frame has the marker of bytes that were left out.
///
/// Only frames near [`FRAME_BYTES_MAX`] or above are searched: shorter ones were never cut.
#[must_use]
pub fn is_cut(frame: &[u8]) -> bool {
    frame.len() + 2 * MARKER_BYTES_MAX >= FRAME_BYTES_MAX && has_marker(frame)
}

fn has_marker(frame: &[u8]) -> bool {
    marker_place(frame).is_some()
}

/// The place of the first marker of bytes that were left out, in a frame or a part of one.
#[must_use]
pub fn marker_place(text: &[u8]) -> Option<Range<usize>> {
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte == b'[');
    starts.find_map(|(at, _)| {
        let number = text[at..].strip_prefix(MARKER_START.as_bytes())?;
        let digits = number
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let is_marker = digits > 0 && number[digits..].starts_with(MARKER_END.as_bytes());
        is_marker.then(|| at..at + MARKER_START.len() + digits + MARKER_END.len())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(cap: usize, pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut buffer = FrameBuffer::new(cap);
        let most = cap + 2 * (cap / 4 + 1) + 2;
        for piece in pieces {
            buffer.push(piece);
            assert!(buffer.head.len() + buffer.rest.len() <= most, "bounded");
        }
        let mut frame = Vec::new();
        let left_out = buffer.finish(|bytes| frame.extend_from_slice(bytes));
        assert!(buffer.is_empty());
        (frame, left_out)
    }

    /// W24: words behind 66,000 bytes of padding stay in the frame.
    #[test]
    fn head_and_tail_are_kept() {
        let mut line = b"<13>1 head ".to_vec();
        line.extend(std::iter::repeat_n(b'A', 66_000));
        line.extend_from_slice(b" the tail");
        let total = line.len();
        let left_out = cut_to_cap(&mut line, FRAME_BYTES_MAX);
        let text = String::from_utf8(line).expect("ASCII");
        assert!(text.starts_with("<13>1 head AAA") && text.ends_with("AAA the tail"));
        let marker = format!("A[weir left out {left_out} bytes]A");
        assert!(text.contains(&marker) && is_cut(text.as_bytes()));
        assert_eq!(text.len() + left_out as usize, total + marker.len() - 2);
        assert!(text.len() <= FRAME_BYTES_MAX);
    }

    #[test]
    fn a_cut_splits_no_character() {
        for lead in 0..4 {
            let mut line = vec![b'x'; lead];
            line.extend("€😀é".repeat(20_000).bytes());
            assert!(cut_to_cap(&mut line, FRAME_BYTES_MAX) > 0);
            assert!(std::str::from_utf8(&line).is_ok());
        }
    }

    #[test]
    fn short_frames_are_not_searched_for_markers() {
        let long = "[".repeat(FRAME_BYTES_MAX);
        let check = |text: &str| is_cut(text.as_bytes());
        assert!(!check("[weir left out 5 bytes]"));
        assert!(!check(&long));
        assert!(check(&format!("{long}[weir left out 5 bytes]")));
        assert!(!check(&format!("{long}[weir left out  bytes]")));
    }

    proptest! {
        /// W24: a frame does not depend on its pieces, is within the cap, and accounts for each byte.
        #[test]
        fn a_cut_is_independent_of_the_pieces(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
            cuts in proptest::collection::vec(0_usize..2_000, 0..8),
            cap in prop_oneof![1_usize..10, 250_usize..600],
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (frame, left_out) = collect(cap, &[&bytes]);
            prop_assert!(frame.len() <= cap);
            if bytes.len() <= cap {
                prop_assert_eq!((&frame, left_out), (&bytes, 0));
            } else {
                let marker = format!("{MARKER_START}{left_out}{MARKER_END}");
                let marker = if cap < TAIL_CAP_MIN { 0 } else { marker.len() };
                prop_assert_eq!(frame.len() - marker + left_out as usize, bytes.len());
                if marker > 0 {
                    prop_assert!(bytes.ends_with(&frame[frame.len() - 32..]));
                }
            }
            prop_assert_eq!(collect(cap, &pieces), (frame, left_out));
        }
    }
}
