//! What harms a listener on purpose: each attack has its counted end, and others are served meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Parts, loopback, relp, run, start, until};
use crate::{
    AgentSource, AgentSourceOptions, ConnectionLimits, SourceHandle, TcpOptions, TcpSource,
    WriterOptions, tokens_equal,
};

/// Short, so that the test is; nothing is asserted about when it comes.
const SOON: Duration = Duration::from_millis(30);

/// Never within this test.
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

/// Sends `bytes`, then nothing, until the server ends the connection.
async fn attack(at: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
}

#[test]
fn what_a_sender_leaves_unfinished_ends_its_connection_and_no_other() {
    let soon = |change: fn(&mut TcpOptions)| {
        let mut options = patient();
        change(&mut options);
        options
    };
    let silent = soon(|options| options.first_byte_timeout = SOON);
    let slow = soon(|options| options.frame_age_max = Some(SOON));
    let idle = soon(|options| options.idle_timeout = Some(SOON));
    const OPEN: &[u8] = b"1 open 30 relp_version=0\ncommands=syslog\n";
    let opened = |more: &[u8]| [OPEN, more].concat();
    let endless = vec![b'x'; 200_000];
    let (none, kept): (&[&[u8]], &[&[u8]]) = (&[], &[b"<13>cut off"]);
    let cases: [(&str, bool, TcpOptions, Vec<u8>, &str, &[&[u8]]); 9] = [
        ("nothing is sent", false, silent, vec![], "silent", none),
        (
            "half a line",
            false,
            slow,
            b"<13>cut off".to_vec(),
            "slow",
            kept,
        ),
        (
            "half a counted frame",
            false,
            slow,
            b"90 <13>cut off".to_vec(),
            "slow",
            kept,
        ),
        (
            "a line without end",
            false,
            slow,
            endless,
            "slow",
            &[&[b'x'; 64 << 10]],
        ),
        (
            "silence behind a line",
            false,
            idle,
            b"<13>cut off\n".to_vec(),
            "idle",
            kept,
        ),
        ("no session", true, silent, b"1 op".to_vec(), "silent", none),
        (
            "half a session",
            true,
            silent,
            OPEN[..20].to_vec(),
            "silent",
            none,
        ),
        (
            "half a RELP frame",
            true,
            slow,
            opened(b"2 syslog 90 <13>"),
            "slow",
            none,
        ),
        (
            "silence in a session",
            true,
            idle,
            opened(b""),
            "idle",
            none,
        ),
    ];
    for (why, by_relp, options, bytes, reason, kept) in cases {
        run(async {
            let parts = start(WriterOptions::default());
            let source = match by_relp {
                true => relp::serve(&parts, options),
                false => tcp(&parts, options),
            };
            let other = tcp(&parts, patient());
            let mut well = TcpStream::connect(other.local_address).await.unwrap();
            well.write_all(b"<13>well\n<13>and").await.unwrap();
            until(|| parts.journal.frames().len() == 1).await;
            attack(source.local_address, &bytes).await;
            well.write_all(b" on\n").await.unwrap();
            let closed = |reason| parts.count("weir_ingest_connections_closed_total", reason);
            until(|| closed(reason) == 1).await;
            until(|| parts.journal.frames().len() == 2 + kept.len()).await;
            assert_eq!(closed("stopping"), 0, "{why}: the other goes on");
            source.stop().await;
            other.stop().await;
            parts.end().await;
            let mut frames = parts.journal.frames();
            frames.retain(|frame| !frame.starts_with(b"<13>well") && frame != b"<13>and on");
            assert_eq!(frames, kept, "{why}: what came of it is kept");
        });
    }
}

#[test]
fn an_agent_that_leaves_a_message_unfinished_is_closed() {
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

#[test]
fn a_flood_from_one_address_is_refused_and_a_place_comes_free_again() {
    run(async {
        let parts = start(WriterOptions::default());
        let mut options = patient();
        options.connections.per_peer_max = 3;
        let source = tcp(&parts, options);
        let open = &parts.metrics.network.connections.open;
        let open = open.with_label_values(&["tcp"]);
        let mut held = Vec::new();
        for n in 1..=3 {
            held.push(TcpStream::connect(source.local_address).await.unwrap());
            until(|| open.get() == n).await;
        }
        for _ in 0..50 {
            attack(source.local_address, b"").await;
        }
        let refused = |reason| parts.count("weir_ingest_connections_refused_total", reason);
        assert_eq!((refused("peer_limit"), refused("limit")), (50, 0));
        held.pop();
        until(|| open.get() == 2).await;
        let mut again = TcpStream::connect(source.local_address).await.unwrap();
        again.write_all(b"<13>again\n").await.unwrap();
        until(|| parts.journal.frames().len() == 1).await;
        source.stop().await;
        parts.end().await;
    });
}
