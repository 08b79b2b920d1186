//! Broken streams and datagrams of syslog.

use std::net::UdpSocket;

use weir_schema::Transport;

use super::support::{frames, until};
use super::{deep_json, fresh};

const FRAME: &str = "weir_frames_truncated_total";
const FRAMING: &str = "weir_framing_errors_total";
const PROBLEM: &str = "weir_parse_failures_total";

/// Bytes of one connection, and the effect they must have.
#[derive(Clone)]
struct Stream {
    name: &'static str,
    bytes: Vec<u8>,
    events: u64,
    /// Metric that counts the fault, and a part of its labels.
    metric: &'static str,
    label: &'static str,
}

fn stream(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    events: u64,
    metric: &'static str,
    label: &'static str,
) -> Stream {
    Stream {
        name,
        bytes: bytes.into(),
        events,
        metric,
        label,
    }
}

/// Frames of the wrong size or with the wrong bytes.
fn broken_frames() -> Vec<Stream> {
    vec![
        stream(
            "an oversized line",
            [vec![b'x'; 1 << 20], b"\n".to_vec()].concat(),
            1,
            FRAME,
            "",
        ),
        stream(
            "an oversized counted frame",
            [b"300000 ".to_vec(), vec![b'y'; 300_000]].concat(),
            1,
            FRAME,
            "",
        ),
        stream("a count that lies", b"500 <13>short", 1, FRAMING, ""),
        stream(
            "a count without end",
            [vec![b'9'; 4_000], b" <13>x\n".to_vec()].concat(),
            1,
            PROBLEM,
            "",
        ),
        stream(
            "a wrong count behind a good one",
            b"5 <13>a7x <13>b\n5 <13>c",
            3,
            FRAMING,
            "",
        ),
        stream(
            "an unterminated line",
            b"<13>1 - - - - - - no end",
            1,
            PROBLEM,
            "time_missing",
        ),
        stream(
            "NUL in a line",
            b"<13>first\n<13>a\0b\0\0\n",
            2,
            PROBLEM,
            "",
        ),
        stream(
            "bytes that are no UTF-8",
            b"<13>\xff\xc0\xaf\xed\xa0\x80\n",
            1,
            PROBLEM,
            "utf8",
        ),
        stream("nothing but NUL", vec![0; 70_000], 0, FRAMING, ""),
        stream("nothing but LF", vec![b'\n'; 70_000], 0, FRAMING, ""),
    ]
}

/// One deep JSON object, which no frame has room for.
fn deep_frames() -> Vec<Stream> {
    let deep = deep_json();
    vec![
        stream(
            "JSON 100,000 deep in a line",
            [deep.clone(), b"\n".to_vec()].concat(),
            1,
            FRAME,
            "",
        ),
        stream(
            "JSON 100,000 deep, counted",
            [format!("{} ", deep.len()).into_bytes(), deep.clone()].concat(),
            1,
            FRAME,
            "",
        ),
    ]
}

/// Lines with impossible times.
fn broken_times() -> Vec<Stream> {
    vec![
        stream(
            "the year 9999",
            b"<13>1 9999-12-31T23:59:59Z h a - - - x\n",
            1,
            PROBLEM,
            "absurd",
        ),
        stream(
            "the year 0",
            b"<13>1 0000-01-01T00:00:00Z h a - - - x\n",
            1,
            PROBLEM,
            "",
        ),
        stream(
            "a second 61",
            b"<13>1 2026-01-01T00:00:61Z h a - - - x\n",
            1,
            PROBLEM,
            "",
        ),
        stream(
            "the 31st of February",
            b"<13>Feb 31 25:61:61 h a: x\n",
            1,
            PROBLEM,
            "",
        ),
        stream(
            "a far future",
            b"<13>1 2261-01-01T00:00:00Z h a - - - x\n",
            1,
            PROBLEM,
            "future",
        ),
    ]
}

#[test]
fn broken_streams_are_stored_and_counted() {
    let (_folder, weir) = fresh();
    for stream in [broken_frames(), deep_frames(), broken_times()].concat() {
        let Stream {
            name,
            bytes,
            events,
            metric,
            label,
        } = stream;
        let journaled = weir.metric("weir_events_journaled_total", "") as u64;
        let before = weir.metric(metric, label);
        weir.send_tcp(&bytes);
        weir.await_metric("weir_events_journaled_total", "", journaled + events);
        weir.await_metric("weir_events_decoded_total", "", journaled + events);
        if events > 0 {
            until(&format!("{metric} counts {name}"), || {
                (weir.metric(metric, label) > before).then_some(())
            });
        }
        weir.assert_well();
        println!("{name}: ok");
    }
    weir.stop();
}

#[test]
fn broken_datagrams_are_stored() {
    let (_folder, weir) = fresh();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let datagrams: [&[u8]; 5] = [
        b"",
        &[0; 60_000],
        b"\xff\xfe\xfd",
        b"<999>1 x",
        &[b'{'; 65_000],
    ];
    for datagram in datagrams {
        socket.send_to(datagram, weir.udp).expect("it is sent");
    }
    weir.await_metric("weir_events_received_total", "udp", 4);
    weir.assert_well();
    let data = weir.data.clone();
    weir.stop();
    let stored = frames(&data, Transport::Udp);
    assert_eq!(
        stored,
        datagrams[1..]
            .iter()
            .map(|d| d.to_vec())
            .collect::<Vec<_>>()
    );
}
