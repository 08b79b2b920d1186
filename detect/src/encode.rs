//! The encodings in which attackers hide a text: base64 at any offset, and UTF-16.

use rsigma_parser::Modifier;

use crate::diagnostic::{Checked, Refusal};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// All texts that `bytes` may look like after `encodings`, applied from left to right.
pub(crate) fn forms(bytes: Vec<u8>, encodings: &[Modifier]) -> Checked<Vec<String>> {
    // Two encodings are in use at most (`wide|base64offset`); each may triple the forms.
    if encodings.len() > 4 {
        return Err(Refusal::new("more than four encodings"));
    }
    let mut forms = vec![bytes];
    for encoding in encodings {
        forms = forms
            .iter()
            .map(|form| encode(form, *encoding))
            .collect::<Checked<Vec<_>>>()?
            .concat();
    }
    if forms.is_empty() {
        return Err(Refusal::new("an empty text has no encoding to look for"));
    }
    forms
        .into_iter()
        .map(|form| {
            String::from_utf8(form).map_err(|_| {
                Refusal::new("UTF-16 cannot be compared with text as it is")
                    .hint("add `base64` or `base64offset` behind it")
            })
        })
        .collect()
}

fn encode(bytes: &[u8], encoding: Modifier) -> Checked<Vec<Vec<u8>>> {
    match encoding {
        Modifier::Base64 => Ok(vec![base64(bytes)]),
        Modifier::Base64Offset => Ok(offsets(bytes)),
        Modifier::Wide => utf16(bytes, "", u16::to_le_bytes),
        Modifier::Utf16be => utf16(bytes, "", u16::to_be_bytes),
        // The byte order mark comes first.
        Modifier::Utf16 => utf16(bytes, "\u{feff}", u16::to_le_bytes),
        // The caller passes on no others.
        _ => Err(Refusal::new("no such encoding")),
    }
}

fn utf16(bytes: &[u8], mark: &str, order: fn(u16) -> [u8; 2]) -> Checked<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::new("UTF-16 twice over"))?;
    let units = mark.encode_utf16().chain(text.encode_utf16());
    Ok(vec![units.flat_map(order).collect()])
}

/// The part of the encoding that does not depend on what stands before and behind, for each of
/// the three places in a group of three bytes at which the text may start.
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
        // A text of one byte leaves nothing certain at some offsets, and nothing is everywhere.
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
    fn base64_is_as_in_rfc_4648() {
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
    fn a_text_is_found_at_every_offset() {
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
