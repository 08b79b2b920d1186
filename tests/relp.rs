//! RELP end to end: acknowledged lines survive kills, and rsyslog's omrelp, set up as in
//! `docs/omrelp.md`, loses no line.

mod support;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::outside::{Daemon, find, rsyslog_module};
use support::pki::Authority;
use support::{Weir, config_with_streams, lasting_port, skipped, until};
use weir_schema::Transport;

/// Number of lines of a run. Each line has its number.
const LINES: usize = 24_000;

/// Number of parts in which the lines are written. Between parts, one side is killed or restarted.
const PARTS: usize = 4;

/// An rsyslog that forwards a file over RELP.
struct Sender {
    program: PathBuf,
    folder: PathBuf,
    input: File,
    written: usize,
}

impl Sender {
    fn new(program: PathBuf, folder: &Path, port: u16, more: &str) -> Self {
        // By default rsyslog gives its queues 10 ms to finish, and drops lines that its queue of
        // 1,000 lines has no room for.
        let timeouts = "queue.timeoutShutdown=\"10000\" queue.timeoutActionCompletion=\"10000\"";
        let text = format!(
            "global(workDirectory=\"{0}\")\n\
             module(load=\"imfile\")\nmodule(load=\"omrelp\")\n\
             input(type=\"imfile\" File=\"{0}/in.log\" Tag=\"shop:\" PersistStateInterval=\"100\")\n\
             template(name=\"line\" type=\"string\" string=\"<%PRI%>%TIMESTAMP:::date-rfc3339% h \
             %syslogtag%%msg%\")\n\
             action(type=\"omrelp\" target=\"127.0.0.1\" port=\"{port}\" template=\"line\" \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" queue.type=\"Disk\" \
             queue.filename=\"relp\" queue.size=\"10000000\" queue.maxDiskSpace=\"1g\" \
             queue.saveOnShutdown=\"on\" queue.timeoutWorkerThreadShutdown=\"-1\" {timeouts} {more})\n\
             main_queue(queue.type=\"LinkedList\" {timeouts})\n",
            folder.display()
        );
        std::fs::write(folder.join("rsyslog.conf"), text).expect("it can be written");
        let mut input = OpenOptions::new();
        input.create(true).append(true);
        Self {
            program,
            folder: folder.to_owned(),
            input: input.open(folder.join("in.log")).expect("a file"),
            written: 0,
        }
    }

    fn start(&self) -> Daemon {
        let mut command = Command::new(&self.program);
        command.arg("-n");
        command.arg("-f").arg(self.folder.join("rsyslog.conf"));
        command.arg("-i").arg(self.folder.join("pid"));
        Daemon::start(&mut command)
    }

    /// Writes the next part of all lines.
    fn write(&mut self) {
        self.write_lines(LINES / PARTS);
    }

    fn write_lines(&mut self, lines: usize) {
        let mut text = String::new();
        for _ in 0..lines {
            text.push_str(&format!("line {:06} Grüße, \"quoted\"\n", self.written));
            self.written += 1;
        }
        self.input
            .write_all(text.as_bytes())
            .expect("it can be written");
    }
}

/// Numbers of the lines in a journal, and the number of frames.
fn journaled(data: &Path) -> (BTreeSet<usize>, usize) {
    let frames = support::frames(data, Transport::Relp);
    let numbers = frames.iter().map(|frame| {
        let text = std::str::from_utf8(frame).expect("it is text");
        let rest = text
            .split("line ")
            .nth(1)
            .expect("every line has its number");
        assert!(rest.ends_with("Grüße, \"quoted\""), "whole: {text:?}");
        rest[..6].parse().expect("a number")
    });
    (numbers.collect(), frames.len())
}

#[test]
fn acknowledged_lines_survive_a_kill_at_any_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut total = 0;
    for life in 1..=4_usize {
        let data = folder.path().join(life.to_string());
        let weir = Weir::start(&data, &config_with_streams(0, "", ""));
        let mut stream = TcpStream::connect(weir.relp).expect("the port is open");
        let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
        let offers = "relp_version=0\ncommands=syslog";
        writeln!(stream, "1 open {} {offers}", offers.len()).expect("it is read");
        let acknowledged = std::thread::spawn(move || {
            let (mut acknowledged, mut line) = (BTreeSet::new(), String::new());
            while answers.read_line(&mut line).is_ok_and(|length| length > 0) {
                if let Some(number) = line.strip_suffix(" rsp 6 200 OK\n") {
                    acknowledged.insert(number.parse::<usize>().expect("a number"));
                }
                line.clear();
            }
            acknowledged
        });
        let sending = std::thread::spawn(move || {
            for number in 2.. {
                let text = format!("<13>line {number:06} Grüße, \"quoted\"");
                let frame = format!("{number} syslog {} {text}\n", text.len());
                if stream.write_all(frame.as_bytes()).is_err() {
                    return; // It was killed.
                }
            }
        });
        weir.await_metric(JOURNALED, "relp:", 3_000 * life as u64);
        weir.kill();
        sending.join().expect("it ends");
        let acknowledged = acknowledged.join().expect("it ends");
        let (stored, _) = journaled(&data);
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and not journaled: {lost:?}");
        assert!(!acknowledged.is_empty());
        total += acknowledged.len();
    }
    println!("{total} lines acknowledged before four kills, all journaled");
}

const JOURNALED: &str = "weir_source_journaled_total";

/// Number of polls between two lines that are written only to wake omrelp.
const LOOKS_A_NUDGE: usize = 20;

/// Waits until the server has journaled this many lines since its start.
///
/// Meanwhile it writes a line now and then, because omrelp reads answers and replaces a broken
/// connection only when it has another line to send.
fn await_delivered(weir: &Weir, rsyslog: &Daemon, sender: &mut Sender, wanted: usize) {
    let mut looks = 0;
    until(
        &format!("{wanted} lines: {}", rsyslog.stderr.text()),
        || {
            looks += 1;
            if looks % LOOKS_A_NUDGE == 0 {
                sender.write_lines(1);
            }
            (weir.metric(JOURNALED, "relp:") >= wanted as f64).then_some(())
        },
    );
}

#[test]
fn omrelp_loses_no_line_across_restarts_and_kills() {
    let name = "omrelp_loses_no_line_across_restarts_and_kills";
    let (Some(rsyslogd), true) = (find("rsyslogd"), rsyslog_module("omrelp")) else {
        return skipped(name, "rsyslogd with omrelp");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let port = lasting_port();
    let config = config_with_streams(port, "", "");
    let mut sender = Sender::new(rsyslogd, folder.path(), port, "");

    // The server is restarted and killed while lines flow.
    let weir = Weir::start(&data, &config);
    sender.write();
    let rsyslog = sender.start();
    weir.await_metric(JOURNALED, "relp:", 1_000);
    weir.stop();
    sender.write();
    let weir = Weir::start(&data, &config);
    await_delivered(&weir, &rsyslog, &mut sender, 2_000);
    weir.kill();
    let (stored, _) = journaled(&data);
    let weir = Weir::start(&data, &config);
    let wanted = sender.written - stored.len();
    await_delivered(&weir, &rsyslog, &mut sender, wanted);
    // The sender is restarted while it has a connection. It then sends the lines written meanwhile.
    rsyslog.stop();
    sender.write();
    let rsyslog = sender.start();
    await_delivered(&weir, &rsyslog, &mut sender, wanted + 500);
    weir.kill();
    sender.write();
    // Repeated lines count too, so only their numbers tell when all are stored.
    let (mut stored, mut frames) = journaled(&data);
    while stored.range(..LINES).count() < LINES {
        let weir = Weir::start(&data, &config);
        let wanted = sender.written - stored.len();
        await_delivered(&weir, &rsyslog, &mut sender, wanted);
        weir.stop();
        (stored, frames) = journaled(&data);
    }
    rsyslog.stop();
    assert!(
        stored.last() < Some(&sender.written),
        "a line that was not sent"
    );
    let repeated = frames - stored.len();
    println!("omrelp: {LINES} sent and journaled, {repeated} of them repeated");
}

#[test]
fn omrelp_over_tls_is_identified_by_its_certificate() {
    let name = "omrelp_over_tls_is_identified_by_its_certificate";
    let (Some(rsyslogd), true) = (find("rsyslogd"), rsyslog_module("omrelp")) else {
        return skipped(name, "rsyslogd with omrelp");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let authority = Authority::new(folder.path(), "authority");
    let server = authority.issue("localhost");
    let client = authority.issue("shop1.example.com");
    let tls = format!(
        "{}client_ca = {:?}\nrelp = true\n",
        server.keys(),
        authority.file.display().to_string()
    );
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let more = format!(
        "tls=\"on\" tls.caCert=\"{}\" tls.myCert=\"{}\" tls.myPrivKey=\"{}\" \
         tls.authMode=\"name\" tls.permittedPeer=[\"localhost\"]",
        authority.file.display(),
        client.certificate.display(),
        client.key.display()
    );
    let mut sender = Sender::new(rsyslogd, folder.path(), weir.relp.port(), &more);
    sender.write();
    let rsyslog = sender.start();
    let part = LINES / PARTS;
    until(
        &format!("omrelp delivers: {}", rsyslog.stderr.text()),
        || {
            let count = weir.metric(JOURNALED, "relp:shop1.example.com");
            (count >= part as f64).then_some(())
        },
    );
    rsyslog.stop();
    weir.stop();
    let (stored, frames) = journaled(&data);
    assert_eq!((stored.len(), frames), (part, part), "each once");
    println!("omrelp over TLS: {part} sent, {frames} journaled");
}
