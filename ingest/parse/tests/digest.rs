//! The digest of the reading: a change of what any sample line becomes must raise the reading number.

mod common;

#[allow(dead_code, reason = "the tests that own these lines use the rest")]
#[path = "carriers/carriers.rs"]
mod carriers;
#[allow(dead_code, reason = "the tests that own these lines use the rest")]
#[path = "laws/lines.rs"]
mod laws;
#[allow(dead_code, reason = "the tests that own these lines use the rest")]
#[path = "carriers/lines.rs"]
mod lines;

use weir_parse::{decode, event_json};
use weir_schema::{Format, READING_DIGEST, READING_NUMBER};

use common::{context, log_source};

/// FNV-1a with 64 bits.
#[derive(Debug)]
struct Digest(u64);

impl Digest {
    fn add(&mut self, text: &str) {
        // The length separates two texts.
        let length = (text.len() as u64).to_le_bytes();
        for byte in text.bytes().chain(length) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add_event_of(&mut self, line: &str) {
        let event = decode(line.as_bytes(), &context(Format::Auto));
        self.add(&log_source(&event));
        self.add(&event_json(&event));
    }
}

#[test]
fn the_reading_has_its_digest() {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    digest.add(&READING_NUMBER.to_string());
    for line in laws::LINES {
        digest.add_event_of(line);
    }
    for line in &lines::LINES {
        digest.add_event_of(&line.kind.plain());
        for (_, carry) in carriers::CARRIERS {
            if let Ok(frame) = carry(line.kind) {
                digest.add_event_of(&frame);
            }
        }
    }
    assert_eq!(
        digest.0, READING_DIGEST,
        "reading changed: raise READING_NUMBER and set the digest (schema/src/reading.rs) to {:#x}; \
         a number that no release has had yet stays",
        digest.0
    );
}
