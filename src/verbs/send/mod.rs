//! `weir send`: sends lines of files or standard input over the agent protocol until they are
//! durable.
//!
//! A line is identified by agent, spool and number. Every run uses a new spool, so a file that is
//! sent twice is stored twice. With `--spool N` a run continues that spool, and its first line has
//! the number `--from`. Weir does not store again the lines that it has.

#[doc(hidden)]
pub mod fuzz;
mod lines;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_agent::{AgentClient, AgentError, AgentIdentity, AgentOptions, AgentTls, encode_event};

use crate::console::{errln, outln};
use crate::exit::ExitError;
use crate::server::token;
use crate::verbs::overrides::ServerDefaults;
use lines::{ChangedLines, LINE_BYTES_MAX, SendInput, SendLine};

/// Send lines to a server over the agent protocol, and wait until they are durable there.
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    /// Address of the server's agent port
    /// [default: `listen.agent` of the configuration, 127.0.0.1:7514].
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Name of the sender: 1 to 255 printable characters without space.
    #[arg(long, value_name = "NAME", default_value = "weir-send")]
    agent: String,
    /// File with the server's token [default: `token` in the data folder].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The server's data folder, for its token
    /// [default: `data_dir` of the configuration, weir-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Continue a spool of an earlier run; lines that are stored already are not stored again.
    #[arg(long, value_name = "N")]
    spool: Option<u64>,
    /// Number of the first line in the spool, from 0.
    #[arg(long, value_name = "NUMBER", requires = "spool", default_value_t = 0)]
    from: u64,
    /// Seconds without a connection or an acknowledgement after which to give up.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Use TLS, and trust a server whose certificate is of an authority in this PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the server's certificate must have [default: the host of `--to`].
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,
    /// Files to send; none, or `-`, is standard input.
    files: Vec<PathBuf>,
}

/// Sends the lines, and prints how many were acknowledged.
pub fn send(args: &SendArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut input = Vec::new();
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() {
        &stdin[..]
    } else {
        &args.files
    };
    for file in files {
        input.push(SendInput::open(file)?);
    }
    let sent = runtime.block_on(deliver(args, defaults, input));
    // Standard input may never end; its reader must not keep the process alive.
    runtime.shutdown_background();
    sent
}

async fn deliver(
    args: &SendArgs,
    defaults: &ServerDefaults,
    input: Vec<SendInput>,
) -> Result<ExitCode> {
    let to = args.to.as_deref().unwrap_or(&defaults.agent);
    let data_dir = args.data_dir.as_ref().unwrap_or(&defaults.data_dir);
    let path = args.token_file.clone();
    let path = path.unwrap_or_else(|| data_dir.join("token"));
    let token = token::read(&path).context(
        "the server's token is needed, which its first start created; name it with --token-file",
    )?;
    let spool = args.spool.map_or_else(|| OsRng.try_next_u64(), Ok);
    let spool = spool.context("the system gave no random number for a spool")?;
    let identity = AgentIdentity {
        agent: args.agent.clone(),
        spool,
        token,
    };
    let options = AgentOptions {
        first_sequence: Some(args.from),
        ..AgentOptions::default()
    };
    let tls = args.ca.as_ref().map(|ca| agent_tls(args, to, ca));
    let target = SendTarget {
        to,
        identity,
        options,
        tls: tls.transpose()?,
    };
    let client = target.connect(args.patience()).await?;
    let sender = LineSender {
        args,
        to,
        client,
        spool,
    };
    let mut changed = ChangedLines::default();
    let result = sender.send_all(input, &mut changed).await;
    let acknowledged = sender.client.acknowledged();
    let lines = acknowledged.saturating_sub(args.from);
    outln!("{lines} lines acknowledged");
    errln!(
        "agent {}, spool {spool}, next line {acknowledged}; to send the rest, or to make sure, \
         run the same command with --spool {spool} --from {}",
        args.agent,
        args.from
    );
    report_changed(&changed);
    result.map(|()| ExitCode::SUCCESS)
}

/// First pause before another attempt to connect. It doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl SendArgs {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.clamp(1, 86_400))
    }
}

/// The server that lines are sent to, and as whom.
struct SendTarget<'a> {
    to: &'a str,
    identity: AgentIdentity,
    options: AgentOptions,
    tls: Option<AgentTls>,
}

impl SendTarget<'_> {
    /// Connects, and tries again for as long as the patience lasts: a server that starts, or has no
    /// connection left, refuses for a while.
    async fn connect(&self, patience: Duration) -> Result<AgentClient> {
        let until = tokio::time::Instant::now() + patience;
        let mut pause = PAUSE_MIN;
        loop {
            let (identity, options) = (self.identity.clone(), self.options);
            let attempt = async {
                match self.tls.clone() {
                    None => AgentClient::connect_with(self.to, identity, options).await,
                    Some(tls) => AgentClient::connect_tls(self.to, identity, options, tls).await,
                }
            };
            let error = match tokio::time::timeout_at(until, attempt).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) if may_pass(&error) => error,
                Ok(Err(error)) => return Err(send_error(self.to, error)),
                Err(_) => {
                    let (to, seconds) = (self.to, patience.as_secs());
                    return Err(ExitError::Unreachable(format!(
                        "{to} did not answer within {seconds} s; are all its connections taken?"
                    ))
                    .into());
                }
            };
            if tokio::time::Instant::now() + pause >= until {
                return Err(send_error(self.to, error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Prints how many lines were not sent as they were.
fn report_changed(changed: &ChangedLines) {
    if changed.cut > 0 {
        errln!(
            "{} lines were longer than {LINE_BYTES_MAX} bytes and were cut",
            changed.cut
        );
    }
    if changed.not_utf8 > 0 {
        errln!(
            "{} lines were not UTF-8; their invalid bytes were replaced by U+FFFD",
            changed.not_utf8
        );
    }
}

/// The TLS options: the trusted authorities, and the name of the server.
fn agent_tls(args: &SendArgs, to: &str, ca: &Path) -> Result<AgentTls> {
    // Reports an unreadable file with the same error as every other file.
    let readable = File::open(ca).with_context(|| format!("cannot read {}", ca.display()));
    drop(readable?);
    let tls = AgentTls::from_ca_file(ca).map_err(|error| send_error(to, error))?;
    Ok(match &args.server_name {
        Some(name) => tls.with_name(name)?,
        None => tls,
    })
}

/// Sends lines over one connection.
struct LineSender<'a> {
    args: &'a SendArgs,
    /// Address of the server.
    to: &'a str,
    client: AgentClient,
    spool: u64,
}

impl LineSender<'_> {
    async fn send_all(&self, input: Vec<SendInput>, changed: &mut ChangedLines) -> Result<()> {
        for mut lines in input {
            loop {
                // On its own thread, since reading standard input may block.
                let read = tokio::task::spawn_blocking(move || {
                    let next = lines.next_lines();
                    (lines, next)
                });
                let (back, next) = read.await.context("reading ended in a panic")?;
                lines = back;
                let next = next.with_context(|| format!("cannot read {}", lines.name))?;
                if next.is_empty() {
                    break;
                }
                for line in next {
                    self.push(&line, changed).await?;
                }
            }
        }
        self.with_progress(self.client.flush()).await
    }

    async fn push(&self, line: &SendLine, changed: &mut ChangedLines) -> Result<()> {
        let event = encode_event(0, None, None, &[], Some(&line.text(changed)));
        self.with_progress(self.client.push(event)).await.map(drop)
    }

    /// Waits for as long as acknowledgements arrive.
    async fn with_progress<T>(
        &self,
        wait: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T> {
        let mut wait = pin!(wait);
        let limit = self.args.patience();
        let mut before = self.client.acknowledged();
        loop {
            match tokio::time::timeout(limit, wait.as_mut()).await {
                Ok(done) => return done.map_err(|error| send_error(self.to, error)),
                Err(_) => {
                    let now = self.client.acknowledged();
                    if now == before {
                        let (to, spool) = (self.to, self.spool);
                        let seconds = limit.as_secs();
                        return Err(ExitError::Unreachable(format!(
                            "{to} has acknowledged nothing for {seconds} s; lines from {now} of \
                             spool {spool} on may not be stored"
                        ))
                        .into());
                    }
                    before = now;
                }
            }
        }
    }
}

/// Whether a later attempt may succeed. A certificate that is not accepted stays so.
fn may_pass(error: &AgentError) -> bool {
    let is_tls = matches!(error, AgentError::Connect { source, .. }
        if source.kind() == std::io::ErrorKind::InvalidData);
    error.is_temporary() && !is_tls
}

/// An error of the protocol, with its exit code.
fn send_error(to: &str, error: AgentError) -> anyhow::Error {
    match &error {
        AgentError::Connect { source, .. } => ExitError::Unreachable(format!(
            "no server answers at {to} ({source}); is it running, and is this its agent port?"
        ))
        .into(),
        error if error.is_temporary() => ExitError::Unreachable(format!(
            "{to} closes the connection ({error}); it has no connection left, or stops; try again \
             later, or with more --patience"
        ))
        .into(),
        AgentError::Refused(reason) if reason.starts_with("unauthorized") => ExitError::Denied(
            format!("{to} does not accept the token; is it the token of that server?"),
        )
        .into(),
        AgentError::Authority(_) => ExitError::BadData(error.to_string()).into(),
        _ => error.into(),
    }
}
