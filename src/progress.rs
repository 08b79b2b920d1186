//! Progress of long work: a bar on a terminal, or a line in the log every few seconds.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::console::{self, LogStderr, errln};

/// Pause between two updates of the bar.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// Pause between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Width of the bar, in characters.
const WIDTH: u64 = 24;

/// Whether the bar is on the terminal, and must be erased before other text; there is one terminal.
static BAR_SHOWN: AtomicBool = AtomicBool::new(false);

/// Reports progress on standard error.
pub struct ProgressReporter {
    quiet: bool,
    terminal: bool,
    /// Without a terminal, reports to the log instead of standard error.
    log: bool,
    next: Instant,
}

/// Standard error, with the bar erased, for the log.
pub fn stderr_after_bar() -> LogStderr {
    erase_bar();
    LogStderr(std::io::stderr())
}

fn erase_bar() {
    if BAR_SHOWN.swap(false, Ordering::Relaxed) {
        console::show_status("");
    }
}

impl ProgressReporter {
    /// For a verb; with `quiet` it reports nothing.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            log: false,
            next: Instant::now() + if terminal { BAR_EVERY } else { LOG_EVERY },
        }
    }

    /// For a server, which has a log: quiet if the log is.
    #[must_use]
    pub fn for_server() -> Self {
        Self {
            log: true,
            ..Self::new(!tracing::enabled!(tracing::Level::INFO))
        }
    }

    /// Prints a line, unless quiet.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            erase_bar();
            errln!("weir: {text}");
        }
    }

    /// Reports that `done` of `all` is done, if an update is due; `text` describes it.
    pub fn report(&mut self, done: u64, all: u64, text: impl FnOnce() -> String) {
        if self.quiet || Instant::now() < self.next {
            return;
        }
        if self.terminal {
            self.next = Instant::now() + BAR_EVERY;
            BAR_SHOWN.store(true, Ordering::Relaxed);
            console::show_status(&format!("{} {}", bar(done, all), text()));
            return;
        }
        self.next = Instant::now() + LOG_EVERY;
        match self.log {
            true => tracing::info!(done, all, "{}", text()),
            false => errln!("weir: {}", text()),
        }
    }

    /// Replaces the bar, if it is shown, by a final line.
    pub fn end(&mut self, text: impl FnOnce() -> String) {
        if BAR_SHOWN.load(Ordering::Relaxed) {
            erase_bar();
            errln!("weir: {}", text());
        }
    }
}

impl Drop for ProgressReporter {
    /// Erases the bar, so that the next text begins on its own line.
    fn drop(&mut self) {
        erase_bar();
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
    fn the_bar_shows_the_share_that_is_done() {
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
