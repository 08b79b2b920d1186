//! RELP lines are acknowledged once they are durable, and invalid frames end only their connection.

use actix_rt::Arbiter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_schema::Transport;

use super::{Parts, loopback, run, start, until};
use crate::{DropReason, RelpSource, SourceHandle, TcpOptions, WriterOptions};

pub(super) fn serve(parts: &Parts, options: TcpOptions) -> SourceHandle {
    let started = RelpSource::start(
        &Arbiter::current(),
        loopback(),
        options,
        None,
        parts.intake.clone(),
        parts.sources.clone(),
        parts.clock.clone(),
        parts.metrics.clone(),
    );
    started.unwrap()
}

const OPEN: &str = "1 open 30 relp_version=0\ncommands=syslog\n";
const OPENED: &str = "1 rsp 62 200 OK\nrelp_version=0\nrelp_software=weir,0.1.0\ncommands=syslog\n";

async fn connect(source: &SourceHandle) -> TcpStream {
    TcpStream::connect(source.local_address).await.unwrap()
}

/// Sends `text` and reads until the server ends the connection.
async fn converse(source: &SourceHandle, text: &str) -> String {
    let mut stream = connect(source).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    // The result may be a reset, because the server does not read bytes after an error.
    let _ = stream.read_to_end(&mut received).await;
    String::from_utf8(received).unwrap()
}

fn response(number: u32, text: &str) -> String {
    format!("{number} rsp {} {text}\n", text.len())
}

/// Bytes that a client sends, and the responses before `serverclose`.
fn conversations() -> Vec<(String, String)> {
    let ok = |number: u32| response(number, "200 OK");
    let too_long = "500 not RELP: the data of a frame is too long; the limit is 1048576 bytes";
    vec![
        (
            format!("{OPEN}2 syslog 5 <13>a\n3 syslog 0\n4 syslog 7 <13>b\nc\n5 close 0\n"),
            [OPENED, &ok(2), &ok(3), &ok(4), &ok(5)].concat(),
        ),
        (
            format!("{OPEN}2 syslog 5 <13>d\n3 sysLOG 1 a\n4 syslog 1 x\n"),
            [OPENED, &ok(2), &response(3, "500 unknown command")].concat(),
        ),
        (
            "7 syslog 1 a\n".to_owned(),
            response(7, "500 the session must be opened first"),
        ),
        (
            format!("{OPEN}{OPEN}"),
            [OPENED, &response(1, "500 the session is already open")].concat(),
        ),
        ("<13>Jan  1 00:00:00 h a: b\n".to_owned(), String::new()),
        (
            format!("{OPEN}8 syslog 999999999 a"),
            [OPENED, &response(8, too_long)].concat(),
        ),
    ]
}

#[test]
fn refuse_session_whose_offers_exceed_the_frame_limit() {
    run(async {
        let parts = start(WriterOptions::default());
        let options = TcpOptions {
            frame_bytes_max: 16,
            ..TcpOptions::default()
        };
        let source = serve(&parts, options);
        // The offers are truncated at the limit, which removes `commands`.
        let open = "1 open 16 relp_version=0\nc\n";
        let refused = converse(&source, open).await;
        assert!(
            refused.contains("500 the command `syslog` must be offered"),
            "{refused}"
        );
        source.stop().await;
        parts.end().await;
        let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
        assert_eq!((closed("sender"), closed("protocol")), (0, 1));
    });
}

#[test]
fn acknowledge_lines_and_refuse_protocol_errors() {
    run(async {
        let parts = start(WriterOptions::default());
        let source = serve(&parts, TcpOptions::default());
        for (sent, responses) in conversations() {
            let received = converse(&source, &sent).await;
            assert_eq!(received, responses + "0 serverclose 0\n", "{sent:?}");
        }
        source.stop().await;
        parts.end().await;
        assert_eq!(
            parts.journal.frames(),
            [&b"<13>a"[..], b"<13>b\nc", b"<13>d"]
        );
        let batch = &parts.journal.batches()[0];
        assert_eq!(
            (batch.source.as_str(), batch.transport),
            ("relp:127.0.0.1", Transport::Relp)
        );
        let empty = parts
            .metrics
            .dropped_events(Transport::Relp, DropReason::Empty);
        assert_eq!(empty, 1);
        let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
        assert_eq!((closed("sender"), closed("protocol")), (1, 5));
    });
}

#[test]
fn acknowledge_only_after_the_sync() {
    run(async {
        let parts = start(WriterOptions::default());
        let source = serve(&parts, TcpOptions::default());
        let mut stream = connect(&source).await;
        stream.write_all(OPEN.as_bytes()).await.unwrap();
        let mut received = vec![0; OPENED.len()];
        stream.read_exact(&mut received).await.unwrap();
        parts.journal.close_gate();
        stream.write_all(b"2 syslog 5 <13>a\n").await.unwrap();
        until(|| parts.journal.is_waiting()).await;
        let nothing = stream.try_read(&mut received).map_err(|error| error.kind());
        assert_eq!(nothing, Err(std::io::ErrorKind::WouldBlock));
        parts.journal.open_gate();
        let mut received = [0; 15];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"2 rsp 6 200 OK\n");

        // While the journal fails, the line gets no response, so its sender keeps it.
        parts.journal.fail(|| true);
        stream.write_all(b"3 syslog 5 <13>b\n").await.unwrap();
        let faults = &parts.metrics.writer.journal_faults;
        until(|| faults.get() > 0).await;
        source.stop().await;
        let mut received = String::new();
        stream.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "0 serverclose 0\n");
        parts.journal.heal();
        parts.end().await;
        assert_eq!(parts.journal.frames(), [b"<13>a"]);
    });
}
