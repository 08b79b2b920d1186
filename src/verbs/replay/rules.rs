//! The rules of a replay, as control entries of its journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_detect::{Diagnostic, RuleBook};
use weir_manage::{deduplicate, load, members_first, read_path, settings, source_position};
use weir_schema::{Control, EventTime, RuleId};

use crate::builtin;
use crate::config::Config;
use crate::console::errln;
use crate::exit::ExitError;

/// The rules to replay under.
pub struct ReplayRules {
    pub controls: Vec<Control>,
    pub titles: BTreeMap<RuleId, String>,
    /// Whether some document cannot be used.
    pub refused: bool,
}

impl ReplayRules {
    /// Reads rules, or the built-in ones without paths. Prints their problems on standard error.
    ///
    /// `placeholders` is a configuration file, of which `[detection]` is used.
    pub fn read(paths: &[PathBuf], placeholders: Option<&Path>) -> Result<Self> {
        let mut documents = Vec::new();
        for path in paths {
            let unreadable = || format!("cannot read the rules in {}", path.display());
            std::fs::metadata(path).with_context(unreadable)?;
            let read = read_path(path).map_err(|error| ExitError::Io(error.to_string()))?;
            if read.is_empty() {
                errln!("weir: there are no rules in {}", path.display());
            }
            documents.extend(read);
        }
        if paths.is_empty() {
            documents = builtin::rules();
        }
        let mut book = RuleBook::new();
        let mut rules = Self {
            controls: Vec::new(),
            titles: BTreeMap::new(),
            refused: false,
        };
        if let Some(control) = settings_entry(placeholders)? {
            book.apply(&control);
            rules.controls.push(control);
        }
        // Of two rules with one id the first is used, as in a server.
        let documents = members_first(documents);
        let (candidates, mut diagnostics) = deduplicate(&documents, |_| None);
        let controls = candidates.iter();
        let controls = controls.map(|candidate| candidate.document.control(EventTime::MIN));
        rules.controls.extend(controls);
        // The problems that are left when all documents are loaded.
        diagnostics.extend(load(&mut book, candidates, EventTime::MIN).diagnostics);
        for diagnostic in diagnostics {
            rules.refused |= diagnostic.refused;
            errln!("weir: {}", in_file(diagnostic));
        }
        let known = book.rules().into_iter();
        rules.titles = known.map(|rule| (rule.id, rule.title)).collect();
        Ok(rules)
    }
}

/// The entry with the settings of a configuration file; `None` without one, or for the default.
fn settings_entry(file: Option<&Path>) -> Result<Option<Control>> {
    let Some(file) = file else {
        return Ok(None);
    };
    let detection = Config::load(Some(file))?.detection;
    let settings = settings::load(&detection.placeholders, &detection.log_sources)?;
    Ok(settings::first_entry(&settings)?)
}

/// The diagnostic with its line in the file instead of its line in the document.
pub fn in_file(mut diagnostic: Diagnostic) -> Diagnostic {
    let has_line = |(_, line): (&str, &str)| line.parse::<u32>().is_ok();
    if diagnostic.origin.rsplit_once(':').is_some_and(has_line) {
        let position = source_position(&diagnostic);
        diagnostic.origin = position.file;
        diagnostic.line = Some(position.line);
    }
    diagnostic
}
