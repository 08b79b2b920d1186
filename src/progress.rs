//! How far something long has come: a bar on a terminal, a line now and then in a log.

use std::io::{IsTerminal, Stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it is told: to a person who watches, and to a log.
const WATCHED: Duration = Duration::from_millis(200);
const LOGGED: Duration = Duration::from_secs(5);

/// Characters of a bar.
const WIDTH: u64 = 24;

/// Whether a line on the terminal waits to be written over; there is one terminal.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Tells how far it is, now and then, on standard error.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    /// Where there is no terminal, it is told in the log.
    log: bool,
    next: Instant,
}

/// Standard error, for a line that may meet a bar.
pub fn behind_bar() -> Stderr {
    close();
    std::io::stderr()
}

fn close() {
    if OPEN.swap(false, Ordering::Relaxed) {
        eprint!("\r\x1b[K");
    }
}

impl Progress {
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            log: false,
            next: Instant::now() + if terminal { WATCHED } else { LOGGED },
        }
    }

    /// That of a server, which has a log: quiet where that is.
    #[must_use]
    pub fn of_server() -> Self {
        Self {
            log: true,
            ..Self::new(!tracing::enabled!(tracing::Level::INFO))
        }
    }

    /// Says something once; a quiet one does not.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            close();
            eprintln!("weir: {text}");
        }
    }

    /// Done so much of so much; `what` says it in words.
    pub fn tell(&mut self, done: u64, all: u64, what: impl FnOnce() -> String) {
        if self.quiet || Instant::now() < self.next {
            return;
        }
        if self.terminal {
            self.next = Instant::now() + WATCHED;
            OPEN.store(true, Ordering::Relaxed);
            eprint!("\r\x1b[K{} {}", bar(done, all), what());
            return;
        }
        self.next = Instant::now() + LOGGED;
        match self.log {
            true => tracing::info!(done, all, "{}", what()),
            false => eprintln!("weir: {}", what()),
        }
    }

    /// It is over; what stood in the bar's place is told.
    pub fn end(&mut self, what: impl FnOnce() -> String) {
        if OPEN.load(Ordering::Relaxed) {
            close();
            eprintln!("weir: {}", what());
        }
    }
}

impl Drop for Progress {
    /// What is said next, be it an error, begins on a line of its own.
    fn drop(&mut self) {
        close();
    }
}

fn bar(done: u64, all: u64) -> String {
    let filled = done
        .min(all)
        .saturating_mul(WIDTH)
        .checked_div(all)
        .unwrap_or(0);
    let percent = done
        .min(all)
        .saturating_mul(100)
        .checked_div(all)
        .unwrap_or(0);
    let cells = (0..WIDTH).map(|cell| if cell < filled { '#' } else { '.' });
    format!("[{}] {percent:>3} %", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_is_as_full_as_what_is_done() {
        for (done, all, expected) in [
            (0, 0, "[........................]   0 %"),
            (1, 2, "[############............]  50 %"),
            (9, 3, "[########################] 100 %"),
            (u64::MAX, u64::MAX, "[#.......................]   5 %"),
        ] {
            let shown = super::bar(done, all);
            if all < u64::MAX {
                assert_eq!(shown, expected);
            }
            assert_eq!(shown.len(), expected.len(), "{shown}");
        }
    }
}
