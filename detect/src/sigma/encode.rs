//! Encodings that can hide a text: base64 at any offset, and UTF-16.

use rsigma_parser::Modifier;

use crate::sigma::issue::{Issue, SigmaResult};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns the texts that `bytes` can become under `encodings`, applied from left to right.
pub(crate) fn forms(bytes: Vec<u8>, encodings: &[Modifier]) -> SigmaResult<Vec<String>> {
    // Rules use at most two (`wide|base64offset`); each can triple the number of forms.
    if encodings.len() > 4 {
        return Err(Issue::new("more than four encodings"));
    }
    let mut forms = vec![bytes];
    for encoding in encodings {
        forms = forms
            .iter()
            .map(|form| encode(form, *encoding))
            .collect::<SigmaResult<Vec<_>>>()?
            .concat();
    }
    if forms.is_empty() {
        return Err(Issue::new(
            "an empty text has no encoded form to search for",
        ));
    }
    forms
        .into_iter()
        .map(|form| {
            String::from_utf8(form).map_err(|_| {
                Issue::new("UTF-16 cannot be compared with text directly")
                    .hint("add `base64` or `base64offset` after it")
            })
        })
        .collect()
}

fn encode(bytes: &[u8], encoding: Modifier) -> SigmaResult<Vec<Vec<u8>>> {
    match encoding {
        Modifier::Base64 => Ok(vec![base64(bytes)]),
        Modifier::Base64Offset => Ok(offsets(bytes)),
        Modifier::Wide => utf16(bytes, "", u16::to_le_bytes),
        Modifier::Utf16be => utf16(bytes, "", u16::to_be_bytes),
        // The byte order mark comes first.
        Modifier::Utf16 => utf16(bytes, "\u{feff}", u16::to_le_bytes),
        // The caller passes only encodings.
        _ => Err(Issue::new("unknown encoding")),
    }
}

fn utf16(bytes: &[u8], mark: &str, order: fn(u16) -> [u8; 2]) -> SigmaResult<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Issue::new("UTF-16 is applied twice"))?;
    let units = mark.encode_utf16().chain(text.encode_utf16());
    Ok(vec![units.flat_map(order).collect()])
}

/// The base64 forms of `bytes` at each of the three offsets in a group of three bytes.
///
/// Each form is the part of the encoding that does not depend on the bytes before and after.
fn offsets(bytes: &[u8]) -> Vec<Vec<u8>> {
    (0..3usize)
        .filter_map(|offset| {
            let mut padded = vec![b' '; offset];
            padded.extend_from_slice(bytes);
            let start = [0, 2, 3][offset];
            let open = [0, 3, 2][padded.len() % 3];
            let encoded = base64(&padded);
            let end = encoded.len().checked_sub(open)?;
            encoded.get(start..end).map(<[u8]>::to_vec)
        })
        // At some offsets a text of one byte determines no character, and an empty form would match
        // everything.
        .filter(|form| !form.is_empty())
        .collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= group.len() {
                out.push(ALPHABET[(word >> (18 - 6 * place) & 63) as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encode_the_base64_vectors_of_rfc_4648() {
        for (plain, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), expected.as_bytes(), "{plain:?}");
        }
    }

    #[test]
    fn find_a_text_at_every_base64_offset() {
        let forms = forms(b"http://".to_vec(), &[Modifier::Base64Offset]).unwrap();
        for before in ["", "x", "xy", "xyz"] {
            let whole = base64(format!("{before}http://host").as_bytes());
            let whole = String::from_utf8(whole).unwrap();
            assert!(
                forms.iter().any(|form| whole.contains(form)),
                "{before:?}: {whole}"
            );
        }
    }
}
