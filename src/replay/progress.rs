//! How far a replay has come, on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use weir_schema::Epoch;

/// How often progress is told: to a person who watches, and to a log.
const WATCHED: Duration = Duration::from_millis(500);
const LOGGED: Duration = Duration::from_secs(5);

/// Tells how far it is, now and then.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    next: Instant,
    /// A line on the terminal waits to be written over.
    open: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            next: Instant::now() + if terminal { WATCHED } else { LOGGED },
            open: false,
        }
    }

    /// Says something once; a quiet replay does not.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            self.close();
            eprintln!("weir: {text}");
        }
    }

    pub fn tell(&mut self, events: u64, judged: Epoch, sealed: u64) {
        if self.quiet || Instant::now() < self.next {
            return;
        }
        let epoch = judged.0;
        if self.terminal {
            self.next = Instant::now() + WATCHED;
            self.open = true;
            eprint!("\r{events} events read, {epoch} of {sealed} epochs judged ");
        } else {
            self.next = Instant::now() + LOGGED;
            eprintln!("weir: {events} events read, {epoch} of {sealed} epochs judged");
        }
    }

    /// Everything is judged.
    pub fn end(&mut self, events: u64) {
        if self.open {
            self.close();
            eprintln!("weir: {events} events judged");
        }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            eprint!("\r\x1b[K");
        }
    }
}
