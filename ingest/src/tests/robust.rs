//! Attacks on listeners: each ends with a counted reason, and does not affect other connections.

use std::net::SocketAddr;
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_schema::{PlaceLimits, Transport};

use super::{Parts, loopback, relp, run, start, until};
use crate::{
    AgentSource, AgentSourceOptions, ConnectionLimits, SourceHandle, TcpOptions, TcpSource,
    WriterOptions, tokens_equal,
};

/// A timeout that keeps the test short. The test does not depend on its exact length.
const SOON: Duration = Duration::from_millis(30);

/// A timeout that never expires in a test.
const LATE: Duration = Duration::from_secs(600);

fn patient() -> TcpOptions {
    TcpOptions {
        connections: ConnectionLimits {
            handshake_timeout: LATE,
            ..ConnectionLimits::default()
        },
        first_byte_timeout: LATE,
        frame_age_max: Some(LATE),
        idle_timeout: None,
        ..TcpOptions::default()
    }
}

fn tcp(parts: &Parts, options: TcpOptions) -> SourceHandle {
    let started = TcpSource::start(
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

fn agents(parts: &Parts, message_timeout: Duration) -> SourceHandle {
    let options = AgentSourceOptions {
        hello_timeout: message_timeout,
        message_timeout,
        ..AgentSourceOptions::default()
    };
    let started = AgentSource::start(
        &Arbiter::current(),
        loopback(),
        options,
        None,
        std::sync::Arc::new(|_, token| tokens_equal("secret", token)),
        parts.intake.clone(),
        parts.sources.clone(),
        parts.clock.clone(),
        parts.metrics.clone(),
    );
    started.unwrap()
}

/// Sends `bytes` and then waits until the server ends the connection.
async fn attack(at: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

/// A connection that its sender leaves unfinished.
struct UnfinishedConnection {
    name: &'static str,
    protocol: Transport,
    options: TcpOptions,
    bytes: Vec<u8>,
    /// The reason for which the server closes the connection.
    reason: &'static str,
    /// The frames that are journaled.
    frames: Vec<Vec<u8>>,
}

impl UnfinishedConnection {
    fn tcp(
        name: &'static str,
        options: TcpOptions,
        bytes: &[u8],
        reason: &'static str,
        frame: Option<&[u8]>,
    ) -> Self {
        Self {
            name,
            protocol: Transport::Tcp,
            options,
            bytes: bytes.to_vec(),
            reason,
            frames: frame.into_iter().map(<[u8]>::to_vec).collect(),
        }
    }

    fn relp(name: &'static str, options: TcpOptions, bytes: &[u8], reason: &'static str) -> Self {
        Self {
            protocol: Transport::Relp,
            ..Self::tcp(name, options, bytes, reason, None)
        }
    }
}

fn unfinished_connections() -> Vec<UnfinishedConnection> {
    const OPEN: &[u8] = b"1 open 30 relp_version=0\ncommands=syslog\n";
    let silent = TcpOptions {
        first_byte_timeout: SOON,
        ..patient()
    };
    let slow = TcpOptions {
        frame_age_max: Some(SOON),
        ..patient()
    };
    let idle = TcpOptions {
        idle_timeout: Some(SOON),
        ..patient()
    };
    let endless = vec![b'x'; 200_000];
    let mut truncated = endless.clone();
    weir_schema::cut_to_cap(&mut truncated, 64 << 10);
    let truncated = Some(&truncated[..]);
    let cut_off: Option<&[u8]> = Some(b"<13>cut off");
    let half_frame = [OPEN, b"2 syslog 90 <13>"].concat();
    vec![
        UnfinishedConnection::tcp("no byte", silent, b"", "silent", None),
        UnfinishedConnection::tcp("half a line", slow, b"<13>cut off", "slow", cut_off),
        UnfinishedConnection::tcp(
            "half a counted frame",
            slow,
            b"90 <13>cut off",
            "slow",
            cut_off,
        ),
        UnfinishedConnection::tcp("a line without end", slow, &endless, "slow", truncated),
        UnfinishedConnection::tcp(
            "silence after a line",
            idle,
            b"<13>cut off\n",
            "idle",
            cut_off,
        ),
        UnfinishedConnection::relp("no session", silent, b"1 op", "silent"),
        UnfinishedConnection::relp("half a session", silent, &OPEN[..20], "silent"),
        UnfinishedConnection::relp("half a RELP frame", slow, &half_frame, "slow"),
        UnfinishedConnection::relp("silence in a session", idle, OPEN, "idle"),
    ]
}

/// Runs an unfinished connection beside a regular one, which must not be affected.
async fn check_unfinished(case: UnfinishedConnection) {
    let name = case.name;
    let parts = start(WriterOptions::default());
    let source = match case.protocol {
        Transport::Relp => relp::serve(&parts, case.options),
        _ => tcp(&parts, case.options),
    };
    let other = tcp(&parts, patient());
    let mut regular = TcpStream::connect(other.local_address).await.unwrap();
    regular.write_all(b"<13>well\n<13>and").await.unwrap();
    until(|| parts.journal.frames().len() == 1).await;
    attack(source.local_address, &case.bytes).await;
    regular.write_all(b" on\n").await.unwrap();
    let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
    until(|| closed(case.reason) == 1).await;
    until(|| parts.journal.frames().len() == 2 + case.frames.len()).await;
    assert_eq!(
        closed("stopping"),
        0,
        "{name}: the other connection stays open"
    );
    source.stop().await;
    other.stop().await;
    parts.end().await;
    let mut frames = parts.journal.frames();
    frames.retain(|frame| !frame.starts_with(b"<13>well") && frame != b"<13>and on");
    assert_eq!(frames, case.frames, "{name}: received frames are journaled");
}

#[test]
fn unfinished_connection_is_closed_and_affects_no_other() {
    for case in unfinished_connections() {
        run(check_unfinished(case));
    }
}

#[test]
fn unfinished_agent_message_closes_the_connection() {
    for (bytes, reason) in [(&b""[..], "silent"), (b"\x40\0\0\0half", "silent")] {
        run(async {
            let parts = start(WriterOptions::default());
            let source = agents(&parts, SOON);
            attack(source.local_address, bytes).await;
            let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
            until(|| closed(reason) == 1).await;
            source.stop().await;
            parts.end().await;
        });
    }
}

/// Opens connections and waits until the listener has them.
async fn connections(parts: &Parts, source: &SourceHandle, count: usize) -> Vec<TcpStream> {
    let open = &parts.metrics.network.connections.open;
    let open = open.with_label_values(&["tcp"]);
    let mut streams = Vec::new();
    for _ in 0..count {
        let before = open.get();
        streams.push(TcpStream::connect(source.local_address).await.unwrap());
        until(|| open.get() == before + 1).await;
    }
    streams
}

/// W9: while all connections are taken and in use, an address above its share is refused.
#[test]
fn refuse_flood_from_one_address_until_a_connection_is_free() {
    run(async {
        let parts = start(WriterOptions::default());
        let mut options = patient();
        options.connections.places = PlaceLimits::with_default_shares(3);
        let source = tcp(&parts, options);
        let mut open_streams = connections(&parts, &source, 3).await;
        for (n, stream) in open_streams.iter_mut().enumerate() {
            stream.write_all(b"<13>one\n").await.unwrap();
            until(|| parts.journal.frames().len() == n + 1).await;
        }
        for _ in 0..50 {
            attack(source.local_address, b"").await;
        }
        let refused = |reason| parts.count("weir_ingest_connections_refused_total", reason);
        assert_eq!((refused("peer_limit"), refused("limit")), (50, 0));
        drop(open_streams.pop());
        let open = &parts.metrics.network.connections.open;
        until(|| open.with_label_values(&["tcp"]).get() == 2).await;
        let mut again = TcpStream::connect(source.local_address).await.unwrap();
        again.write_all(b"<13>again\n").await.unwrap();
        until(|| parts.journal.frames().len() == 4).await;
        source.stop().await;
        parts.end().await;
    });
}

/// W9: a full house of silent connections shuts nobody out; its oldest one gives way.
#[test]
fn silent_connections_give_way_to_a_new_sender() {
    run(async {
        let parts = start(WriterOptions::default());
        let mut options = patient();
        options.connections.places = PlaceLimits {
            per_peer_max: 4,
            per_network_max: 4,
            yield_after: Duration::ZERO,
            ..PlaceLimits::with_default_shares(4)
        };
        let source = tcp(&parts, options);
        let mut silent = connections(&parts, &source, 4).await;
        let mut honest = TcpStream::connect(source.local_address).await.unwrap();
        honest.write_all(b"<13>honest\n").await.unwrap();
        until(|| parts.journal.frames().len() == 1).await;
        let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
        until(|| closed("over_share") == 1).await;
        let mut end = Vec::new();
        assert_eq!(
            silent[0].read_to_end(&mut end).await.unwrap(),
            0,
            "the oldest"
        );
        // The lines of a connection that gives way are journaled, even an unfinished one.
        for stream in &mut silent[1..] {
            stream.write_all(b"<13>unfinished").await.unwrap();
        }
        source.stop().await;
        parts.end().await;
        assert_eq!(parts.journal.frames().len(), 4);
    });
}
