//! What is read of a server's answers: the fuzzer's way in, part of no interface.

use serde_json::Value;

use super::client;

/// Status and body of a whole answer, where it is one.
pub fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    crate::http::parse(bytes).map(|answer| (answer.status, answer.body))
}

/// The chunks of a stream, and whether it ended as it should.
pub fn stream(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    if !client::read_head(&mut rest).unwrap_or(false) {
        return (chunks, false);
    }
    loop {
        match client::read_chunk(&mut rest) {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, true),
            Err(_) => return (chunks, false),
        }
    }
}

/// What `weir explain` prints of two bodies.
pub fn explained(explanation: &Value, changes: &Value) -> String {
    crate::explain_alert::words(explanation, changes)
}
