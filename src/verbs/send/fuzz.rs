//! Entry point of the fuzzer for the input of `weir send`; not part of the public interface.

use std::io::Cursor;

use super::lines::{ChangedLines, SendInput};

/// The texts that are sent.
pub fn lines(bytes: Vec<u8>) -> std::io::Result<Vec<String>> {
    let mut input = SendInput::new("fuzz", Box::new(Cursor::new(bytes)));
    let mut changed = ChangedLines::default();
    let mut all = Vec::new();
    loop {
        let next = input.next_lines()?;
        if next.is_empty() {
            return Ok(all);
        }
        all.extend(next.iter().map(|line| line.text(&mut changed).into_owned()));
    }
}
