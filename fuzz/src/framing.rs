//! Checks that the frames of a connection do not depend on its reads and are within the cap.

use weir_ingest::framing::Framer;
use weir_ingest::relp::fuzz as relp;
use weir_schema::Frames;
use weir_schema::agent::{self, AgentEvent, EventBatch};
use weir_schema::alert_frame::{self, AlertChange};

use crate::damage;

/// A small cap, so that inputs exceed it.
const CAP: usize = 32;

/// Checks one input. The first byte selects the protocol, the second the size of the reads.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let [kind, length, rest @ ..] = bytes else {
        return;
    };
    match kind % 7 {
        0 => lines(rest, *length),
        1 => relp_frames(rest, *length),
        2 => agent_message(rest),
        3 => agent_message(&damage::apply(valid_agent_message(*length), rest)),
        4 => agent_event(rest),
        5 => alert(rest),
        _ => alert(&damage::apply(valid_alert(), rest)),
    }
}

fn lines(bytes: &[u8], length: u8) {
    let cut = |pieces: &[&[u8]]| {
        let mut framer = Framer::new(CAP);
        let mut frames = Frames::new();
        pieces
            .iter()
            .for_each(|piece| framer.push(piece, &mut frames));
        framer.finish(&mut frames);
        (frames, framer.take_counts())
    };
    let (frames, counts) = cut(&[bytes]);
    assert!(frames.iter().all(|frame| (1..=CAP).contains(&frame.len())));
    assert!(frames.bytes() <= bytes.len());
    assert_eq!((frames, counts), cut(&damage::pieces(bytes, length)));
}

fn relp_frames(bytes: &[u8], length: u8) {
    let (frames, is_relp) = relp::frames(&[bytes], CAP);
    for frame in &frames {
        assert!(
            frame.transaction > 0 && frame.data.len() <= CAP,
            "{frame:?}"
        );
        let _ = relp::accepts_offer(&frame.data);
    }
    let again = relp::frames(&damage::pieces(bytes, length), CAP);
    assert_eq!((frames, is_relp), again);
    let _ = relp::accepts_offer(bytes);
}

fn valid_agent_message(which: u8) -> Vec<u8> {
    let fields = [("User", "root"), ("Image", "/bin/sh")];
    let event = agent::encode_event(7, Some("process_creation"), None, &fields, Some("line"));
    let whole = match which % 5 {
        0 => agent::encode_hello("agent-1", 7, "token"),
        1 => agent::encode_batch(7, &[event.as_slice(), b"", b"other"]),
        2 => agent::encode_ack(7),
        3 => agent::encode_refusal(agent::refusal::GAP, "hint"),
        _ => return event,
    };
    whole.get(4..).unwrap_or_default().to_vec()
}

fn agent_message(bytes: &[u8]) {
    agent_event(bytes);
    let Ok(message) = agent::decode_message(bytes) else {
        return;
    };
    let _ = format!("{message:?}");
    if let Some(hello) = message.body_as_hello() {
        let _ = (hello.agent().chars().count(), hello.token().len());
    }
    if let Some(batch) = message.body_as_event_batch() {
        batch_events(&batch);
    }
    let _ = message.body_as_ack().map(|ack| ack.next_sequence());
    let _ = message
        .body_as_refusal()
        .map(|refusal| refusal.reason().chars().count());
}

fn batch_events(batch: &EventBatch<'_>) {
    for payload in batch.events() {
        agent_event(payload.event().bytes());
    }
}

fn agent_event(bytes: &[u8]) {
    let read = |event: AgentEvent<'_>| {
        let fields = event.fields().into_iter().flatten();
        fields
            .map(|field| field.name().len() + field.value().chars().count())
            .sum::<usize>()
    };
    let _ = agent::decode_event(bytes).map(read);
}

fn valid_alert() -> Vec<u8> {
    alert_frame::encode(&crate::journal::change(), weir_schema::ChangeKind::Raised)
}

fn alert(frame: &[u8]) {
    if let Ok(change) = alert_frame::decode(frame) {
        read_alert(&change);
    }
}

fn read_alert(change: &AlertChange<'_>) {
    // Reads every field.
    let _ = format!("{change:?}");
    let _ = (change.kind().variant_name(), change.level().variant_name());
    for field in change.group().into_iter().flatten() {
        let _ = (field.name().chars().count(), field.value().chars().count());
    }
    for item in change.head().into_iter().chain(change.tail()).flatten() {
        let _ = (item.event().low(), item.time_ns());
    }
}
