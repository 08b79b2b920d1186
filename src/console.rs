//! Writes to standard output and standard error; a reader that closes one of them fails no verb.
//!
//! All text is made safe for a terminal here: what a log or a rule hides is escaped.

use std::io::{ErrorKind, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use crate::text::{printable_json, printable_lines};

/// Whether the reader of standard output has closed it; there is one standard output.
static OUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// The first failure of standard output that is not a closed pipe, such as a full disk.
static OUT_FAILURE: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a line on standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::console::out(&format!("{}\n", format_args!($($text)*))) };
}

/// Prints a line on standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::console::err(&format!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, outln};

/// Prints text on standard output.
pub fn out(text: &str) {
    write_out(printable_lines(text).as_bytes());
}

/// Prints a line of JSON on standard output.
pub fn out_json(json: &impl std::fmt::Display) {
    write_out(printable_json(&format!("{json}\n")).as_bytes());
}

/// Prints text on standard error. A failure is ignored: there is nowhere to report it.
pub fn err(text: &str) {
    write_err(printable_lines(text).as_bytes());
}

/// Replaces the page on the terminal at standard output.
pub fn show_page(text: &str) {
    // Moves to the top, and clears the screen.
    write_out(format!("\x1b[H\x1b[2J{}", printable_lines(text)).as_bytes());
}

/// Replaces the last line of the terminal at standard error; an empty text erases it.
pub fn show_status(text: &str) {
    write_err(format!("\r\x1b[K{}", printable_lines(text)).as_bytes());
}

fn write_err(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Writes bytes to standard output at once.
///
/// A failure is remembered: a closed pipe for [`is_out_closed`], others for [`finish`].
pub fn write_out(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            OUT_CLOSED.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            let mut failure = OUT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
        }
    }
}

/// Whether nobody reads standard output any more, so a verb without end must end.
pub fn is_out_closed() -> bool {
    OUT_CLOSED.load(Ordering::Relaxed)
}

/// Fails if standard output could not be written.
///
/// A closed pipe is not a failure: its reader has what it wanted.
pub fn finish() -> anyhow::Result<()> {
    let mut failure = OUT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner);
    failure.take().map_or(Ok(()), |error| {
        Err(error).context("cannot write to standard output")
    })
}

/// Prints the error that ends the process.
pub fn report_error(error: &anyhow::Error) {
    errln!("weir: {error:#}");
}

/// Standard error for the log. Writing to it does not fail, since the log would panic.
pub struct LogStderr(pub Stderr);

impl Write for LogStderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}
