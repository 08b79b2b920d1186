//! Entry point of the fuzzer for input files; not part of the public interface.

use std::path::Path;

use super::InputLines;

/// Calls `each` with the number and the bytes of each line. Returns why the reading stopped; `None`
/// at the end of the file.
pub fn lines(file: &Path, mut each: impl FnMut(u64, &[u8])) -> Option<String> {
    let mut lines = match InputLines::open(file) {
        Ok(lines) => lines,
        Err(error) => return Some(error.to_string()),
    };
    let mut buffer = Vec::new();
    loop {
        match lines.next(&mut buffer) {
            Ok(Some(line)) => each(line.number, line.bytes),
            Ok(None) => return lines.take_unreadable(),
            Err(error) => return Some(error.to_string()),
        }
    }
}
