//! Damages valid bytes as the fuzzer directs, to reach code that random bytes never would.

/// Most edits per run.
const EDITS_MAX: usize = 16;

/// Applies `edits` of five bytes each: kind, position (two bytes), value, length.
pub fn apply(mut bytes: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.chunks_exact(5).take(EDITS_MAX) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % bytes.len();
        let (value, length) = (edit[3], usize::from(edit[4]));
        let end = (at + length).min(bytes.len());
        match edit[0] % 6 {
            0 => bytes[at] ^= value,
            1 => bytes[at] = value,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                // Copies a range to another position.
                let range = bytes[at..end].to_vec();
                let to = usize::from(value) * bytes.len() / 256;
                bytes.splice(to..to, range);
            }
            _ => bytes[at..end].fill(value),
        }
    }
    bytes
}

/// Splits the bytes into pieces of `length`, at least 1.
pub fn pieces(bytes: &[u8], length: u8) -> Vec<&[u8]> {
    bytes.chunks(usize::from(length).max(1)).collect()
}
