//! With the agent protocol, each event is journaled exactly once despite cuts and faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_agent::{AgentClient, AgentError, AgentIdentity};
use weir_schema::agent::{self, encode_batch, encode_hello};
use weir_schema::{Delivery, Format};

use super::{Parts, loopback, run, start};
use crate::{AgentSource, AgentSourceOptions, SourceHandle, WriterOptions, tokens_equal};

fn serve(parts: &Parts) -> SourceHandle {
    let started = AgentSource::start(
        &Arbiter::current(),
        loopback(),
        AgentSourceOptions::default(),
        None,
        Arc::new(|_, token| tokens_equal("secret", token)),
        parts.intake.clone(),
        parts.sources.clone(),
        parts.clock.clone(),
        parts.metrics.clone(),
    );
    started.unwrap()
}

fn identity(token: &str) -> AgentIdentity {
    AgentIdentity {
        agent: "web1".into(),
        spool: 1,
        token: token.into(),
    }
}

/// Forwards connections to `upstream` and cuts each one after a random number of bytes.
async fn cutting_proxy(upstream: SocketAddr, mut random: StdRng) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    actix_rt::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let Ok(mut far) = TcpStream::connect(upstream).await else {
                return;
            };
            // Enough bytes for the first connection to be accepted.
            let up = random.random_range(200..60_000);
            let down = random.random_range(60..2_000);
            actix_rt::spawn(async move {
                let (mut near_read, mut near_write) = near.split();
                let (mut far_read, mut far_write) = far.split();
                let mut near_read = (&mut near_read).take(up);
                let mut far_read = (&mut far_read).take(down);
                tokio::select! {
                    _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                    _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
                }
            });
        }
    });
    address
}

fn check_cuts(seed: u64, fault_rate: f64) {
    const EVENTS: usize = 20_000;
    eprintln!("seed {seed}");
    run(async {
        let parts = start(WriterOptions::default());
        let mut faults = StdRng::seed_from_u64(seed);
        parts.journal.fail(move || faults.random_bool(fault_rate));
        let source = serve(&parts);
        let mut random = StdRng::seed_from_u64(seed);
        let proxy_random = StdRng::seed_from_u64(seed + 1);
        let proxy = cutting_proxy(source.local_address, proxy_random).await;
        let options = weir_agent::AgentOptions {
            batch_events_max: 100,
            in_flight_events_max: 800,
            spool_events_max: 2_000,
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(5),
            ..weir_agent::AgentOptions::default()
        };
        let address = proxy.to_string();
        let client = AgentClient::connect_with(&address, identity("secret"), options).await;
        let client = client.unwrap();
        let mut sent = Vec::new();
        for n in 0..EVENTS {
            // Some events are equal; only their sequence numbers differ.
            let event = format!("event {}", n / random.random_range(1..4)).into_bytes();
            assert_eq!(client.push(event.clone()).await.unwrap(), n as u64);
            sent.push(event);
        }
        client.flush().await.unwrap();
        assert_eq!(client.acknowledged(), EVENTS as u64);
        parts.journal.heal();
        source.stop().await;
        parts.end().await;
        assert!(
            parts.journal.frames() == sent,
            "seed {seed}: each event once, in order"
        );
        let mut next = 0;
        for batch in parts.journal.batches() {
            assert_eq!(
                (batch.source.as_str(), batch.format),
                ("agent:web1", Format::Agent)
            );
            let Some(Delivery::Agent { first_sequence, .. }) = batch.delivery else {
                panic!("every batch has a delivery");
            };
            assert_eq!(first_sequence, next);
            next += batch.frames.len() as u64;
        }
    });
}

#[test]
fn cuts_lose_and_repeat_nothing() {
    for seed in 10..14 {
        check_cuts(seed, 0.0);
    }
}

#[test]
fn cuts_and_a_failing_journal_lose_and_repeat_nothing() {
    check_cuts(20, 0.02);
}

/// A message of 100 KB whose 1,000 events are all the same 100 KB.
fn aliased_batch() -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let event = Some(builder.create_vector(&[b'x'; 100_000]));
    let payload = agent::Payload::create(&mut builder, &agent::PayloadArgs { event });
    let events = Some(builder.create_vector(&[payload; 1_000]));
    let args = agent::EventBatchArgs {
        first_sequence: 3,
        events,
    };
    let body = agent::EventBatch::create(&mut builder, &args).as_union_value();
    let args = agent::MessageArgs {
        body_type: agent::Body::EventBatch,
        body: Some(body),
    };
    let message = agent::Message::create(&mut builder, &args);
    builder.finish(message, None);
    let data = builder.finished_data();
    [&(data.len() as u32).to_le_bytes(), data].concat()
}

/// Sends `messages` and returns `count` answers of the server as text.
async fn answers(source: &SourceHandle, messages: &[Vec<u8>], count: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(source.local_address).await.unwrap();
    for message in messages {
        stream.write_all(message).await.unwrap();
    }
    let mut answers = Vec::new();
    while answers.len() < count {
        let length = stream.read_u32_le().await.unwrap();
        let mut bytes = vec![0; length as usize];
        stream.read_exact(&mut bytes).await.unwrap();
        let message = agent::decode_message(&bytes).unwrap();
        answers.push(match (message.body_as_ack(), message.body_as_refusal()) {
            (Some(ack), _) => format!("ack {}", ack.next_sequence()),
            (_, Some(refusal)) => refusal.reason().to_owned(),
            (None, None) => panic!("the server sends only acks and refusals"),
        });
    }
    answers
}

#[test]
fn journal_conflicts_but_not_duplicates() {
    run(async {
        let parts = start(WriterOptions::default());
        let source = serve(&parts);
        let first = encode_batch(0, &["a", "b"]);
        assert_eq!(
            answers(&source, &[hello(), first.clone()], 2).await,
            ["ack 0", "ack 2"]
        );
        assert_eq!(
            answers(&source, &[hello(), first], 2).await,
            ["ack 2", "ack 2"]
        );
        let conflict = encode_batch(1, &["B", "c"]);
        assert_eq!(
            answers(&source, &[hello(), conflict], 2).await,
            ["ack 2", "ack 3"]
        );
        assert_eq!(parts.journal.frames(), [b"a", b"b", b"B", b"c"]);
        let counted =
            |counters: &prometheus::IntCounterVec| counters.with_label_values(&["agent"]).get();
        assert_eq!(counted(&parts.metrics.writer.delivery_duplicates), 2);
        assert_eq!(counted(&parts.metrics.writer.delivery_conflicts), 1);
        source.stop().await;
        parts.end().await;
    });
}

fn hello() -> Vec<u8> {
    encode_hello("web1", 1, "secret")
}

/// Messages to a server that has three events of the spool, and the start of its last answer.
fn refused_messages() -> Vec<(Vec<Vec<u8>>, &'static str)> {
    let too_long = [0xff; 4].to_vec();
    let no_message = [8_u32.to_le_bytes().to_vec(), vec![0xff; 8]].concat();
    vec![
        (
            vec![hello(), aliased_batch()],
            "protocol: the events are larger",
        ),
        (vec![encode_hello("web1", 1, "guess")], "unauthorized: "),
        (
            vec![encode_hello("web 1", 1, "secret")],
            "protocol: an agent id",
        ),
        (
            vec![too_long.clone()],
            "protocol: a message has at most 4096",
        ),
        (vec![no_message], "protocol: the message is malformed"),
        (vec![encode_batch(0, &["a"])], "protocol: the first message"),
        (vec![hello(), hello()], "protocol: after the hello"),
        (
            vec![hello(), too_long],
            "protocol: a message has at most 4194304",
        ),
        (
            vec![hello(), encode_batch(9, &["x"])],
            "gap: events are missing: expected sequence 3, got 9",
        ),
    ]
}

#[test]
fn refuse_gaps_and_invalid_messages() {
    run(async {
        let parts = start(WriterOptions::default());
        let source = serve(&parts);
        let batch = encode_batch(0, &["a", "b", "c"]);
        assert_eq!(
            answers(&source, &[hello(), batch], 2).await,
            ["ack 0", "ack 3"]
        );
        for (messages, refusal) in refused_messages() {
            let count = messages.len();
            let answer = answers(&source, &messages, count).await.pop().unwrap();
            assert!(answer.starts_with(refusal), "{answer} is not {refusal}");
        }
        let address = source.local_address.to_string();
        let refused = AgentClient::connect(&address, identity("guess")).await;
        assert!(matches!(refused, Err(AgentError::Refused(_))));
        source.stop().await;
        parts.end().await;
    });
}
