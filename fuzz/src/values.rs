//! Checks that values of the journal, the ledger and other processes are read or refused.
//!
//! These values are normally protected by checksums, which the checks bypass.

use weir_dataflow::fuzz::{ConnectionPhase, read};
use weir_schema::Entry;
use weir_store::fuzz;

use crate::damage;
use crate::journal::{change, entries};

/// Checks one input. The first byte selects the kind of value, the second a variant of it.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let [kind, which, rest @ ..] = bytes else {
        return;
    };
    match kind % 4 {
        0 => payload(*which, rest),
        1 => {
            let valid: Vec<u8> = entries().iter().flat_map(encode).collect();
            payload(*which, &damage::apply(valid, rest));
        }
        2 => pair(*which, rest),
        _ => {
            let phases = [
                ConnectionPhase::Handshake,
                ConnectionPhase::Messages,
                ConnectionPhase::Batches,
            ];
            let phase = phases[usize::from(*which) % phases.len()];
            // Each value takes at least the four bytes of its length.
            assert!(read(phase, &mut &*rest) <= rest.len() / 4);
        }
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    fuzz::encode(entry).expect("an entry has an encoding")
}

fn payload(which: u8, bytes: &[u8]) {
    let raw = if which & 1 == 0 {
        u32::try_from(bytes.len()).expect("inputs have a few kilobytes")
    } else {
        1 << 16
    };
    let (entries, batches) = (u32::from(which >> 1) % 16, u32::from(which >> 5));
    let decoded = fuzz::decode_payload(bytes, which & 1 == 1, raw, entries, batches);
    if let Some(decoded) = decoded {
        assert_eq!(decoded.len(), entries as usize);
    }
}

fn pair(which: u8, bytes: &[u8]) {
    let key = [*b"rhomx".get(usize::from(which) % 5).unwrap_or(&b'r'); 17];
    let _ = fuzz::accepts(&key, bytes);
    let _ = fuzz::accepts_body(&key, bytes);
    let valid = if which & 8 == 0 {
        fuzz::encode(&change().record)
    } else {
        fuzz::encode(&change())
    };
    let valid = valid.expect("a record has an encoding");
    assert!(fuzz::accepts_body(
        if which & 8 == 0 { b"r" } else { b"h" },
        &valid
    ));
    let _ = fuzz::accepts_body(&key, &damage::apply(valid, bytes));
}
