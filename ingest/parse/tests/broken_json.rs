//! Objects with one bad place: the place is a problem, and the other members are fields all the same.

mod common;

use proptest::prelude::*;
use weir_parse::{FIELDS_MAX, decode, event_json};
use weir_schema::{Event, FRAME_BYTES_MAX, Format, Problem, Value, cut_to_cap};

use common::{check, context, text};

/// Members that a rule reads.
const MEMBERS: &str = r#""EventID":4688,"Channel":"Security","CommandLine":"whoami /priv""#;

fn assert_members(event: &Event<'_>) {
    for (name, expected) in [
        ("EventID", "4688"),
        ("Channel", "Security"),
        ("CommandLine", "whoami /priv"),
    ] {
        let got = text(event, name);
        assert_eq!(got.as_deref(), Some(expected), "{}", event_json(event));
    }
    assert_eq!(event.logsource.product.as_deref(), Some("windows"));
}

fn assert_has(event: &Event<'_>, problem: Problem) {
    assert!(event.problems.contains(&problem), "{}", event_json(event));
}

#[test]
fn a_bad_place_in_a_string_is_repaired() {
    for (written, read) in [
        (r"a\ud83db", "a\u{fffd}b"),
        (r"a\ude00b", "a\u{fffd}b"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\n", "\u{fffd}\n"),
        (r"\x41", "x41"),
        (r"\'é\é", "'éé"),
        (r"\u12", "u12"),
        ("a\u{1}b\tc\nd", "a\u{1}b\tc\nd"),
    ] {
        let frame = format!("{{\"bad\":\"{written}\",{MEMBERS}}}");
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert_members(&event);
        assert_eq!(text(&event, "bad").as_deref(), Some(read), "{written}");
        assert_has(&event, Problem::Unparsed);
        // As a name, in an object of its own, and in a list.
        for bad in [
            format!("\"{written}\":1"),
            format!("\"o\":{{\"{written}\":\"{written}\"}}"),
            format!("\"l\":[\"{written}\",{{\"x\":\"{written}\"}}]"),
        ] {
            let frame = format!("{{{bad},{MEMBERS}}}");
            assert_members(&decode(frame.as_bytes(), &context(Format::Auto)));
        }
    }
}

#[test]
fn a_bad_value_that_can_be_skipped_hides_nothing() {
    for bad in [
        "NaN",
        "-Infinity",
        "01",
        "undefined",
        "'a'",
        "[1,]",
        "{\"a\":1,}",
        "1.",
        "0x1f",
    ] {
        let frame = format!("{{\"bad\":{bad} ,{MEMBERS}}}");
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert_members(&event);
        assert_has(&event, Problem::Unparsed);
    }
}

#[test]
fn a_value_that_is_too_deep_is_skipped() {
    let nested = format!("{}\"]}}\"{}", "{\"a\":".repeat(200), "}".repeat(200));
    let lists = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for deep in [nested, lists] {
        let frame = format!("{{\"deep\":{deep},{MEMBERS}}}");
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert_members(&event);
        assert_eq!(event.problems, [Problem::TimeMissing, Problem::TooDeep]);
    }
}

#[test]
fn the_members_before_a_place_that_cannot_be_read_are_fields() {
    for rest in [
        ",\"bad\":}",
        ",\"bad\" 1}",
        ",\"bad\":\"a\"b\"}",
        "",
        "} x",
        ",\"bad\":12",
        "]",
    ] {
        let frame = format!("{{{MEMBERS}{rest}");
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert_members(&event);
        assert_has(&event, Problem::Unparsed);
        assert_eq!(event.message, frame);
    }
    // The end of a number that the end of the text cut is not known.
    let event = decode(b"{\"a\":1,\"EventID\":46", &context(Format::Auto));
    assert_eq!(
        (text(&event, "EventID"), text(&event, "a").is_some()),
        (None, true)
    );
}

#[test]
fn an_object_with_a_bad_place_is_read_in_its_carrier() {
    let inner = r#"{"bad":"\ud83d","user":"ann","src_ip":"192.0.2.9"}"#;
    let line = format!("<13>Mar  1 10:00:00 web1 app[7]: {inner}");
    let expected = [
        ("host", "web1"),
        ("program", "app"),
        ("user", "ann"),
        ("PROBLEMS", "unparsed"),
    ];
    check(line.as_bytes(), &context(Format::Auto), &expected);
    let cut = line.replace("9\"}", "9\",\"more\":\"a");
    check(cut.as_bytes(), &context(Format::Auto), &expected);
    let shipped =
        r#"{"host":"web1","x":"\x","program":"sshd","message":"Invalid user x from 192.0.2.9"}"#;
    let expected = [
        ("src_ip", "192.0.2.9"),
        ("user", "x"),
        ("SOURCE", "/linux/sshd"),
    ];
    check(shipped.as_bytes(), &context(Format::Auto), &expected);
    // Braces alone are no object.
    let prose = "<13>Mar  1 10:00:00 web1 app[7]: {user=ann}";
    check(
        prose.as_bytes(),
        &context(Format::Auto),
        &[("MESSAGE", "{user=ann}")],
    );
}

fn cut(frame: String) -> Vec<u8> {
    let mut frame = frame.into_bytes();
    assert!(cut_to_cap(&mut frame, FRAME_BYTES_MAX) > 0);
    frame
}

#[test]
fn the_members_around_a_cut_are_fields() {
    let longs = [
        "A".repeat(65_000),
        "\\\\".repeat(40_000),
        "\\\"a,".repeat(30_000),
    ];
    let shifts = ["", "x", "xx", "xxx"];
    for (long, shift) in longs
        .iter()
        .flat_map(|long| shifts.map(|shift| (long, shift)))
    {
        for (open, close) in [("", ""), ("\"Event\":{\"EventData\":{", "}}")] {
            let (before, after) = ("\"Computer\":\"dc1\"", "\"SubjectUserName\":\"ann\"");
            let frame = format!(
                "{{\"EventID\":4688,\"Channel\":\"Security\",{before},{open}\"Long\":\"{shift}{long}\",{after}{close}}}"
            );
            let frame = cut(format!("{frame}{}", " ".repeat(500)));
            let event = decode(&frame, &context(Format::Auto));
            let prefix = if open.is_empty() {
                ""
            } else {
                "Event.EventData."
            };
            for (name, expected) in [("EventID", "4688"), ("Computer", "dc1")] {
                assert_eq!(text(&event, name).as_deref(), Some(expected));
            }
            let user = text(&event, &format!("{prefix}SubjectUserName"));
            assert_eq!(user.as_deref(), Some("ann"), "{:?}", event.problems);
            let kept = text(&event, &format!("{prefix}Long")).unwrap();
            assert!(kept.len() > 20_000, "{}", kept.len());
            assert_has(&event, Problem::Truncated);
        }
    }
}

#[test]
fn a_cut_between_two_levels_gives_no_member_a_wrong_name() {
    let many = |name: &str, count: usize| {
        let members: Vec<_> = (0..count)
            .map(|n| format!("\"{name}{n}\":\"{n} {}\"", "z".repeat(300)))
            .collect();
        members.join(",")
    };
    // The head ends inside, the tail begins outside.
    let frame = format!(
        "{{\"a\":1,\"in\":{{{}}},{},\"user\":\"ann\"}}",
        many("k", 180),
        many("t", 60)
    );
    let frame = cut(frame);
    let event = decode(&frame, &context(Format::Auto));
    assert_eq!(text(&event, "a").as_deref(), Some("1"));
    assert_eq!(
        text(&event, "user").as_deref(),
        Some("ann"),
        "{:?}",
        event.problems
    );
    assert!(
        event.get("in.k0").is_some() && event.get("t59").is_some() && event.get("in.t59").is_none()
    );
    // The head ends outside, the tail begins inside.
    let frame = format!(
        "{{\"a\":1,{},\"in\":{{{}}},\"user\":\"ann\"}}",
        many("k", 180),
        many("t", 60)
    );
    let frame = cut(frame);
    let event = decode(&frame, &context(Format::Auto));
    assert_eq!(
        text(&event, "user").as_deref(),
        Some("ann"),
        "{:?}",
        event.problems
    );
    assert!(event.get("k0").is_some() && event.get("t59").is_none());
    // The cut falls into a list of objects.
    let items = vec![format!("{{\"user\":\"evil\",\"x\":\"{}\"}}", "y".repeat(100)); 700];
    let frame = format!(
        "{{\"a\":1,\"list\":[{}],\"user\":\"ann\"}}",
        items.join(",")
    );
    let frame = cut(frame);
    let event = decode(&frame, &context(Format::Auto));
    assert_eq!(
        text(&event, "user").as_deref(),
        Some("ann"),
        "{:?}",
        event.problems
    );
}

#[test]
fn names_that_matter_are_fields_behind_any_number_of_others() {
    let many: Vec<_> = (0..1_100).map(|n| format!("\"k{n}\":{n}")).collect();
    let frame = format!(
        "{{{},{MEMBERS},\"src_ip\":\"192.0.2.9\",\"user\":\"ann\"}}",
        many.join(",")
    );
    let event = decode(frame.as_bytes(), &context(Format::Auto));
    assert_members(&event);
    assert_eq!(event.fields.len(), FIELDS_MAX);
    assert_eq!(text(&event, "src_ip").as_deref(), Some("192.0.2.9"));
    assert_eq!(text(&event, "user").as_deref(), Some("ann"));
    assert_has(&event, Problem::TooManyFields);
    // They take the places of others only.
    let users: Vec<_> = (0..3_000).map(|n| format!("\"k{n}.user\":{n}")).collect();
    let frame = format!("{{{MEMBERS},{}}}", users.join(","));
    let event = decode(frame.as_bytes(), &context(Format::Auto));
    assert_members(&event);
    assert_eq!(event.fields.len(), FIELDS_MAX);
}

const NESTED: &str = r#"{"a":"one, \"two\"","b":{"c":"C:\\x\\","d":12345,"e":{"f":"[1,2]}","g":true}},"h":["i,",{"j":"k"}],"l":"m:","n":{"o":"p"},"q":"r"}"#;

proptest! {
    /// A value of a field is that of the frame, or a part of it.
    #[test]
    fn no_cut_invents_a_value(from in 0..NESTED.len(), gap in 0..NESTED.len()) {
        let to = (from + gap).min(NESTED.len());
        let (head, tail) = (&NESTED[..from], &NESTED[to..]);
        let frame = format!("{head}[weir left out {gap} bytes]{tail}");
        let whole = decode(NESTED.as_bytes(), &context(Format::Json));
        let event = decode(frame.as_bytes(), &context(Format::Json));
        let last = |name: &str| name.rsplit('.').next().unwrap().to_owned();
        for (name, value) in event.fields.iter().filter(|(name, _)| !name.contains("[weir")) {
            let original = whole.fields.iter().find(|(known, _)| last(known) == last(name));
            let is_part = match (value, original.map(|(_, value)| value)) {
                (Value::Text(text), _) if text.contains("[weir") => true,
                (Value::Text(text), Some(Value::Text(original))) => original.starts_with(&**text),
                (Value::List(_), Some(Value::List(_))) => true,
                (value, original) => Some(value) == original,
            };
            prop_assert!(is_part, "{name} of {frame}\n{}", event_json(&event));
        }
    }

    /// Each place may be bad, and the members before it stay.
    #[test]
    fn no_byte_hides_the_members_before_it(at in 0..NESTED.len(), byte in "[ -~]|\\PC") {
        if NESTED.is_char_boundary(at) {
            let frame = format!("{{{MEMBERS},\"x\":{}{byte}{}}}", &NESTED[..at], &NESTED[at..]);
            assert_members(&decode(frame.as_bytes(), &context(Format::Auto)));
        }
    }
}
