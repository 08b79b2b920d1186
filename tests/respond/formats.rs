//! The formats of sinks and streams: OCSF findings, frames, create-only webhooks, and CEF.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;

use serde_json::Value;
use weir_schema::alert_frame;

use super::consumer::{Consumer, ReceivedRequest};
use super::support::http::{Request, next_message};
use super::support::{Weir, config, until};
use super::{ago, grant, raise, sink, types};

/// Starts a server with these sinks and raises two alerts, one of which a late ticket retracts.
fn start(folder: &tempfile::TempDir, sinks: &[String]) -> Weir {
    let weir = Weir::start(&folder.path().join("data"), &config(&sinks.concat()));
    raise(&weir, ago(20), "alice");
    grant(&weir, 1, ago(24), "alice");
    raise(&weir, ago(10), "bob");
    weir
}

fn await_requests(consumer: &Consumer, count: usize) -> Vec<ReceivedRequest> {
    until(&format!("{count} requests"), || {
        Some(consumer.received()).filter(|received| received.len() == count)
    })
}

#[test]
fn each_webhook_receives_its_own_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ocsf, frames, once, other] = [(); 4].map(|()| Consumer::start(&[]));
    let webhook =
        |name: &str, consumer: &Consumer, more: &str| sink(name, "webhook", &consumer.url(), more);
    let sinks = [
        webhook("ocsf", &ocsf, "format = \"ocsf\""),
        webhook("frames", &frames, "format = \"flatbuffers\""),
        webhook("once", &once, "mode = \"create-only\""),
        webhook("other", &other, "rules = [\"no-such-rule\"]"),
    ];
    let weir = start(&folder, &sinks);

    let findings = await_requests(&ocsf, 3);
    let findings: Vec<Value> = findings.iter().map(ReceivedRequest::json).collect();
    let alice = findings
        .iter()
        .filter(|finding| finding["unmapped"]["group"]["user"] == "alice");
    let activities: Vec<_> = alice
        .map(|finding| finding["activity_id"].clone())
        .collect();
    assert_eq!(activities, [1, 3]);
    assert!(findings[0]["finding_info"]["attacks"][0].is_object());

    let received = await_requests(&frames, 3);
    assert_eq!(received[0].headers["content-type"], alert_frame::MEDIA_TYPE);
    let kinds = received.iter().map(|request| {
        let frame = alert_frame::decode(&request.body).expect("a frame");
        frame.kind().variant_name().unwrap_or_default().to_owned()
    });
    let kinds: BTreeSet<String> = kinds.collect();
    assert!(kinds.iter().eq(["Raised", "Retracted"]), "{kinds:?}");

    let created = await_requests(&once, 2);
    assert!(
        types(&created)
            .iter()
            .all(|(kind, _)| kind == "alert.raised")
    );
    assert_streams(&weir);
    assert!(other.received().is_empty());
    weir.stop();
}

#[test]
fn cef_over_tcp_survives_a_restart_of_the_receiver() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    let weir = start(&folder, &[sink("cef", "cef", &url, "")]);

    let (stream, _) = listener.accept().expect("a connection");
    let mut stream = BufReader::new(stream);
    let lines: Vec<String> = (0..3).map(|_| read_counted(&mut stream)).collect();
    assert!(lines[0].starts_with('<'), "{lines:?}");
    assert!(lines[0].contains("CEF:0|Weir|Weir|"), "{lines:?}");
    let retracted = lines.iter().any(|line| line.contains("act=retracted"));
    assert!(retracted, "{lines:?}");
    // When the receiver closes the connection, the sink connects again.
    drop(stream);
    raise(&weir, ago(3), "carol");
    let (stream, _) = listener.accept().expect("a second connection");
    assert!(read_counted(&mut BufReader::new(stream)).contains("=carol"));
    weir.stop();
}

/// Reads one octet-counted message.
fn read_counted(stream: &mut impl BufRead) -> String {
    let mut count = Vec::new();
    stream.read_until(b' ', &mut count).expect("a count");
    let count = String::from_utf8_lossy(&count)
        .trim()
        .parse()
        .expect("a number");
    let mut message = vec![0; count];
    stream.read_exact(&mut message).expect("a message");
    String::from_utf8(message).expect("text")
}

/// The API streams the same alerts as OCSF findings and as frames.
fn assert_streams(weir: &Weir) {
    let request = |path: &'static str| Request::new("GET", path).token(&weir.token);
    let findings = request("/api/v1/stream/alerts?after=0-0&format=ocsf").open(weir.http);
    let (status, mut findings) = findings.expect("a reply");
    assert_eq!(status, 200);
    let first = next_message(&mut findings).expect("a finding");
    assert_eq!(
        (&*first.event, &first.data["class_uid"]),
        ("raised", &2004.into())
    );
    let frames =
        request("/api/v1/stream/alerts?after=0-0").header("Accept", alert_frame::MEDIA_TYPE);
    let (status, mut frames) = frames.open(weir.http).expect("a reply");
    assert_eq!(status, 200);
    let mut length = [0; 4];
    frames.read_exact(&mut length).expect("a length");
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    frames.read_exact(&mut frame).expect("a frame");
    let frame = [&length[..], &frame].concat();
    let read = alert_frame::decode(&frame).expect("a frame");
    let alert = format!("{:016x}{:016x}", read.alert().high(), read.alert().low());
    assert_eq!(first.data["finding_info"]["uid"], alert.as_str());
}
