//! `weir send`: lines of files or standard input over the agent protocol, until they are durable.
//!
//! A line is named by agent, spool and number. Every run takes a new spool, so a file that is sent
//! twice is there twice; with `--spool N` a run goes on with that spool, its first line having the
//! number `--from`, and what Weir has already is not taken again.

#[doc(hidden)]
pub mod door;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_agent::{AgentClient, AgentError, AgentIdentity, AgentOptions, AgentTls, encode_event};
use weir_schema::{Records, ZeekLog};

use crate::cli::Failure;
use crate::token;

/// Longer lines are cut, and that is said; an event of the protocol has at most 1 MiB.
const LINE_BYTES_MAX: usize = 512 << 10;

/// Longest text of a line: with the header of a Zeek log in front of it, and room for what the
/// protocol adds, below the 1 MiB of an event.
const TEXT_BYTES_MAX: usize = LINE_BYTES_MAX + weir_schema::ZEEK_HEADER_BYTES_MAX;

/// Lines read before they are handed on.
const LINES_AT_ONCE: usize = 1_000;

/// Sends lines to a server over the agent protocol, and waits until they are durable there.
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    /// Address of the server's agent port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7514")]
    to: String,
    /// Name of the sender: 1 to 255 printable characters without space.
    #[arg(long, value_name = "NAME", default_value = "weir-send")]
    agent: String,
    /// File with the server's token [default: `token` in the data folder].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The server's data folder, for its token.
    #[arg(long, value_name = "DIR", default_value = "weir-data")]
    data_dir: PathBuf,
    /// Goes on with a spool of an earlier run; lines that are there already are not taken again.
    #[arg(long, value_name = "N")]
    spool: Option<u64>,
    /// Number of the first line, counted from 0 in the spool.
    #[arg(long, value_name = "NUMBER", requires = "spool", default_value_t = 0)]
    from: u64,
    /// Seconds without any acknowledgement after which to give up.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Speaks within TLS, with a server whose certificate is of an authority in this PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the server's certificate must have [default: the host of `--to`].
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,
    /// Files to send; none, or `-`, is standard input.
    files: Vec<PathBuf>,
}

/// Sends.
pub fn send(args: &SendArgs) -> Result<ExitCode> {
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
        input.push(Lines::open(file)?);
    }
    let sent = runtime.block_on(deliver(args, input));
    // Standard input may never end; its reader must not keep the process.
    runtime.shutdown_background();
    sent
}

async fn deliver(args: &SendArgs, input: Vec<Lines>) -> Result<ExitCode> {
    let path = args.token_file.clone();
    let path = path.unwrap_or_else(|| args.data_dir.join("token"));
    let token = token::read(&path).context(
        "the token is needed that the server made at its first start; name it with --token-file",
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
    let client = match &args.ca {
        None => AgentClient::connect_with(&args.to, identity, options).await,
        Some(ca) => {
            let tls = believed(args, ca)?;
            AgentClient::connect_tls(&args.to, identity, options, tls).await
        }
    };
    let client = client.map_err(|error| told(&args.to, error))?;
    let sender = Sender {
        args,
        client,
        spool,
    };
    let mut odd = Odd::default();
    let result = sender.send_all(input, &mut odd).await;
    let acknowledged = sender.client.acknowledged();
    let lines = acknowledged.saturating_sub(args.from);
    println!("{lines} lines acknowledged");
    eprintln!(
        "agent {}, spool {spool}, next line {acknowledged}; to send what is left, or to be sure: \
         the same again with --spool {spool} --from {}",
        args.agent, args.from
    );
    if odd.cut > 0 {
        eprintln!(
            "{} lines were longer than {LINE_BYTES_MAX} bytes and were cut",
            odd.cut
        );
    }
    if odd.no_text > 0 {
        eprintln!(
            "{} lines were not UTF-8; what was not is now U+FFFD",
            odd.no_text
        );
    }
    result.map(|()| ExitCode::SUCCESS)
}

/// Whom it believes to be Weir.
fn believed(args: &SendArgs, ca: &Path) -> Result<AgentTls> {
    // What keeps it from being read ends as it does for every other file.
    let readable = File::open(ca).with_context(|| format!("cannot read {}", ca.display()));
    drop(readable?);
    let tls = AgentTls::from_ca_file(ca).map_err(|error| told(&args.to, error))?;
    Ok(match &args.server_name {
        Some(name) => tls.with_name(name)?,
        None => tls,
    })
}

/// Lines that could not be sent as they are.
#[derive(Default)]
struct Odd {
    cut: u64,
    no_text: u64,
}

struct Sender<'a> {
    args: &'a SendArgs,
    client: AgentClient,
    spool: u64,
}

impl Sender<'_> {
    async fn send_all(&self, input: Vec<Lines>, odd: &mut Odd) -> Result<()> {
        for mut lines in input {
            loop {
                // On a thread of its own: standard input may make it wait.
                let read = tokio::task::spawn_blocking(move || {
                    let some = lines.some();
                    (lines, some)
                });
                let (back, some) = read.await.context("reading ended in a panic")?;
                lines = back;
                let some = some.with_context(|| format!("cannot read {}", lines.name))?;
                if some.is_empty() {
                    break;
                }
                for line in some {
                    self.push(&line, odd).await?;
                }
            }
        }
        self.patiently(self.client.flush()).await
    }

    async fn push(&self, line: &Line, odd: &mut Odd) -> Result<()> {
        let event = encode_event(0, None, None, &[], Some(&line.text(odd)));
        self.patiently(self.client.push(event)).await.map(drop)
    }

    /// Waits for as long as acknowledgements come in.
    async fn patiently<T>(&self, wait: impl Future<Output = Result<T, AgentError>>) -> Result<T> {
        let mut wait = pin!(wait);
        let patience = Duration::from_secs(self.args.patience.clamp(1, 86_400));
        let mut before = self.client.acknowledged();
        loop {
            match tokio::time::timeout(patience, wait.as_mut()).await {
                Ok(done) => return done.map_err(|error| told(&self.args.to, error)),
                Err(_) => {
                    let now = self.client.acknowledged();
                    if now == before {
                        let (to, spool) = (&self.args.to, self.spool);
                        let seconds = patience.as_secs();
                        return Err(Failure::Unreachable(format!(
                            "{to} has acknowledged nothing for {seconds} s; what is after line \
                             {now} of spool {spool} may not be there"
                        ))
                        .into());
                    }
                    before = now;
                }
            }
        }
    }
}

/// An error of the protocol, with the exit code that it means.
fn told(to: &str, error: AgentError) -> anyhow::Error {
    match &error {
        AgentError::Connect { source, .. } => Failure::Unreachable(format!(
            "no server answers at {to} ({source}); is it running, and is that its agent port?"
        ))
        .into(),
        AgentError::Refused(reason) if reason.starts_with("unauthorized") => Failure::Denied(
            format!("{to} does not accept the token; is it of that server?"),
        )
        .into(),
        AgentError::Authority(_) => Failure::BadData(error.to_string()).into(),
        _ => error.into(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    bytes: Vec<u8>,
    cut: bool,
}

impl Line {
    /// What is sent of it: text, and no longer than the protocol takes.
    fn text(&self, odd: &mut Odd) -> Cow<'_, str> {
        let mut text = String::from_utf8_lossy(&self.bytes);
        odd.no_text += u64::from(matches!(text, Cow::Owned(_)));
        // U+FFFD is longer than what it stands for.
        let kept = text.floor_char_boundary(TEXT_BYTES_MAX);
        odd.cut += u64::from(self.cut || kept < text.len());
        if kept < text.len() {
            text.to_mut().truncate(kept);
        }
        text
    }
}

/// The lines of one input.
struct Lines {
    name: String,
    input: BufReader<Box<dyn Read + Send>>,
    records: Records,
    zeek: ZeekLog,
}

impl Lines {
    fn open(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let input: Box<dyn Read + Send> = if name == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("cannot read {name}"))?)
        };
        Ok(Self::new(&name, input))
    }

    fn new(name: &str, input: Box<dyn Read + Send>) -> Self {
        Self {
            name: name.into(),
            input: BufReader::with_capacity(256 << 10, input),
            records: Records::default(),
            zeek: ZeekLog::default(),
        }
    }

    /// What is there; waits for one line only. Empty ones and headers of Zeek logs are left out, the
    /// latter put in front of the lines under them; none: the input has ended.
    fn some(&mut self) -> std::io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.is_empty()
            || (lines.len() < LINES_AT_ONCE && self.input.buffer().contains(&b'\n'))
        {
            let Some(mut line) = self.line()? else {
                break;
            };
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            if let Some(prefix) = self.zeek.prefix(&line.bytes) {
                line.bytes.splice(..0, prefix.iter().copied());
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// A line, or a record of a file that is one document of them.
    fn line(&mut self) -> std::io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let record = self
            .records
            .read(&mut self.input, &mut bytes, LINE_BYTES_MAX)?;
        if let Some(cut) = record {
            return Ok(Some(Line { bytes, cut }));
        }
        let held = self.records.take_held();
        if !held.is_empty() {
            let nothing: Box<dyn Read + Send> = Box::new(std::io::empty());
            let rest = std::mem::replace(&mut self.input, BufReader::new(nothing));
            self.input = BufReader::new(Box::new(std::io::Cursor::new(held).chain(rest)));
        }
        let limit = LINE_BYTES_MAX as u64 + 1;
        if self
            .input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            return Ok(None);
        }
        let whole = bytes.last() == Some(&b'\n');
        if whole {
            bytes.pop();
        }
        let cut = bytes.len() > LINE_BYTES_MAX;
        if cut {
            bytes.truncate(LINE_BYTES_MAX);
            self.skip_line()?;
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(Some(Line { bytes, cut }))
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let some = self.input.fill_buf()?;
            if some.is_empty() {
                return Ok(());
            }
            let end = some.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(some.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_records_is_sent_as_its_records() {
        for (text, expected) in [
            ("{\"Records\":[{\"a\":\n1} ,2]}", vec!["{\"a\":\n1}", "2"]),
            ("{\n\"Records\":5}\nb", vec!["{", "\"Records\":5}", "b"]),
        ] {
            let mut lines = Lines::new("test", Box::new(text.as_bytes()));
            let mut read = Vec::new();
            loop {
                let some = lines.some().expect("memory can be read");
                if some.is_empty() {
                    break;
                }
                let texts = some.into_iter().map(|line| String::from_utf8(line.bytes));
                read.extend(texts.map(|text| text.expect("the input is text")));
            }
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn lines_are_cut_at_the_limit_and_at_their_ends() {
        let mut text = b"one\r\n\ntwo\n".to_vec();
        text.extend(vec![b'x'; LINE_BYTES_MAX]);
        text.push(b'\n');
        text.extend(vec![b'y'; LINE_BYTES_MAX + 300_000]);
        text.extend(b"\nlast");
        let mut lines = Lines::new("test", Box::new(std::io::Cursor::new(text)));
        let mut read = Vec::new();
        loop {
            let some = lines.some().expect("memory can be read");
            if some.is_empty() {
                break;
            }
            read.extend(some.into_iter().map(|line| (line.bytes.len(), line.cut)));
        }
        let max = LINE_BYTES_MAX;
        assert_eq!(
            read,
            [
                (3, false),
                (3, false),
                (max, false),
                (max, true),
                (4, false)
            ]
        );
    }

    #[test]
    fn a_line_that_grows_as_text_is_cut_to_what_the_protocol_takes() {
        for (bytes, length, cut) in [
            (b"a\xff".to_vec(), 4, 0),
            (vec![0xff; LINE_BYTES_MAX], TEXT_BYTES_MAX / 3 * 3, 1),
        ] {
            let (line, mut odd) = (Line { bytes, cut: false }, Odd::default());
            assert_eq!(line.text(&mut odd).len(), length);
            assert_eq!((odd.cut, odd.no_text), (cut, 1));
        }
    }

    #[test]
    fn lines_of_a_zeek_log_carry_its_header() {
        let log = b"#separator \\x09\n#path\tx\n#fields\ta\n1\n2\n#close\tnow\n";
        let mut lines = Lines::new("test", Box::new(std::io::Cursor::new(log.to_vec())));
        let read = lines.some().expect("memory can be read");
        let read: Vec<_> = read.into_iter().map(|line| line.bytes).collect();
        assert_eq!(
            read,
            ["#path\tx\n#fields\ta\n1", "#path\tx\n#fields\ta\n2"].map(str::as_bytes)
        );
    }
}
