//! What is read of what another process says: the fuzzer's way in, part of no interface.

use std::io::Read;

use weir_schema::Batch;

use super::talk::{WORD_BYTES_MAX, Word};
use super::{frames, join, wire};

/// In which part of a connection the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Handshake,
    Talk,
    Frames,
}

/// How many values are read before one is refused, or the bytes end.
pub fn read(part: Part, bytes: &mut impl Read) -> usize {
    let mut values = 0;
    while one(part, bytes).is_ok() {
        values += 1;
    }
    values
}

fn one(part: Part, bytes: &mut impl Read) -> std::io::Result<()> {
    match part {
        Part::Handshake => join::read_hello(&wire::receive(bytes, join::HELLO_BYTES_MAX)?),
        Part::Talk => {
            let word = wire::receive(bytes, WORD_BYTES_MAX)?;
            wire::decode::<Word>(&word).map(drop)
        }
        Part::Frames => {
            let answer = wire::receive(bytes, frames::ANSWER_BYTES_MAX)?;
            wire::decode::<Result<Batch, String>>(&answer).map(drop)
        }
    }
}
