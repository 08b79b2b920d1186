//! The raw frames of a batch, stored back to back in one buffer.
//!
//! Separate buffers would cost each frame an allocation when it is split off, another when it is
//! read back, and a cache miss at each access.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_bytes::Bytes;

/// Frames in order. Serializes as a sequence of byte strings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frames {
    bytes: Vec<u8>,
    /// End offset of each frame in `bytes`.
    ends: Vec<usize>,
}

impl Frames {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total bytes of all frames.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, frame: &[u8]) {
        self.push_parts(&[frame]);
    }

    /// Adds one frame: the concatenation of `parts`.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    #[must_use]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before));
        self.bytes.get(from.copied().unwrap_or(0)..end)
    }

    pub fn iter(&self) -> FrameIter<'_> {
        FrameIter {
            bytes: &self.bytes,
            from: 0,
            ends: self.ends.iter(),
        }
    }

    /// Removes all frames and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The frames of a [`Frames`], in order.
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    bytes: &'a [u8],
    from: usize,
    ends: std::slice::Iter<'a, usize>,
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = *self.ends.next()?;
        let from = std::mem::replace(&mut self.from, end);
        self.bytes.get(from..end)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for FrameIter<'_> {}

impl<'a> IntoIterator for &'a Frames {
    type Item = &'a [u8];
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

impl<F: AsRef<[u8]>> Extend<F> for Frames {
    fn extend<I: IntoIterator<Item = F>>(&mut self, frames: I) {
        for frame in frames {
            self.push(frame.as_ref());
        }
    }
}

impl<F: AsRef<[u8]>> FromIterator<F> for Frames {
    fn from_iter<I: IntoIterator<Item = F>>(frames: I) -> Self {
        let mut all = Self::new();
        all.extend(frames);
        all
    }
}

impl<F: AsRef<[u8]>, const N: usize> From<[F; N]> for Frames {
    fn from(frames: [F; N]) -> Self {
        frames.into_iter().collect()
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |frame| String::from_utf8_lossy(frame).into_owned();
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

impl Serialize for Frames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for frame in self {
            list.serialize_element(Bytes::new(frame))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Frames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FramesVisitor)
    }
}

/// Most frames reserved from a stored length, which may be damaged.
const RESERVED_FRAMES_MAX: usize = 4_096;

struct FramesVisitor;

impl<'de> Visitor<'de> for FramesVisitor {
    type Value = Frames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of byte strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Frames, A::Error> {
        let mut frames = Frames::new();
        let expected = list.size_hint().unwrap_or(0).min(RESERVED_FRAMES_MAX);
        frames.ends.reserve(expected);
        while list.next_element_seed(FrameSeed(&mut frames))?.is_some() {}
        Ok(frames)
    }
}

/// Deserializes one frame directly into the buffer.
struct FrameSeed<'f>(&'f mut Frames);

impl<'de> DeserializeSeed<'de> for FrameSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for FrameSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, frame: &[u8]) -> Result<(), E> {
        self.0.push(frame);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_bytes::ByteBuf;

    use super::Frames;

    proptest! {
        /// The journal's bytes equal those of a list of byte strings.
        #[test]
        fn serialize_like_list_of_byte_strings(
            list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        ) {
            let frames: Frames = list.iter().collect();
            let plain: Vec<ByteBuf> = list.iter().cloned().map(ByteBuf::from).collect();
            let bytes = postcard::to_stdvec(&frames).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&plain).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Frames>(&bytes).unwrap(), frames.clone());
            prop_assert_eq!(frames.iter().collect::<Vec<_>>(), list.iter().collect::<Vec<_>>());
            for at in 0..=list.len() {
                prop_assert_eq!(frames.get(at), list.get(at).map(Vec::as_slice));
            }
            prop_assert_eq!(frames.bytes(), list.concat().len());
        }
    }
}
