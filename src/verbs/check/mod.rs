//! `weir check`: checks configuration, rules and stories, and this machine; reports all problems.

mod here;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::{Diagnostic, RuleBook};
use weir_manage::{deduplicate, load, read_all, settings, source_position};
use weir_schema::EventTime;

use crate::builtin;
use crate::config::{Config, DetectionConfig};
use crate::console::outln;
use crate::exit::{BAD_CONFIG, BAD_DATA, exit_code};
use crate::verbs::diagnostics::diagnostic_line;
use crate::verbs::overrides::ServerOverrides;

/// Check configuration, rules and stories without starting anything.
///
/// The rules of the configuration are checked too.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A rule file, or a folder of `*.yml` and `*.yaml`; may be repeated.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Check also whether this machine can run it: addresses, data folder, certificates.
    #[arg(long)]
    here: bool,
    /// Stories to parse.
    #[arg(value_name = "STORY")]
    stories: Vec<PathBuf>,
}

/// Checks; exits with 78 if the configuration is bad, with 65 if rules or stories are.
pub fn check(
    file: Option<&Path>,
    overrides: &ServerOverrides,
    args: &CheckArgs,
) -> Result<ExitCode> {
    let mut bad_config = None;
    let config = match overrides.load(file) {
        Ok(config) => config,
        Err(bad) => {
            outln!("{bad}");
            bad_config = Some(exit_code(&bad.into()));
            Config::default()
        }
    };
    for warning in config.warnings() {
        outln!("warning: {warning}");
    }
    let bad_here = match (args.here, &bad_config) {
        (true, None) => here::problems(&config),
        _ => Vec::new(),
    };
    for problem in &bad_here {
        outln!("{problem}");
    }
    let paths = [&config.rules.paths[..], &args.rules].concat();
    let (book, bad_settings) = match book(&config.detection) {
        Ok(book) => (book, 0),
        Err(problem) => {
            outln!("{problem:#}");
            (RuleBook::new(), 1)
        }
    };
    let rules = check_rules(book, config.rules.builtin, &paths);
    let stories = args.stories.iter();
    let bad_stories: usize = stories.map(|story| check_story(story)).sum();
    let problems = rules.problems + bad_stories + bad_settings + bad_here.len();
    outln!(
        "{} rules and {} stories checked: {problems} problems, {} remarks; the configuration is {}",
        rules.documents,
        args.stories.len(),
        rules.remarks,
        if bad_config.is_some() { "bad" } else { "good" },
    );
    Ok(match bad_config {
        Some(code) => code,
        None if !bad_here.is_empty() => ExitCode::from(BAD_CONFIG),
        None if problems > 0 => ExitCode::from(BAD_DATA),
        None => ExitCode::SUCCESS,
    })
}

/// An empty rule book with the configured settings.
fn book(detection: &DetectionConfig) -> Result<RuleBook> {
    let settings = settings::load(&detection.placeholders, &detection.log_sources)?;
    Ok(settings::empty_book(&settings)?)
}

/// Counts of checked rules.
#[derive(Default)]
struct CheckedRules {
    documents: usize,
    problems: usize,
    remarks: usize,
}

/// Loads all rules as a server would, and prints their diagnostics.
fn check_rules(mut book: RuleBook, with_builtin: bool, paths: &[PathBuf]) -> CheckedRules {
    let found = read_all(paths);
    let mut documents = found.documents;
    if with_builtin {
        documents.extend(builtin::rules());
    }
    let errors = found.errors.iter();
    let mut diagnostics: Vec<Diagnostic> = errors.map(|error| error.diagnostic(None)).collect();
    let (candidates, duplicates) = deduplicate(&documents, |_| None);
    diagnostics.extend(duplicates);
    diagnostics.extend(load(&mut book, candidates, EventTime::MIN).diagnostics);
    diagnostics.sort_by_cached_key(source_position);
    let mut checked = CheckedRules {
        documents: documents.len(),
        ..CheckedRules::default()
    };
    for diagnostic in &diagnostics {
        outln!("{}", diagnostic_line(diagnostic));
        checked.problems += usize::from(diagnostic.refused);
        checked.remarks += usize::from(!diagnostic.refused);
    }
    checked
}

/// Prints the problems of a story. Returns their number.
fn check_story(path: &Path) -> usize {
    let file = path.display().to_string();
    let limit = u64::try_from(weir_story::STORY_BYTES_MAX).unwrap_or(u64::MAX);
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > limit {
        outln!("{file}: is larger than {limit} bytes");
        return 1;
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            outln!("{file}: cannot be read: {error}");
            return 1;
        }
    };
    match weir_story::parse(&text, &file) {
        Ok(_) => 0,
        Err(errors) => {
            for error in &errors {
                outln!("{file}:{}:1: {}", error.line, error.message);
            }
            errors.len()
        }
    }
}
