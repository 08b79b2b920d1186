//! What stands behind the checksums of journal and ledger, and what another process says, is read or
//! refused.

use weir_dataflow::door::{Part, read};
use weir_schema::Entry;
use weir_store::door;

use crate::damage;
use crate::journal::{change, entries};

/// The first byte says what the others are, the second which of a kind.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    let [way, which, rest @ ..] = bytes else {
        return;
    };
    match way % 4 {
        0 => payload(*which, rest),
        1 => {
            let sound: Vec<u8> = entries().iter().flat_map(encoded).collect();
            payload(*which, &damage::apply(sound, rest));
        }
        2 => pair(*which, rest),
        _ => {
            let parts = [Part::Handshake, Part::Talk, Part::Frames];
            let part = parts[usize::from(*which) % parts.len()];
            // Each value takes the four bytes of its length at least.
            assert!(read(part, &mut &*rest) <= rest.len() / 4);
        }
    }
}

fn encoded(entry: &Entry) -> Vec<u8> {
    door::encoded(entry).expect("an entry has an encoding")
}

fn payload(which: u8, bytes: &[u8]) {
    let raw = if which & 1 == 0 {
        u32::try_from(bytes.len()).expect("the fuzzer makes up a few kilobytes")
    } else {
        1 << 16
    };
    let counts = (u32::from(which >> 1) % 16, u32::from(which >> 5));
    if let Some(entries) = door::entries(bytes, which & 1 == 1, raw, counts) {
        assert_eq!(entries.len(), counts.0 as usize);
    }
}

fn pair(which: u8, bytes: &[u8]) {
    let key = [*b"rhomx".get(usize::from(which) % 5).unwrap_or(&b'r'); 17];
    let _ = door::takes(&key, bytes);
    let _ = door::takes_body(&key, bytes);
    let sound = if which & 8 == 0 {
        door::encoded(&change().record)
    } else {
        door::encoded(&change())
    };
    let sound = sound.expect("a record has an encoding");
    assert!(door::takes_body(
        if which & 8 == 0 { b"r" } else { b"h" },
        &sound
    ));
    let _ = door::takes_body(&key, &damage::apply(sound, bytes));
}
