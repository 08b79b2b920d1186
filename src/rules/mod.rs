//! `weir rules`: what people ask about rules before and while they run; and the rules themselves, from
//! files and the API into the journal.
//!
//! ```text
//! files ──listing, documents──► load ──tried on a copy──► known ──entries──► journal
//!   ▲ watch, once a second        ▲ lint, list, test, coverage    ▲ manage (API)
//! ```

pub mod files;
pub mod load;

pub mod known;
pub mod manage;
pub mod watch;
pub mod what_if;

mod change;
mod lint;
mod list;

mod record;
mod test;

mod coverage;
mod navigator;
mod provided;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::{Diagnostic, RuleBook};
use weir_schema::EventTime;

use crate::builtin;
use crate::config::{Config, DetectionConfig};
use load::Loaded;

/// Ask about rules: are they right, what are they, are they proven, what do they cover.
#[derive(Debug, clap::Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    verb: Verb,
    /// A configuration file, of which `[detection]` is used: placeholders and log sources.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Lint(lint::LintArgs),
    List(list::ListArgs),
    Test(test::TestArgs),
    Coverage(coverage::CoverageArgs),
    Add(change::AddArgs),
    /// Take a rule of a running server back, with all of its alerts.
    Remove(change::OneArgs),
    /// Stop a rule of a running server from now on; what it said stands.
    Disable(change::OneArgs),
    /// Run a rule again that was disabled or removed.
    Enable(change::OneArgs),
}

/// Runs the verb; 65 where rules are bad.
pub fn rules(args: &RulesArgs) -> Result<ExitCode> {
    let detection = match &args.config {
        Some(file) => Config::load(Some(file))?.detection,
        None => DetectionConfig::default(),
    };
    match &args.verb {
        Verb::Lint(args) => lint::lint(args, &detection),
        Verb::List(args) => list::list(args, &detection),
        Verb::Test(args) => test::test(args, &detection),
        Verb::Coverage(args) => coverage::coverage(args, &detection),
        Verb::Add(args) => change::add(args),
        Verb::Remove(args) => change::remove(args),
        Verb::Disable(args) => change::disable(args),
        Verb::Enable(args) => change::enable(args),
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// Rules as they were read, and what is wrong with them.
struct Rules {
    files: usize,
    documents: usize,
    book: RuleBook,
    loaded: Loaded,
    /// All that was found, in order of file, line and column.
    said: Vec<Diagnostic>,
}

impl Rules {
    /// Reads the rules below some paths, or the built-in ones where there are none.
    fn read(paths: &[PathBuf], detection: &DetectionConfig) -> Result<Self> {
        let mut found = files::read_all(paths);
        if paths.is_empty() {
            found.documents = builtin::rules();
        }
        let mut said: Vec<Diagnostic> = found.troubles.iter().map(|t| t.diagnostic(None)).collect();
        let (wanted, twice) = load::firsts(&found.documents, |_| None);
        said.extend(twice);
        let mut book = crate::detection::book(detection)?;
        let mut loaded = load::load(&mut book, wanted, EventTime::MIN);
        said.append(&mut loaded.diagnostics);
        said.sort_by_cached_key(load::place);
        Ok(Self {
            files: found.files,
            documents: found.documents.len(),
            book,
            loaded,
            said,
        })
    }

    /// Tells what is wrong on standard error, where another answer is asked for; how much it is.
    fn complain(&self) -> usize {
        for said in self.said.iter().filter(|said| said.refused) {
            eprintln!("{}", load::line(said));
        }
        self.said.iter().filter(|said| said.refused).count()
    }
}

/// Prints an answer; a reader who has enough of it ends nothing.
fn answer(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The exit code of an answer about rules of which `problems` are bad.
fn code(problems: usize) -> ExitCode {
    ExitCode::from(if problems > 0 { 65 } else { 0 })
}
