//! Entry points for the fuzzer: decodes what other processes send. Part of no interface.

use std::io::Read;

use weir_schema::Batch;

use super::messages::{ClusterMessage, MESSAGE_BYTES_MAX};
use super::{batches, handshake, wire};

/// The connection or phase that the bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
    Handshake,
    Messages,
    Batches,
}

/// Counts the values that can be read before one is refused or the bytes end.
pub fn read(phase: ConnectionPhase, bytes: &mut impl Read) -> usize {
    let mut values = 0;
    while read_value(phase, bytes).is_ok() {
        values += 1;
    }
    values
}

fn read_value(phase: ConnectionPhase, bytes: &mut impl Read) -> std::io::Result<()> {
    match phase {
        ConnectionPhase::Handshake => {
            handshake::read_hello(&wire::receive(bytes, handshake::HELLO_BYTES_MAX)?)
        }
        ConnectionPhase::Messages => {
            let message = wire::receive(bytes, MESSAGE_BYTES_MAX)?;
            wire::decode::<ClusterMessage>(&message).map(drop)
        }
        ConnectionPhase::Batches => {
            let answer = wire::receive(bytes, batches::ANSWER_BYTES_MAX)?;
            wire::decode::<Result<Batch, String>>(&answer).map(drop)
        }
    }
}
