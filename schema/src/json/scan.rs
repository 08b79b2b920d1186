//! Finds the first special byte in a JSON string: a quote, backslash or control character.

const EIGHT: usize = 8;

/// Number of bytes before the first special byte; eight if there is none.
#[inline(always)]
fn plain_len_of_eight(bytes: [u8; EIGHT]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The lowest marked byte is correct. Marks above it may come from a borrow.
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let word = u64::from_le_bytes(bytes);
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let escape = is_zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    (quote | escape | control).trailing_zeros() as usize / EIGHT
}

/// Number of bytes before the first quote, backslash or control character.
///
/// Reads eight bytes at a time. Most strings are too short for a vector search to pay off.
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let plain = plain_len_of_eight(*eight);
        if plain < EIGHT {
            return bytes.len() - rest.len() + plain;
        }
        rest = tail;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let tail_len = rest.iter().position(is_special).unwrap_or(rest.len());
    bytes.len() - rest.len() + tail_len
}

/// Appends the bytes before the first special byte to `out`; returns their number.
///
/// Copies eight bytes at a time. Most runs between two escapes are too short for a `memcpy` to pay
/// off.
#[inline]
pub fn copy_plain(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let plain = plain_len_of_eight(*eight);
        out.extend_from_slice(eight);
        if plain < EIGHT {
            out.truncate(out.len() - EIGHT + plain);
            return bytes.len() - rest.len() + plain;
        }
        rest = tail;
    }
    let tail_len = plain_len(rest);
    out.extend(rest.iter().take(tail_len));
    bytes.len() - rest.len() + tail_len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{copy_plain, plain_len};

    fn plain_len_bytewise(bytes: &[u8]) -> usize {
        let is_special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        bytes.iter().position(is_special).unwrap_or(bytes.len())
    }

    /// Covers the neighbours of special bytes, and bytes that a borrow could mark.
    #[test]
    fn find_every_byte_at_every_index() {
        for byte in 0..=u8::MAX {
            for index in 0..20 {
                let mut bytes = [b'!'; 20];
                bytes[index] = byte;
                let expected = plain_len_bytewise(&bytes);
                assert_eq!(plain_len(&bytes), expected, "{byte} at {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn plain_len_agrees_with_bytewise_search(
            bytes in prop::collection::vec(0x1e..0x60u8, 0..40),
        ) {
            let plain = plain_len_bytewise(&bytes);
            prop_assert_eq!(plain_len(&bytes), plain);
            let mut out = b"before".to_vec();
            prop_assert_eq!(copy_plain(&bytes, &mut out), plain);
            prop_assert_eq!(out, [b"before", &bytes[..plain]].concat());
        }
    }
}
