//! The command line: its arguments, and the dispatch to the verbs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::verbs::{
    check, completions, demo, explain, health, init, replay, rules, run, send, sinks, tap, test,
    top, verify, what_if,
};

/// A streaming SIEM whose conclusions are corrected when their inputs change.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Configuration, one TOML file; all of it is optional. Verbs that read none ignore it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: run::ServerOverrides,
    /// Log errors only.
    #[arg(long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the server (what `weir` without a verb does).
    Run,
    Replay(Box<replay::ReplayArgs>),
    Test(test::StoryTestArgs),
    Demo(demo::DemoArgs),
    Send(send::SendArgs),
    Explain(explain::ExplainArgs),
    Check(check::CheckArgs),
    Rules(rules::RulesArgs),
    Verify(verify::VerifyArgs),
    WhatIf(Box<what_if::WhatIfArgs>),
    Sinks(sinks::SinksArgs),
    Init(init::InitArgs),
    Health(health::HealthArgs),
    Tap(Box<tap::TapArgs>),
    Top(top::TopArgs),
    Completions(completions::CompletionsArgs),
    /// Write the manual page to standard output: `weir man | man -l -`.
    Man,
    /// Check a ledger in a process of its own.
    #[command(hide = true)]
    CheckLedger {
        dir: PathBuf,
    },
}

/// Runs the verb.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let config = cli.config.as_deref();
    match cli.verb {
        None | Some(Verb::Run) => run::run(config, &cli.overrides),
        Some(Verb::Replay(args)) => replay::replay(&args, cli.quiet),
        Some(Verb::Test(args)) => test::test(&args),
        Some(Verb::Demo(args)) => demo::demo(&args),
        Some(Verb::Send(args)) => send::send(&args),
        Some(Verb::Explain(args)) => explain::explain(&args),
        Some(Verb::Check(args)) => check::check(config, &args),
        Some(Verb::Rules(args)) => rules::rules(config, &args),
        Some(Verb::Verify(args)) => verify::verify(&args),
        Some(Verb::WhatIf(args)) => what_if::what_if(&args, cli.quiet),
        Some(Verb::Sinks(args)) => sinks::sinks(&args),
        Some(Verb::Init(args)) => init::init(&args),
        Some(Verb::Health(args)) => health::health(&args),
        Some(Verb::Tap(args)) => tap::tap(&args),
        Some(Verb::Top(args)) => top::top(&args),
        Some(Verb::Completions(args)) => completions::completions(Cli::command(), &args),
        Some(Verb::Man) => completions::man(Cli::command()),
        Some(Verb::CheckLedger { dir }) => {
            weir_store::ledger::check(&dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Cli {
    /// Whether log lines would mix with the output of the verb.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let has_output = |verb: &Verb| {
            matches!(
                verb,
                Verb::Demo(_) | Verb::Send(_) | Verb::Verify(_) | Verb::Check(_) | Verb::Rules(_)
            )
        };
        self.quiet || self.verb.as_ref().is_some_and(has_output)
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn config(words: &[&str]) -> Option<String> {
        let cli = Cli::try_parse_from(words).expect("the command line is right");
        cli.config.map(|file| file.display().to_string())
    }

    #[test]
    fn the_configuration_is_named_before_or_after_a_verb() {
        for words in [
            &["weir", "--config", "a"][..],
            &["weir", "--config", "a", "run"],
            &["weir", "run", "--config", "a"],
            &["weir", "--config", "a", "check"],
            &["weir", "check", "--config", "a"],
            &["weir", "--config", "a", "rules", "lint"],
            &["weir", "rules", "--config", "a", "lint"],
            &["weir", "rules", "lint", "--config", "a"],
        ] {
            assert_eq!(config(words).as_deref(), Some("a"), "{words:?}");
        }
        assert_eq!(config(&["weir", "rules", "lint"]), None);
    }

    #[test]
    fn the_later_of_two_configurations_is_used() {
        for words in [
            &["weir", "--config", "a", "run", "--config", "b"][..],
            &["weir", "--config", "a", "rules", "lint", "--config", "b"],
            &["weir", "rules", "--config", "a", "lint", "--config", "b"],
        ] {
            assert_eq!(config(words).as_deref(), Some("b"), "{words:?}");
        }
        let twice = Cli::try_parse_from(["weir", "run", "--config", "a", "--config", "b"]);
        let kind = twice.expect_err("one place names it twice").kind();
        assert_eq!(kind, ErrorKind::ArgumentConflict);
    }

    #[test]
    fn an_unknown_verb_is_a_usage_error() {
        let unknown = Cli::try_parse_from(["weir", "tell", "stories"]);
        let kind = unknown.expect_err("there is no such verb").kind();
        assert_eq!(kind, ErrorKind::InvalidSubcommand);
    }
}
