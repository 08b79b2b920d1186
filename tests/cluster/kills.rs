//! Two processes under load, each of which is killed once.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::http::Request;
use super::support::{LIMIT, Weir};
use super::{SENDERS, Site, await_all, stop};

/// Some lines of one sender.
struct Chunk {
    sender: usize,
    lines: String,
    events: u64,
}

/// The load of all senders. Many events are late, but none is behind the horizon.
fn chunks(seed: u64) -> Vec<Chunk> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut events: Vec<(i64, usize, String)> = (0..3_000)
        .map(|n: i64| {
            let sender = random.random_range(0..SENDERS);
            let kind = ["a", "b", "c", "c", "d"][random.random_range(0..5)];
            let user = random.random_range(0..60);
            let at = n * 50;
            let line = format!(
                "{{\"timestamp\":\"2026-01-01T00:{:02}:{:02}.{:03}Z\",\"kind\":\"{kind}\",\
                 \"user\":\"u{user}\",\"n\":{n}}}\n",
                at / 60_000,
                at / 1000 % 60,
                at % 1000
            );
            // Up to a minute late, so behind the watermark: a correction.
            (at + random.random_range(0..60_000), sender, line)
        })
        .collect();
    events.sort();
    let mut chunks = Vec::new();
    for part in events.chunks(100) {
        for sender in 0..SENDERS {
            let own = part.iter().filter(|(_, by, _)| *by == sender);
            let lines: Vec<&str> = own.map(|(_, _, line)| line.as_str()).collect();
            if !lines.is_empty() {
                chunks.push(Chunk {
                    sender,
                    events: lines.len() as u64,
                    lines: lines.concat(),
                });
            }
        }
    }
    chunks
}

/// Posts a chunk under a key that makes repetition harmless.
fn post(weir: &Weir, place: usize, chunk: &Chunk) {
    let path = format!("/api/v1/events?source=s{}", chunk.sender);
    let request = Request::new("POST", &path)
        .header("Idempotency-Key", &format!("chunk-{place}"))
        .body(chunk.lines.as_bytes());
    let reply = weir.send(request);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The standing alerts of a single server with the same load.
fn single_process(chunks: &[Chunk]) -> Vec<String> {
    let site = Site::new(1);
    let weirs = site.start();
    for (place, chunk) in chunks.iter().enumerate() {
        post(&weirs[0], place, chunk);
    }
    await_all(&weirs, &[chunks.iter().map(|chunk| chunk.events).sum()]);
    weirs.into_iter().for_each(Weir::stop);
    let changes = site.assert_changes_follow();
    let standing = site.standing();
    println!(
        "one process: {} standing, {changes} changes",
        standing.len()
    );
    standing
}

/// Sends chunks, each to the process of its sender, and counts the events by process.
fn send(weirs: &[Weir], chunks: &[Chunk], range: std::ops::Range<usize>, sent: &mut [u64]) {
    for place in range {
        let chunk = &chunks[place];
        let process = chunk.sender % weirs.len();
        post(&weirs[process], place, chunk);
        sent[process] += chunk.events;
    }
}

#[test]
fn two_processes_equal_one_across_kills() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let chunks = chunks(seed);
    let wanted = single_process(&chunks);
    assert!(wanted.len() > 100, "too few alerts");
    let third = chunks.len() / 3;

    let site = Site::new(2);
    let mut weirs = site.start();
    let mut sent = [0, 0];
    send(&weirs, &chunks, 0..third, &mut sent);
    // First process 1 is killed, which follows, and then process 0, which leads.
    for (round, killed) in [(1, 1), (2, 0)] {
        let other = weirs.remove(1 - killed);
        weirs.remove(0).kill();
        let logged = other.stderr.wait_for("is gone", LIMIT);
        assert!(logged.is_some(), "{}", other.stderr.text());
        assert_eq!(other.await_end(), Some(75));
        weirs = site.start();
        // The kill may have cut off the last reply, so the sender repeats that chunk.
        let last = round * third - 1;
        post(&weirs[chunks[last].sender % 2], last, &chunks[last]);
        send(
            &weirs,
            &chunks,
            round * third..(round + 1) * third,
            &mut sent,
        );
    }
    send(&weirs, &chunks, 3 * third..chunks.len(), &mut sent);
    await_all(&weirs, &sent);
    stop(weirs);
    let changes = site.assert_changes_follow();
    let standing = site.standing();
    println!(
        "two processes: {} standing, {changes} changes; {sent:?} events",
        standing.len()
    );
    assert_eq!(standing, wanted);
    // A restart repeats no change and adds none.
    let weirs = site.start();
    stop(weirs);
    assert_eq!(site.standing(), wanted);
    assert_eq!(site.assert_changes_follow(), changes);
}
