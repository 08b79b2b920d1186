//! Every line over TCP is journaled exactly once, byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_rt::Arbiter;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_schema::{Format, Transport};

use super::{Parts, loopback, run, start, until};
use crate::commit::CommitOptions;
use crate::stream::Peer;
use crate::tcp::{StreamContext, TcpConnection};
use crate::{ConnectionLimits, DropReason, SourceHandle, TcpOptions, TcpSource, WriterOptions};

fn serve(parts: &Parts, options: TcpOptions) -> SourceHandle {
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

async fn connect(source: &SourceHandle) -> TcpStream {
    TcpStream::connect(source.local_address).await.unwrap()
}

/// Sends `bytes` in random pieces and waits until the server has read all.
async fn send_all(source: &SourceHandle, bytes: Vec<u8>, mut random: StdRng) {
    let mut stream = connect(source).await;
    stream.set_nodelay(true).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.random_range(1..=rest.len().min(3_000)));
        stream.write_all(piece).await.unwrap();
        rest = behind;
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.read(&mut [0; 1]).await.unwrap(),
        0,
        "the server sends nothing"
    );
}

/// Line `n` of connection `sender`, with random length and bytes, which may be invalid UTF-8.
fn line(sender: usize, n: usize, random: &mut StdRng) -> Vec<u8> {
    let mut line = format!("<13>{sender} {n} ").into_bytes();
    let length = random.random_range(0..300);
    line.extend((0..length).map(|_| random.random_range(b' '..=255)));
    line
}

fn check_exactly_once(seed: u64, options: WriterOptions, fault_rate: f64) {
    const SENDERS: usize = 6;
    const LINES: usize = 2_000;
    eprintln!("seed {seed}");
    run(async {
        let parts = start(options);
        let mut faults = StdRng::seed_from_u64(seed);
        parts.journal.fail(move || faults.random_bool(fault_rate));
        let source = serve(&parts, TcpOptions::default());
        let mut sent = BTreeMap::new();
        let mut sending = Vec::new();
        for sender in 0..SENDERS {
            let mut random = StdRng::seed_from_u64(seed + sender as u64);
            let lines: Vec<_> = (0..LINES).map(|n| line(sender, n, &mut random)).collect();
            let mut bytes = Vec::new();
            for line in &lines {
                if sender % 2 == 0 {
                    bytes.extend(format!("{} ", line.len()).as_bytes());
                    bytes.extend(line);
                } else {
                    bytes.extend(line);
                    bytes.push(b'\n');
                }
            }
            sent.insert(sender, lines);
            sending.push(send_all(&source, bytes, random));
        }
        futures_util::future::join_all(sending).await;
        parts.journal.heal();
        source.stop().await;
        parts.end().await;
        let mut journaled: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for frame in parts.journal.frames() {
            journaled
                .entry(usize::from(frame[4] - b'0'))
                .or_default()
                .push(frame);
        }
        assert!(
            journaled == sent,
            "seed {seed}: in order of each connection, each line once"
        );
        let batch = &parts.journal.batches()[0];
        let found = (
            batch.source.as_str(),
            batch.transport,
            batch.format,
            batch.received.0,
        );
        assert_eq!(found, ("tcp:127.0.0.1", Transport::Tcp, Format::Auto, 77));
    });
}

#[test]
fn journal_each_line_once_for_any_split() {
    check_exactly_once(1, WriterOptions::default(), 0.0);
}

#[test]
fn full_mailbox_slows_senders_and_loses_nothing() {
    let options = WriterOptions {
        submissions_max: 1,
        bytes_max: 4_096,
        ..WriterOptions::default()
    };
    check_exactly_once(2, options, 0.0);
}

#[test]
fn failing_journal_loses_and_repeats_nothing() {
    check_exactly_once(3, WriterOptions::default(), 0.05);
}

#[test]
fn refuse_and_count_connections_beyond_the_limit() {
    run(async {
        let parts = start(WriterOptions::default());
        let options = TcpOptions {
            connections: ConnectionLimits {
                places: weir_schema::PlaceLimits::with_default_shares(1),
                ..ConnectionLimits::default()
            },
            ..TcpOptions::default()
        };
        let source = serve(&parts, options);
        let mut first = connect(&source).await;
        let open = parts
            .metrics
            .network
            .connections
            .open
            .with_label_values(&["tcp"]);
        until(|| open.get() == 1).await;
        first.write_all(b"<13>in use\n").await.unwrap();
        until(|| parts.journal.frames().len() == 1).await;
        let mut second = connect(&source).await;
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(
            parts.count("weir_ingest_connections_refused_total", "peer_limit"),
            1
        );
        first.write_all(b"<13>unterminated").await.unwrap();
        source.stop().await;
        parts.end().await;
        assert_eq!(
            parts.journal.frames(),
            [&b"<13>in use"[..], b"<13>unterminated"],
            "a stop journals received frames"
        );
        assert_eq!(open.get(), 0);
    });
}

#[test]
fn stop_while_the_journal_fails_counts_lost_lines() {
    run(async {
        let parts = start(WriterOptions {
            commit: CommitOptions {
                commit_delay: Duration::ZERO,
                ..CommitOptions::default()
            },
            ..WriterOptions::default()
        });
        parts.journal.fail(|| true);
        let source = serve(&parts, TcpOptions::default());
        let mut stream = connect(&source).await;
        stream.write_all(b"<13>a\n<13>b\n\n<13>c\n").await.unwrap();
        let faults = &parts.metrics.writer.journal_faults;
        until(|| faults.get() > 0).await;
        source.stop().await;
        let lost = |reason| parts.metrics.dropped_events(Transport::Tcp, reason);
        assert_eq!(
            (lost(DropReason::JournalFault), lost(DropReason::Empty)),
            (3, 1)
        );
        parts.end().await;
    });
}

#[test]
fn short_lines_respect_the_buffer_limit() {
    for (line, frames_max) in [("a\n", 6_048), ("4 <1>a", 4_682)] {
        run(async {
            let parts = start(WriterOptions::default());
            let context = StreamContext {
                options: TcpOptions::default(),
                transport: Transport::Tcp,
                intake: parts.intake.clone(),
                sources: parts.sources.clone(),
                clock: parts.clock.clone(),
                metrics: parts.metrics.clone(),
            };
            let peer = Peer {
                address: loopback().local_addr().unwrap().ip(),
                names: Vec::new(),
            };
            let mut connection = TcpConnection::new(context, &peer);
            // Nothing is submitted, as if the journal were behind.
            while connection.batcher.has_room() {
                let read = line.repeat(connection.buffer.len() / line.len());
                connection.buffer[..read.len()].copy_from_slice(read.as_bytes());
                connection.uncut = 0..read.len();
                while connection.cut_frames() {}
            }
            let buffered = connection.batcher.frames();
            assert!(buffered <= frames_max, "{buffered} frames of {line:?}");
            parts.end().await;
        });
    }
}
