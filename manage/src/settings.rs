//! Settings of detection, placeholders and log sources, turned into control entries.

use std::path::{Path, PathBuf};

use weir_detect::{LogSources, Placeholders, RuleBook, Settings};
use weir_schema::{Control, EventTime};

/// Largest mapping file that is read; the built-in mapping has 10 KiB.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Settings that cannot be used. A start then fails: with other settings, rules would see other
/// events.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read the log sources in {}", file.display())]
    ReadLogSources {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is larger than 256 KiB", file.display())]
    LogSourcesTooLarge { file: PathBuf },
    #[error("{0}")]
    BadLogSources(String),
    #[error("detection: {0}")]
    BadSettings(String),
    #[error("detection cannot be changed as the configuration requests: {0}")]
    ChangeRefused(String),
}

/// Reads the mapping files, and checks them together with the placeholders.
pub fn load(
    placeholders: &Placeholders,
    log_source_files: &[PathBuf],
) -> Result<Settings, SettingsError> {
    let mut log_sources = Vec::new();
    for file in log_source_files {
        log_sources.push(read_mapping(file)?);
    }
    let settings = Settings {
        placeholders: placeholders.clone(),
        log_sources,
    };
    let bad = |reason: String| SettingsError::BadSettings(reason);
    settings.check().map_err(bad)?;
    Ok(settings)
}

fn read_mapping(file: &Path) -> Result<String, SettingsError> {
    let unreadable = |source| SettingsError::ReadLogSources {
        file: file.to_owned(),
        source,
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let file = file.to_owned();
        return Err(SettingsError::LogSourcesTooLarge { file });
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let (_, problems) = LogSources::with(std::slice::from_ref(&text));
    match problems.into_iter().next() {
        None => Ok(text),
        Some(mut problem) => {
            problem.origin = file.display().to_string();
            Err(SettingsError::BadLogSources(problem.to_string()))
        }
    }
}

/// The entry that changes `known` settings to `wanted` from `since` on; `None` if they are equal.
pub fn entry(
    known: &Settings,
    wanted: &Settings,
    since: EventTime,
) -> Result<Option<Control>, SettingsError> {
    if known == wanted {
        return Ok(None);
    }
    let text = wanted.text().map_err(SettingsError::BadSettings)?;
    Ok(Some(Control::Settings { text, since }))
}

/// The entry that changes the settings of a rule book with rules; `None` if they are equal.
///
/// Fails if the book refuses the change: its rules would keep the settings they have.
pub fn change(
    book: &RuleBook,
    wanted: &Settings,
    since: EventTime,
) -> Result<Option<Control>, SettingsError> {
    let Some(control) = entry(book.settings(), wanted, since)? else {
        return Ok(None);
    };
    let mut scratch = book.clone();
    let diagnostics = scratch.apply(&control).diagnostics;
    if scratch.settings() != wanted {
        let first = diagnostics.into_iter().next();
        let reason = first.map_or_else(String::new, |one| one.message);
        return Err(SettingsError::ChangeRefused(reason));
    }
    Ok(Some(control))
}

/// The entry of a run that begins with these settings; `None` if they are the default ones.
pub fn first_entry(settings: &Settings) -> Result<Option<Control>, SettingsError> {
    entry(&Settings::default(), settings, EventTime::MIN)
}

/// An empty rule book with these settings.
pub fn empty_book(settings: &Settings) -> Result<RuleBook, SettingsError> {
    let mut book = RuleBook::new();
    if let Some(control) = first_entry(settings)? {
        book.apply(&control);
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use weir_detect::PlaceholderValue;

    use super::*;

    #[test]
    fn a_change_that_the_rule_book_refuses_is_an_error() {
        let wanted = |value: i64| Settings {
            placeholders: [("Port".to_owned(), vec![PlaceholderValue::Int(value)])].into(),
            log_sources: Vec::new(),
        };
        let mut book = RuleBook::new();
        let mut accepted = 0;
        let refused = loop {
            match change(&book, &wanted(accepted), EventTime(accepted)) {
                Ok(Some(control)) => drop(book.apply(&control)),
                Ok(None) => panic!("a new setting needs an entry"),
                Err(error) => break error,
            }
            accepted += 1;
        };
        assert_eq!(accepted, 256);
        assert!(
            refused.to_string().contains("changes of settings"),
            "{refused}"
        );
        let same = change(&book, &wanted(accepted - 1), EventTime(accepted));
        assert!(same.expect("the settings are known").is_none());
    }
}
