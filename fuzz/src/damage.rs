//! Edits of sound bytes as the fuzzer asks for them: what random bytes alone would never get to.

/// Most edits of one run.
const EDITS_MAX: usize = 16;

/// Each edit is five bytes: its kind, a place, a value, a length.
pub fn apply(mut sound: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.chunks_exact(5).take(EDITS_MAX) {
        if sound.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % sound.len();
        let (value, length) = (edit[3], usize::from(edit[4]));
        let end = (at + length).min(sound.len());
        match edit[0] % 6 {
            0 => sound[at] ^= value,
            1 => sound[at] = value,
            2 => sound.truncate(at),
            3 => drop(sound.drain(at..end)),
            4 => {
                // Spliced: a stretch once more, elsewhere.
                let stretch = sound[at..end].to_vec();
                let to = usize::from(value) * sound.len() / 256;
                sound.splice(to..to, stretch);
            }
            _ => sound[at..end].fill(value),
        }
    }
    sound
}

/// The bytes in pieces: their lengths go round through `lengths`.
pub fn pieces(bytes: &[u8], length: u8) -> Vec<&[u8]> {
    bytes.chunks(usize::from(length).max(1)).collect()
}
