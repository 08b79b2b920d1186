//! `weir check`: configuration, rules and stories, all problems told together; and this machine.

mod here;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::{Diagnostic, RuleBook};
use weir_schema::EventTime;

use crate::config::Config;
use crate::rules::{files, load};
use crate::{builtin, cli, detection};

/// Checks configuration, rules and stories without starting anything.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Configuration, whose rules are checked too.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of rules, or a folder of `*.yml` and `*.yaml`; may be given again.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Also whether this machine can run it: addresses, data folder, certificates.
    #[arg(long)]
    here: bool,
    /// Stories to parse.
    #[arg(value_name = "STORY")]
    stories: Vec<PathBuf>,
}

/// The exit code of a configuration that cannot be used.
const BAD_CONFIG: u8 = 78;

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
    let bad_here = match (args.here, &bad_config) {
        (true, None) => here::problems(&config),
        _ => Vec::new(),
    };
    for problem in &bad_here {
        println!("{problem}");
    }
    let paths = [&config.rules.paths[..], &args.rules].concat();
    let (book, bad_settings) = match detection::book(&config.detection) {
        Ok(book) => (book, 0),
        Err(problem) => {
            println!("{problem:#}");
            (RuleBook::new(), 1)
        }
    };
    let rules = check_rules(book, config.rules.builtin, &paths);
    let mut bad_stories = 0_usize;
    for story in &args.stories {
        bad_stories += check_story(story);
    }
    let problems = rules.problems + bad_stories + bad_settings + bad_here.len();
    println!(
        "{} rules and {} stories checked: {problems} problems, {} remarks; the configuration is {}",
        rules.documents,
        args.stories.len(),
        rules.remarks,
        if bad_config.is_some() { "bad" } else { "good" },
    );
    Ok(match bad_config {
        Some(code) => code,
        None if !bad_here.is_empty() => ExitCode::from(BAD_CONFIG),
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

/// Puts all rules into a book, as a server would.
fn check_rules(mut book: RuleBook, with_builtin: bool, paths: &[PathBuf]) -> Checked {
    let found = files::read_all(paths);
    let mut documents = found.documents;
    if with_builtin {
        documents.extend(builtin::rules());
    }
    let mut said: Vec<Diagnostic> = found.troubles.iter().map(|t| t.diagnostic(None)).collect();
    let (wanted, twice) = load::firsts(&documents, |_| None);
    said.extend(twice);
    said.extend(load::load(&mut book, wanted, EventTime::MIN).diagnostics);
    said.sort_by_cached_key(load::place);
    let mut checked = Checked {
        documents: documents.len(),
        ..Checked::default()
    };
    for said in &said {
        println!("{}", load::line(said));
        checked.problems += usize::from(said.refused);
        checked.remarks += usize::from(!said.refused);
    }
    checked
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
