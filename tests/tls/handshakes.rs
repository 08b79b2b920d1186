//! Refused handshakes: each is counted by its reason, and other senders are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use weir_schema::Transport;

use super::support::pki::{Authority, Pair};
use super::support::{LIMIT, Weir, config_with_streams, frames, until};
use super::{client, required, send};

const CLOSED: &str = "weir_ingest_connections_closed_total";

/// A server that requires certificates of `authority`, and senders of several kinds.
struct Site {
    folder: tempfile::TempDir,
    weir: Weir,
    authority: Authority,
    other: Authority,
    good: Pair,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [authority, other] =
            ["authority", "other"].map(|name| Authority::new(folder.path(), name));
        let tls = required(&authority.issue("localhost"), &authority);
        let more = "[connections]\nhandshake = \"500ms\"\nmax = 8\nper_peer_max = 8\n";
        let config = config_with_streams(0, &tls, more);
        let weir = Weir::start(&folder.path().join("data"), &config);
        let good = authority.issue("web1.example.com");
        Self {
            folder,
            weir,
            authority,
            other,
            good,
        }
    }

    /// Sends a line as a sender that the server must refuse.
    fn send_refused(&self, trusted: &Authority, pair: Option<&Pair>) {
        // The refusal is an error at the first byte or later.
        let _ = send(client(self.weir.tls, &trusted.file, pair), b"<13>refused\n");
    }

    /// Sends bytes without TLS.
    fn send_raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.weir.tls).expect("the port is open");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let _ = stream.write_all(bytes);
        stream
    }

    /// Sends bytes without TLS and waits until the server closes the connection.
    fn send_raw_until_closed(&self, bytes: &[u8]) {
        let _ = self.send_raw(bytes).read_to_end(&mut Vec::new());
    }

    /// Sends a line as a permitted sender.
    fn send_good(&self, line: &str) {
        let tls = client(self.weir.tls, &self.authority.file, Some(&self.good));
        send(tls, line.as_bytes()).expect("a permitted sender is served");
    }

    /// Number of connections that were closed for a reason.
    fn closed(&self, reason: &str) -> f64 {
        let labels = format!("reason=\"{reason}\",transport=\"tls\"");
        self.weir.metric(CLOSED, &labels)
    }

    fn data(&self) -> &Path {
        &self.weir.data
    }
}

/// A description, the reason that is counted, and the attack.
struct Attack(&'static str, &'static str, fn(&Site));

/// The start of a client's hello.
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x07\x07\x07\x07";

const ATTACKS: [Attack; 9] = [
    Attack("no certificate", "certificate_refused", |site| {
        site.send_refused(&site.authority, None);
    }),
    Attack("another authority", "certificate_refused", |site| {
        let pair = site.other.issue("web1.other.example.com");
        site.send_refused(&site.authority, Some(&pair));
    }),
    Attack("an expired certificate", "certificate_refused", |site| {
        let pair = site.authority.issue_until("old.example.com", 2021);
        site.send_refused(&site.authority, Some(&pair));
    }),
    Attack(
        "a sender that refuses the server",
        "certificate_disliked",
        |site| {
            site.send_refused(&site.other, Some(&site.good));
        },
    ),
    Attack("a plain line", "handshake_failed", |site| {
        site.send_raw_until_closed(b"<13>plain\n");
    }),
    Attack("an oversized record", "handshake_failed", |site| {
        let record = [&[0x16, 3, 3, 0xff, 0xff][..], &[1; 70_000]].concat();
        site.send_raw_until_closed(&record);
    }),
    Attack("half a hello, then the end", "handshake_cut", |site| {
        drop(site.send_raw(HALF_HELLO));
    }),
    Attack("half a hello, then nothing", "handshake_slow", |site| {
        site.send_raw_until_closed(HALF_HELLO);
    }),
    Attack("nothing", "handshake_slow", |site| {
        site.send_raw_until_closed(b"");
    }),
];

#[test]
fn refused_handshakes_are_counted_by_reason_and_others_are_served() {
    let site = Site::start();
    for (served, Attack(name, reason, attack)) in ATTACKS.iter().enumerate() {
        let before = site.closed(reason);
        attack(&site);
        until(&format!("{name} counts as {reason}"), || {
            (site.closed(reason) > before).then_some(())
        });
        assert_eq!(site.closed(reason), before + 1.0, "{name}");
        site.send_good(&format!("<13>served after: {name}\n"));
        let received = served as u64 + 1;
        site.weir
            .await_metric("weir_events_received_total", "tls", received);
        println!("{name}: {reason}");
    }
    site.weir.assert_well();
    let data = site.data().to_owned();
    site.weir.stop();
    assert_only_lines(&data, ATTACKS.len());
    drop(site.folder);
}

#[test]
fn a_flood_of_unfinished_handshakes_shuts_nobody_out() {
    let site = Site::start();
    let flood: Vec<TcpStream> = (0..40).map(|_| site.send_raw(b"")).collect();
    // Eight connections have a place. A further one takes that of the oldest, or is refused while
    // too many of those still end (W9).
    let labels = "reason=\"over_share\",transport=\"tls\"";
    site.weir.await_metric(CLOSED, labels, 1);
    let mut tls = client(site.weir.tls, &site.authority.file, Some(&site.good));
    tls.write_all(b"<13>beside the flood\n")
        .expect("a permitted sender has a place at once");
    send(tls, b"").expect("a permitted sender is served");
    drop(flood);
    site.weir
        .await_metric("weir_events_received_total", "tls", 1);
    site.weir.assert_well();
    let data = site.data().to_owned();
    site.weir.stop();
    assert_only_lines(&data, 1);
    drop(site.folder);
}

/// The journal holds the lines of permitted senders and no bytes of an attack.
fn assert_only_lines(data: &Path, count: usize) {
    let frames = frames(data, Transport::Tls);
    assert_eq!(frames.len(), count);
    assert!(frames.iter().all(|frame| frame.starts_with(b"<13>")));
}
