//! `weir check`: configuration, rules and stories, all problems told together.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::{Diagnostic, RuleBook};
use weir_schema::EventTime;

use crate::config::Config;
use crate::rule_desk::{self, Document};
use crate::{builtin, cli};

/// Checks configuration, rules and stories without starting anything.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Configuration, whose rules are checked too.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of rules, or a folder of `*.yml` and `*.yaml`; may be given again.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Stories to parse.
    #[arg(value_name = "STORY")]
    stories: Vec<PathBuf>,
}

/// Checks; exits with 78 where the configuration is bad, with 65 where rules or stories are.
pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let mut bad_config = None;
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(bad) => {
            println!("{bad}");
            bad_config = Some(cli::exit_code(&bad.into()));
            Config::default()
        }
    };
    let paths = config.rules.paths.iter().chain(&args.rules);
    let rules = check_rules(config.rules.builtin, paths.cloned().collect());
    let mut bad_stories = 0_usize;
    for story in &args.stories {
        bad_stories += check_story(story);
    }
    let problems = rules.problems + bad_stories;
    println!(
        "{} rules and {} stories checked: {problems} problems, {} remarks; the configuration is {}",
        rules.documents,
        args.stories.len(),
        rules.remarks,
        if bad_config.is_some() { "bad" } else { "good" },
    );
    Ok(match bad_config {
        Some(code) => code,
        None if problems > 0 => ExitCode::from(65),
        None => ExitCode::SUCCESS,
    })
}

#[derive(Default)]
struct Checked {
    documents: usize,
    problems: usize,
    remarks: usize,
}

/// Puts all rules into a book, in the order in which a server would.
fn check_rules(with_builtin: bool, paths: Vec<PathBuf>) -> Checked {
    let mut checked = Checked::default();
    let mut documents: Vec<Document> = Vec::new();
    if with_builtin {
        documents.extend(builtin::rules());
    }
    for path in paths {
        match rule_desk::read(&path) {
            Ok(read) => documents.extend(read),
            Err(problem) => {
                println!("{problem}");
                checked.problems += 1;
            }
        }
    }
    let mut book = RuleBook::new();
    let mut said = Vec::new();
    for document in rule_desk::members_first(documents) {
        checked.documents += 1;
        let applied = book.apply(&rule_desk::put(&document, EventTime::MIN));
        said.extend(applied.diagnostics);
    }
    let mut lines: Vec<_> = said
        .iter()
        .map(|diagnostic| (place(diagnostic), diagnostic))
        .collect();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    for ((file, line, column), diagnostic) in lines {
        let hint = diagnostic.hint.as_ref().map(|hint| format!(" ({hint})"));
        let remark = if diagnostic.refused { "" } else { "remark: " };
        println!(
            "{file}:{line}:{column}: {remark}{}{}",
            diagnostic.message,
            hint.unwrap_or_default()
        );
        checked.problems += usize::from(diagnostic.refused);
        checked.remarks += usize::from(!diagnostic.refused);
    }
    checked
}

/// File, line in it, and column. An origin is `file:line`, where the document starts, and a
/// diagnostic counts lines from there.
fn place(diagnostic: &Diagnostic) -> (String, u32, u32) {
    let origin = &diagnostic.origin;
    let (file, first) = match origin.rsplit_once(':') {
        Some((file, line)) => (file, line.parse().unwrap_or(1)),
        None => (origin.as_str(), 1_u32),
    };
    let inner = diagnostic.line.unwrap_or(1).max(1);
    let line = first.saturating_add(inner - 1);
    (file.to_owned(), line, diagnostic.column.unwrap_or(1))
}

/// Prints what is wrong with a story; returns how much.
fn check_story(path: &std::path::Path) -> usize {
    let file = path.display().to_string();
    let limit = u64::try_from(weir_story::STORY_BYTES_MAX).unwrap_or(u64::MAX);
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > limit {
        println!("{file}: is larger than {limit} bytes");
        return 1;
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            println!("{file}: cannot be read: {error}");
            return 1;
        }
    };
    match weir_story::parse(&text, &file) {
        Ok(_) => 0,
        Err(errors) => {
            for error in &errors {
                println!("{file}:{}:1: {}", error.line, error.message);
            }
            errors.len()
        }
    }
}
