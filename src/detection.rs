//! What configuration tells rules, placeholders and log sources, and when the journal is told of it.

use std::path::Path;

use anyhow::{Context, Result};
use weir_detect::{LogSources, RuleBook, Settings};
use weir_schema::{Control, EventTime};

use crate::cli::Failure;
use crate::config::{Config, DetectionConfig};

/// The largest mapping file that is read; what comes with Weir has 10 KiB.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Reads what the configuration names. A mapping that cannot be used ends the start: rules would
/// see other events than they are told to.
pub fn settings(config: &DetectionConfig) -> Result<Settings> {
    let mut log_sources = Vec::new();
    for file in &config.log_sources {
        log_sources.push(mapping(file)?);
    }
    let settings = Settings {
        placeholders: config.placeholders.clone(),
        log_sources,
    };
    let bad = |reason| Failure::BadData(format!("detection: {reason}"));
    settings.check().map_err(bad)?;
    Ok(settings)
}

fn mapping(file: &Path) -> Result<String> {
    let shown = || format!("cannot read the log sources in {}", file.display());
    let size = std::fs::metadata(file).with_context(shown)?.len();
    if size > FILE_BYTES_MAX {
        let told = format!("{} is larger than 256 KiB", file.display());
        return Err(Failure::BadData(told).into());
    }
    let text = std::fs::read_to_string(file).with_context(shown)?;
    let (_, problems) = LogSources::with(std::slice::from_ref(&text));
    match problems.into_iter().next() {
        None => Ok(text),
        Some(mut problem) => {
            problem.origin = file.display().to_string();
            Err(Failure::BadData(problem.to_string()).into())
        }
    }
}

/// The entry that makes the journal say `wanted` from `since` on; `None` where it says so already.
pub fn entry(known: &Settings, wanted: &Settings, since: EventTime) -> Result<Option<Control>> {
    if known == wanted {
        return Ok(None);
    }
    let bad = |reason| Failure::BadData(format!("detection: {reason}"));
    let text = wanted.text().map_err(bad)?;
    Ok(Some(Control::Settings { text, since }))
}

/// The entry that makes rules that run mean `wanted` from `since` on. Where they cannot be told, the
/// start ends: they would go on under the settings before.
pub fn change(book: &RuleBook, wanted: &Settings, since: EventTime) -> Result<Option<Control>> {
    let Some(control) = entry(book.settings(), wanted, since)? else {
        return Ok(None);
    };
    let mut tried = book.clone();
    let said = tried.apply(&control).diagnostics;
    if tried.settings() != wanted {
        let reason = said
            .into_iter()
            .next()
            .map_or_else(String::new, |said| said.message);
        let told = format!("detection cannot be changed as configuration asks: {reason}");
        return Err(Failure::BadData(told).into());
    }
    Ok(Some(control))
}

/// The entry of a run that begins with it, from a configuration file of which `[detection]` is used.
pub fn entry_of(file: Option<&Path>) -> Result<Option<Control>> {
    let Some(file) = file else {
        return Ok(None);
    };
    let config = Config::load(Some(file))?;
    let settings = settings(&config.detection)?;
    entry(&Settings::default(), &settings, EventTime::MIN)
}

/// An empty book that knows what the configuration says.
pub fn book(config: &DetectionConfig) -> Result<RuleBook> {
    let mut book = RuleBook::new();
    if let Some(control) = entry(&Settings::default(), &settings(config)?, EventTime::MIN)? {
        book.apply(&control);
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use weir_detect::Placed;

    use super::*;

    #[test]
    fn a_change_that_rules_do_not_take_ends_the_start() {
        let asked = |value: i64| Settings {
            placeholders: [("Port".to_owned(), vec![Placed::Int(value)])].into(),
            log_sources: Vec::new(),
        };
        let mut book = RuleBook::new();
        let mut taken = 0;
        let refused = loop {
            match change(&book, &asked(taken), EventTime(taken)) {
                Ok(Some(control)) => drop(book.apply(&control)),
                Ok(None) => panic!("what is new is to be written"),
                Err(error) => break error,
            }
            taken += 1;
        };
        assert_eq!(taken, 256);
        assert!(
            refused.to_string().contains("changes of settings"),
            "{refused}"
        );
        let same = change(&book, &asked(taken - 1), EventTime(taken));
        assert!(same.expect("it is known").is_none());
    }
}
