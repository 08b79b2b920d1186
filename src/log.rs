//! Starts the log, which goes to standard error.

use std::io::IsTerminal;

/// Starts the log: as text on a terminal, as JSON elsewhere. `WEIR_LOG` sets the filter.
pub fn start(quiet: bool) {
    let default = if quiet { "error" } else { "info" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::progress::stderr_after_bar);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
