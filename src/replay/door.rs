//! What is read of files: the fuzzer's way in, part of no interface.

use std::path::Path;

use super::input::Lines;

/// Hands the lines of a file on, each with its number. Why there are no more of them; `None`: the
/// file has ended.
pub fn lines(file: &Path, mut each: impl FnMut(u64, &[u8])) -> Option<String> {
    let mut lines = match Lines::open(file) {
        Ok(lines) => lines,
        Err(error) => return Some(error.to_string()),
    };
    let mut buffer = Vec::new();
    loop {
        match lines.next(&mut buffer) {
            Ok(Some(line)) => each(line.number, line.bytes),
            Ok(None) => return lines.take_broken(),
            Err(error) => return Some(error.to_string()),
        }
    }
}
