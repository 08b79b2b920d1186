//! `weir rules`: lints, lists and tests rules of files, and edits those of a running server.

mod lint;
mod list;

mod recorder;
mod test;

mod coverage;
mod navigator;
mod providers;
mod rule_coverage;

mod edit;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::{Diagnostic, RuleBook};
use weir_manage::{LoadOutcome, deduplicate, load, read_all, settings, source_position};
use weir_schema::EventTime;

use crate::builtin;
use crate::config::{Config, DetectionConfig};
use crate::console::errln;
use crate::exit::BAD_DATA;
use crate::verbs::diagnostics::diagnostic_line;
use crate::verbs::overrides::ServerDefaults;

/// Lint, list and test rules, and edit those of a running server.
///
/// They use `[detection]` of the configuration; those that ask a server find it there too.
#[derive(Debug, clap::Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    verb: RulesVerb,
}

#[derive(Debug, clap::Subcommand)]
enum RulesVerb {
    Lint(lint::LintArgs),
    List(list::ListArgs),
    Test(test::RuleTestArgs),
    Coverage(coverage::CoverageArgs),
    Add(edit::AddArgs),
    /// Remove a rule from a running server, and retract all of its alerts.
    Remove(edit::RuleIdArgs),
    /// Stop a rule of a running server from now on; its alerts stand.
    Disable(edit::RuleIdArgs),
    /// Run a rule again that was disabled or removed.
    Enable(edit::RuleIdArgs),
}

impl RulesArgs {
    /// Whether the verb asks a server.
    pub fn asks_server(&self) -> bool {
        matches!(
            self.verb,
            RulesVerb::Add(_) | RulesVerb::Remove(_) | RulesVerb::Disable(_) | RulesVerb::Enable(_)
        )
    }
}

/// Runs the verb; exits with 65 if rules cannot be used.
pub fn rules(config: &Config, args: &RulesArgs) -> Result<ExitCode> {
    let detection = &config.detection;
    let server = &ServerDefaults::of(config);
    match &args.verb {
        RulesVerb::Lint(args) => lint::lint(args, detection),
        RulesVerb::List(args) => list::list(args, detection),
        RulesVerb::Test(args) => test::test(args, detection),
        RulesVerb::Coverage(args) => coverage::coverage(args, detection),
        RulesVerb::Add(args) => edit::add(args, server),
        RulesVerb::Remove(args) => edit::remove(args, server),
        RulesVerb::Disable(args) => edit::disable(args, server),
        RulesVerb::Enable(args) => edit::enable(args, server),
    }
}

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum OutputFormat {
    #[default]
    Text,
    Json,
}

/// The rules of some files, loaded into a book, with their diagnostics.
struct LoadedRules {
    files: usize,
    documents: usize,
    book: RuleBook,
    outcome: LoadOutcome,
    /// All diagnostics, in order of file, line and column.
    diagnostics: Vec<Diagnostic>,
}

impl LoadedRules {
    /// Reads the rules below `paths`, or the built-in ones if there are no paths.
    fn read(paths: &[PathBuf], detection: &DetectionConfig) -> Result<Self> {
        let mut found = read_all(paths);
        if paths.is_empty() {
            found.documents = builtin::rules();
        }
        let errors = found.errors.iter();
        let mut diagnostics: Vec<Diagnostic> = errors.map(|error| error.diagnostic(None)).collect();
        let (candidates, duplicates) = deduplicate(&found.documents, |_| None);
        diagnostics.extend(duplicates);
        let settings = settings::load(&detection.placeholders, &detection.log_sources)?;
        let mut book = settings::empty_book(&settings)?;
        let mut outcome = load(&mut book, candidates, EventTime::MIN);
        diagnostics.append(&mut outcome.diagnostics);
        diagnostics.sort_by_cached_key(source_position);
        Ok(Self {
            files: found.files,
            documents: found.documents.len(),
            book,
            outcome,
            diagnostics,
        })
    }

    /// Prints the problems on standard error, beside the output. Returns their number.
    fn print_problems(&self) -> usize {
        let problems = || self.diagnostics.iter().filter(|one| one.refused);
        for problem in problems() {
            errln!("{}", diagnostic_line(problem));
        }
        problems().count()
    }
}

/// The exit code for rules with so many problems.
fn code(problems: usize) -> ExitCode {
    ExitCode::from(if problems > 0 { BAD_DATA } else { 0 })
}
