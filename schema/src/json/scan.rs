//! Finds where the plain part of a JSON string ends.

const EIGHT: usize = 8;

/// How many bytes come before the first quote, backslash or control character; eight: none is here.
#[inline(always)]
fn plain_of(eight: [u8; EIGHT]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The lowest byte that is marked is one that stops; what is marked above it may be a borrow.
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let word = u64::from_le_bytes(eight);
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let escape = is_zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    (quote | escape | control).trailing_zeros() as usize / EIGHT
}

/// How many bytes come before the first quote, backslash or control character.
///
/// Eight at a time: most strings are too short for a vector search to pay for its beginning.
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let plain = plain_of(*eight);
        if plain < EIGHT {
            return bytes.len() - rest.len() + plain;
        }
        rest = tail;
    }
    let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let short = rest.iter().position(stops).unwrap_or(rest.len());
    bytes.len() - rest.len() + short
}

/// As [`run`], and adds those bytes to `out`. Eight at a time too: most runs between two escapes are
/// too short for a copy of their own.
#[inline]
pub fn copy_plain(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let plain = plain_of(*eight);
        out.extend_from_slice(eight);
        if plain < EIGHT {
            out.truncate(out.len() - EIGHT + plain);
            return bytes.len() - rest.len() + plain;
        }
        rest = tail;
    }
    let short = plain_len(rest);
    out.extend(rest.iter().take(short));
    bytes.len() - rest.len() + short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{copy_plain, plain_len};

    fn one_by_one(bytes: &[u8]) -> usize {
        let stops = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        bytes.iter().position(stops).unwrap_or(bytes.len())
    }

    /// Bytes around those that stop, and those whose neighbours a borrow could mark.
    #[test]
    fn every_byte_in_every_place_is_told_right() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = [b'!'; 20];
                bytes[place] = byte;
                assert_eq!(plain_len(&bytes), one_by_one(&bytes), "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_where_a_walk_finds_it(bytes in prop::collection::vec(0x1e..0x60u8, 0..40)) {
            let plain = one_by_one(&bytes);
            prop_assert_eq!(plain_len(&bytes), plain);
            let mut out = b"before".to_vec();
            prop_assert_eq!(copy_plain(&bytes, &mut out), plain);
            prop_assert_eq!(out, [b"before", &bytes[..plain]].concat());
        }
    }
}
