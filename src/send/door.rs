//! What `weir send` reads of its input: the fuzzer's way in, part of no interface.

use std::io::Cursor;

use super::{Lines, Odd};

/// The lines as they are sent.
pub fn lines(bytes: Vec<u8>) -> std::io::Result<Vec<String>> {
    let mut lines = Lines::new("fuzz", Box::new(Cursor::new(bytes)));
    let mut odd = Odd::default();
    let mut all = Vec::new();
    loop {
        let some = lines.some()?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some.iter().map(|line| line.text(&mut odd).into_owned()));
    }
}
