//! The command line: its arguments, and the dispatch to the verbs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::console::errln;
use crate::exit::ExitError;
use crate::verbs::overrides::{ServerDefaults, ServerOverrides};
use crate::verbs::{
    check, completions, demo, explain, health, init, replay, rules, run, send, sinks, state, tap,
    test, top, verify, what_if,
};

/// A streaming SIEM whose conclusions are corrected when their inputs change.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Configuration, one TOML file; all of it is optional. Verbs find the server by it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: ServerOverrides,
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
    State(state::StateArgs),
    WhatIf(Box<what_if::WhatIfArgs>),
    Sinks(sinks::SinksArgs),
    Init(init::InitArgs),
    Health(health::HealthArgs),
    Tap(Box<tap::TapArgs>),
    Top(top::TopArgs),
    Completions(completions::CompletionsArgs),
    /// Write the manual page to standard output: `weir man | man -l -`.
    Man,
}

/// Runs the verb.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    cli.refuse_unused_flags()?;
    let file = cli.config.as_deref();
    let flags = &cli.overrides;
    let server = || flags.load(file).map(|config| ServerDefaults::of(&config));
    match cli.verb {
        None | Some(Verb::Run) => run::run(file, flags),
        Some(Verb::Replay(args)) => replay::replay(&args, file, cli.quiet),
        Some(Verb::Test(args)) => test::test(&args),
        Some(Verb::Demo(args)) => demo::demo(&args),
        Some(Verb::Send(args)) => send::send(&args, &server()?),
        Some(Verb::Explain(args)) => explain::explain(&args, &server()?),
        Some(Verb::Check(args)) => check::check(file, flags, &args),
        Some(Verb::Rules(args)) => rules::rules(&flags.load(file)?, &args),
        Some(Verb::Verify(args)) => verify::verify(&args, &server()?),
        Some(Verb::State(args)) => state::state(&args, &server()?),
        Some(Verb::WhatIf(args)) => what_if::what_if(&args, &flags.load(file)?, file, cli.quiet),
        Some(Verb::Sinks(args)) => sinks::sinks(&args, &server()?),
        Some(Verb::Init(args)) => init::init(&args),
        Some(Verb::Health(args)) => health::health(&args, &server()?),
        Some(Verb::Tap(args)) => tap::tap(&args, &flags.load(file)?),
        Some(Verb::Top(args)) => top::top(&args, &server()?),
        Some(Verb::Completions(args)) => completions::completions(Cli::command(), &args),
        Some(Verb::Man) => completions::man(Cli::command()),
    }
}

impl Verb {
    /// Its name on the command line, and the flags of the server that it uses.
    fn flags(&self) -> (&'static str, &'static [&'static str]) {
        const SERVER: &[&str] = &["--config", "--data-dir", "--http"];
        const ALL: &[&str] = &[
            "--config",
            "--data-dir",
            "--syslog-udp",
            "--syslog-tcp",
            "--agent",
            "--http",
            "--workers",
            "--process",
        ];
        match self {
            Self::Run => ("run", ALL),
            Self::Check(_) => ("check", ALL),
            Self::Replay(_) => ("replay", &["--config"]),
            Self::Test(_) => ("test", &[]),
            Self::Demo(_) => ("demo", &[]),
            Self::Send(_) => ("send", &["--config", "--data-dir", "--agent"]),
            Self::Explain(_) => ("explain", SERVER),
            Self::Rules(args) if args.asks_server() => ("rules", SERVER),
            Self::Rules(_) => ("rules", &["--config"]),
            Self::Verify(_) => ("verify", &["--config", "--data-dir"]),
            Self::State(_) => ("state", &["--config", "--data-dir"]),
            Self::WhatIf(_) => ("what-if", SERVER),
            Self::Sinks(_) => ("sinks", SERVER),
            Self::Init(_) => ("init", &[]),
            Self::Health(_) => ("health", SERVER),
            Self::Tap(_) => ("tap", SERVER),
            Self::Top(_) => ("top", SERVER),
            Self::Completions(_) => ("completions", &[]),
            Self::Man => ("man", &[]),
        }
    }
}

/// The folder of the ledger that this process must check, if it was started for that.
///
/// The server and `weir verify` start such a process: `check-ledger DIR`. It is not a verb, so that
/// it is in no help, no completions and no manual page.
#[must_use]
pub fn ledger_to_check(words: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = words.into_iter().skip(1);
    let dir = (words.next()? == "check-ledger").then(|| words.next())??;
    words.next().is_none().then(|| dir.into())
}

/// Parses the command line, or prints the help or a usage error and exits.
#[must_use]
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        if let Some(hint) = renamed_verb(&error) {
            errln!("{hint}");
            std::process::exit(error.exit_code());
        }
        error.exit()
    })
}

/// The message for a verb that has another name now.
fn renamed_verb(error: &clap::Error) -> Option<&'static str> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(name) if name == "tell" => {
            Some("weir: unrecognized subcommand 'tell'; its name is now `weir test`")
        }
        _ => None,
    }
}

impl Cli {
    /// Fails if a flag of the server, or --config, was given to a verb that cannot use it.
    fn refuse_unused_flags(&self) -> Result<(), ExitError> {
        let (verb, used) = self.verb.as_ref().unwrap_or(&Verb::Run).flags();
        let config = self.config.iter().map(|_| "--config");
        let mut given = config.chain(self.overrides.given());
        match given.find(|flag| !used.contains(flag)) {
            None => Ok(()),
            Some(flag) => Err(ExitError::Usage(format!(
                "`weir {verb}` cannot use {flag} of the server; leave it out, or see \
                 `weir {verb} --help` for the flags that go behind the verb"
            ))),
        }
    }

    /// Whether log lines would mix with the output of the verb.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let has_output = |verb: &Verb| {
            matches!(
                verb,
                Verb::Demo(_)
                    | Verb::Send(_)
                    | Verb::Verify(_)
                    | Verb::State(_)
                    | Verb::Check(_)
                    | Verb::Rules(_)
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
            &["weir", "--config", "a", "rules", "list"],
            &["weir", "rules", "--config", "a", "list"],
            &["weir", "rules", "list", "--config", "a"],
        ] {
            assert_eq!(config(words).as_deref(), Some("a"), "{words:?}");
        }
        assert_eq!(config(&["weir", "rules", "list"]), None);
    }

    #[test]
    fn the_later_of_two_configurations_is_used() {
        for words in [
            &["weir", "--config", "a", "run", "--config", "b"][..],
            &["weir", "--config", "a", "rules", "list", "--config", "b"],
            &["weir", "rules", "--config", "a", "list", "--config", "b"],
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

    #[test]
    fn a_flag_that_a_verb_cannot_use_is_a_usage_error() {
        for (words, refused) in [
            (&["weir", "--data-dir", "x"][..], None),
            (&["weir", "--data-dir", "x", "verify"], None),
            (&["weir", "--data-dir", "x", "--http", "off", "top"], None),
            (&["weir", "--agent", "127.0.0.1:1", "send"], None),
            (&["weir", "--process", "1", "check"], None),
            (&["weir", "--config", "x", "rules", "list"], None),
            (&["weir", "--http", "off", "verify"], Some("--http")),
            (&["weir", "--data-dir", "x", "demo"], Some("--data-dir")),
            (&["weir", "--config", "x", "init"], Some("--config")),
            (&["weir", "man", "--config", "x"], Some("--config")),
            (&["weir", "--workers", "2", "verify"], Some("--workers")),
            (&["weir", "--http", "off", "rules", "list"], Some("--http")),
            (&["weir", "--http", "off", "rules", "remove", "x"], None),
            (
                &["weir", "--syslog-tcp", "off", "top"],
                Some("--syslog-tcp"),
            ),
        ] {
            let cli = Cli::try_parse_from(words).expect("the command line is right");
            let message = cli.refuse_unused_flags().map_err(|error| error.to_string());
            match refused {
                None => assert_eq!(message, Ok(()), "{words:?}"),
                Some(flag) => {
                    let message = message.expect_err("the flag cannot be used");
                    assert!(message.contains(flag), "{words:?}: {message}");
                }
            }
        }
    }

    #[test]
    fn the_check_of_a_ledger_is_no_verb() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let found = ledger_to_check(words(&["weir", "check-ledger", "dir"]));
        assert_eq!(found, Some(PathBuf::from("dir")));
        assert_eq!(ledger_to_check(words(&["weir", "check-ledger"])), None);
        assert_eq!(ledger_to_check(words(&["weir", "check", "dir"])), None);
        let command = Cli::command();
        let mut verbs = command.get_subcommands();
        assert!(verbs.all(|verb| !verb.is_hide_set()));
    }

    #[test]
    fn a_renamed_verb_is_hinted_at() {
        let error = Cli::try_parse_from(["weir", "tell", "x"]).expect_err("there is no such verb");
        let hint = renamed_verb(&error).expect("a hint");
        assert!(
            hint.contains("`weir test`") && !hint.contains('\n'),
            "{hint}"
        );
        let error = Cli::try_parse_from(["weir", "sell"]).expect_err("there is no such verb");
        assert_eq!(renamed_verb(&error), None);
    }
}
