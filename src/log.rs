//! Starts the log, which goes to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::console::errln;
use crate::text::printable;

/// Starts the log: as text on a terminal, as JSON elsewhere. `WEIR_LOG` sets the filter;
/// one that cannot be used is reported, and replaced by the default.
pub fn start(quiet: bool) {
    let default = if quiet { "error" } else { "info" };
    let variable = std::env::var_os("WEIR_LOG");
    let wanted = variable.map(|text| filter(&text.to_string_lossy()));
    let (filter, refused) = match wanted {
        None => (EnvFilter::new(default), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (EnvFilter::new(default), Some(problem)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::progress::stderr_after_bar);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
    match refused {
        // The log would not show it.
        Some(problem) if quiet => errln!("weir: {problem}; `{default}` is used"),
        Some(problem) => tracing::warn!("{problem}; `{default}` is used"),
        None => {}
    }
}

/// Parses the filter of the log.
///
/// A word that is no level would be the name of a module, and silence everything else.
fn filter(text: &str) -> Result<EnvFilter, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let problem = |why: &str| {
        format!(
            "WEIR_LOG is not a filter of the log: `{}` {why}; write `debug`, or \
             `info,weir_ingest=debug`",
            printable(text)
        )
    };
    let is_known = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        word.contains(['=', '[']) || word.starts_with("weir") || LEVELS.contains(&&*word)
    };
    if !text.trim().is_empty() && !text.split(',').any(is_known) {
        return Err(problem("names no level"));
    }
    let parsed = EnvFilter::builder().parse(text);
    parsed.map_err(|error| problem(&format!("cannot be parsed ({error})")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_filter_without_a_level_is_refused() {
        for good in [
            "",
            "info",
            "WARN",
            "weir_ingest=debug",
            "info,actix=off",
            "weir_web",
        ] {
            assert!(super::filter(good).is_ok(), "{good}");
        }
        for bad in ["verbose", "weir=loud", "info,weir[=debug", "7"] {
            let problem = super::filter(bad).map(drop).expect_err(bad);
            assert!(problem.contains(bad), "{problem}");
        }
    }
}
