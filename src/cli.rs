//! What people type, and the exit code they get: 0 ok, 1 failure, 2 usage, 65 bad data, 69 unreachable,
//! 74 I/O, 75 another process of the cluster is gone, 77 permission, 78 bad configuration.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::{BadConfig, Door};

/// A streaming SIEM whose conclusions are corrected when their inputs change.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Log only what needs someone.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// How a server is started; flags override the file.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Configuration, one TOML file; all of it is optional.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of journal, ledger and token [default: weir-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for syslog over UDP, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub syslog_udp: Option<Door>,
    /// Address for syslog over TCP, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub syslog_tcp: Option<Door>,
    /// Address for agents, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub agent: Option<Door>,
    /// Address for API, streams and metrics, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<Door>,
    /// Timely workers.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Number of this process among those of `cluster.addresses`.
    #[arg(long, value_name = "N")]
    pub process: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the server (what `weir` without a verb does).
    Run,
    Replay(Box<crate::replay::ReplayArgs>),
    /// Tell stories: pages that say what happens, and what must be said of it.
    Tell(crate::tell::TellArgs),
    Demo(crate::demo::DemoArgs),
    Send(crate::send::SendArgs),
    Explain(crate::explain_alert::ExplainArgs),
    Check(crate::check::CheckArgs),
    Rules(crate::rules::RulesArgs),
    Verify(crate::verify::VerifyArgs),
    WhatIf(Box<crate::what_if::WhatIfArgs>),
    Sinks(crate::sinks::SinksArgs),
    Init(crate::init::InitArgs),
    Health(crate::health::HealthArgs),
    Tap(Box<crate::tap::TapArgs>),
    Top(crate::top::TopArgs),
    Completions(crate::completions::CompletionsArgs),
    /// Writes the manual page to standard output: `weir man | man -l -`.
    Man,
    /// Check a ledger from a process of its own.
    #[command(hide = true)]
    CheckLedger {
        dir: PathBuf,
    },
}

/// Runs the verb.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.verb {
        None | Some(Verb::Run) => crate::run::run(&cli.server),
        Some(Verb::Replay(args)) => crate::replay::replay(&args, cli.quiet),
        Some(Verb::Tell(args)) => crate::tell::tell(&args),
        Some(Verb::Demo(args)) => crate::demo::demo(&args),
        Some(Verb::Send(args)) => crate::send::send(&args),
        Some(Verb::Explain(args)) => crate::explain_alert::explain(&args),
        Some(Verb::Check(args)) => crate::check::check(&args),
        Some(Verb::Rules(args)) => crate::rules::rules(&args),
        Some(Verb::Verify(args)) => crate::verify::verify(&args),
        Some(Verb::WhatIf(args)) => crate::what_if::what_if(&args, cli.quiet),
        Some(Verb::Sinks(args)) => crate::sinks::sinks(&args),
        Some(Verb::Init(args)) => crate::init::init(&args),
        Some(Verb::Health(args)) => crate::health::health(&args),
        Some(Verb::Tap(args)) => crate::tap::tap(&args),
        Some(Verb::Top(args)) => crate::top::top(&args),
        Some(Verb::Completions(args)) => crate::completions::completions(&args),
        Some(Verb::Man) => crate::completions::man(),
        Some(Verb::CheckLedger { dir }) => {
            weir_store::ledger::check(&dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Log lines go to standard error: JSON where it is no terminal.
pub fn start_log(quiet: bool) {
    let default = if quiet { "error" } else { "info" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::progress::behind_bar);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}

/// The exit code that says what kind of failure it was.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if cause.is::<BadConfig>() {
            return ExitCode::from(78);
        }
        if let Some(code) = cause.downcast_ref::<Failure>() {
            return ExitCode::from(code.code());
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            return ExitCode::from(if denied { 77 } else { 74 });
        }
    }
    ExitCode::FAILURE
}

/// Failures whose kind is not told by what caused them.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Io(String),
    #[error("{0}")]
    Lost(String),
}

impl Cli {
    /// Whether the log would be in the way of what the verb says.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let speaks = |verb: &Verb| {
            matches!(
                verb,
                Verb::Demo(_) | Verb::Send(_) | Verb::Verify(_) | Verb::Check(_) | Verb::Rules(_)
            )
        };
        self.quiet || self.verb.as_ref().is_some_and(speaks)
    }
}

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::BadData(_) => 65,
            Self::Unreachable(_) => 69,
            Self::Denied(_) => 77,
            Self::Io(_) => 74,
            Self::Lost(_) => 75,
        }
    }
}
