//! Agent frames: the fields that they state, and the line that they carry.

mod common;

use weir_parse::decode;
use weir_schema::Format;
use weir_schema::agent::{AgentEvent, AgentEventArgs, Field, FieldArgs};

use common::{check, context};

/// Builds an agent frame with one field, whose value is `agent-value`.
fn frame(time_ns: i64, name: &str, raw: Option<&str>) -> Vec<u8> {
    let mut b = flatbuffers::FlatBufferBuilder::new();
    let (name, value) = (b.create_string(name), b.create_string("agent-value"));
    let field = Field::create(
        &mut b,
        &FieldArgs {
            name: Some(name),
            value: Some(value),
        },
    );
    let fields = b.create_vector(&[field]);
    let kind = b.create_string("process_creation");
    let logsource = b.create_string("category=process_creation,product=linux");
    let raw = raw.map(|raw| b.create_string(raw));
    let args = AgentEventArgs {
        time_ns,
        kind: Some(kind),
        logsource: Some(logsource),
        fields: Some(fields),
        raw,
    };
    let event = AgentEvent::create(&mut b, &args);
    b.finish(event, None);
    b.finished_data().to_vec()
}

#[test]
fn read_carried_line_if_agent_states_no_time() {
    let line = "<38>Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.1";
    check(
        &frame(0, "user", Some(line)),
        &context(Format::Agent),
        &[
            ("TIME", "2026-03-01T10:00:00.000000000Z"),
            ("user", "agent-value"),
            ("src_ip", "192.0.2.1"),
            ("kind", "process_creation"),
            ("SOURCE", "process_creation/linux/sshd"),
            ("PROBLEMS", ""),
        ],
    );
    check(
        &frame(5_000_000_000, "user", Some("the line")),
        &context(Format::Agent),
        &[
            ("TIME", "1970-01-01T00:00:05.000000000Z"),
            ("MESSAGE", "the line"),
        ],
    );
    check(
        &frame(0, "user", None),
        &context(Format::Agent),
        &[
            ("MESSAGE", "process_creation agent-value"),
            ("PROBLEMS", "time_missing"),
        ],
    );
}

/// A session of sudo renames its user to `target_user`, which the agent has already set.
#[test]
fn field_of_agent_is_not_added_again() {
    let session = "sudo: pam_unix(sudo:session): session opened for user root by ann(uid=0)";
    let frame = frame(0, "target_user", Some(session));
    let event = decode(&frame, &context(Format::Agent));
    let targets = event
        .fields
        .iter()
        .filter(|(name, _)| name == "target_user");
    assert_eq!(targets.count(), 1, "{event:?}");
}

#[test]
fn invalid_flatbuffer_becomes_the_message() {
    check(
        b"no flatbuffer \xff",
        &context(Format::Agent),
        &[
            ("MESSAGE", "no flatbuffer \u{fffd}"),
            ("PROBLEMS", "time_missing invalid_flatbuffer"),
        ],
    );
}
