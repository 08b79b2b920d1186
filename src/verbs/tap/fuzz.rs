//! Entry points of the fuzzer for answers of a server; not part of the public interface.

use serde_json::Value;

use super::stream;
use crate::verbs::client::HttpAnswer;
use crate::verbs::explain::explanation_text;

/// Parses an answer. Returns its status and body; `None` if it is not whole.
pub fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    HttpAnswer::parse(bytes).map(|answer| (answer.status, answer.body))
}

/// Reads the chunks of a stream. Also returns whether it ended properly.
pub fn chunks(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    if !stream::read_head(&mut rest).unwrap_or(false) {
        return (chunks, false);
    }
    loop {
        match stream::read_chunk(&mut rest) {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, true),
            Err(_) => return (chunks, false),
        }
    }
}

/// The output of `weir explain` for two bodies.
pub fn explained(explanation: &Value, changes: &Value) -> String {
    explanation_text(explanation, changes)
}
