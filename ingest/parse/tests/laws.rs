//! Properties of decoding any bytes: no panic, deterministic, linear time, and JSON accepted as by
//! `serde_json`.

#[path = "laws/lines.rs"]
mod lines;

use std::io::BufReader;

use proptest::prelude::*;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, Problem, ReceiveTime, RecordsReader, Span, Value};

use lines::{LINES, SHAPES};

const FORMATS: [Format; 4] = [Format::Syslog, Format::Json, Format::Agent, Format::Auto];

fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: ReceiveTime(1_772_409_600_000_000_000),
        zone: Zone::parse("Europe/Berlin").unwrap(),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Checks the properties of the event of a frame, in every format.
fn check(frame: &[u8], received: i64) {
    for format in FORMATS {
        let context = Context {
            received: ReceiveTime(received),
            ..context(format)
        };
        let event = decode(frame, &context);
        assert_eq!(event, decode(frame, &context));
        let without_time = [Problem::TimeMissing, Problem::TimeAbsurd];
        if event
            .problems
            .iter()
            .any(|problem| without_time.contains(problem))
        {
            assert_eq!(event.time.0, received);
        } else {
            assert!(event.time.0 >= 0, "{event:?}");
        }
        let mut names: Vec<_> = event.fields.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.len() <= weir_parse::FIELDS_MAX);
        assert!(event.problems.windows(2).all(|pair| pair[0] < pair[1]));
        let json: serde_json::Value = serde_json::from_str(&event_json(&event)).unwrap();
        assert_eq!(json["message"].as_str(), Some(event.message.as_ref()));
    }
}

#[test]
fn decode_every_prefix_of_a_line() {
    for line in LINES {
        for end in 0..=line.len() {
            check(&line.as_bytes()[..end], 1_772_409_600_000_000_000);
        }
    }
}

fn corrupted_line() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (
        prop::sample::select(LINES.to_vec()),
        edits,
        prop::sample::select(LINES.to_vec()),
    )
        .prop_map(|(line, edits, other)| {
            let mut bytes = line.as_bytes().to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                match byte % 4 {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b" :[]\"\\=|%<"[usize::from(byte / 4) % 10]),
                    _ => bytes
                        .splice(at..at, other.bytes().skip(at).take(20))
                        .for_each(drop),
                }
            }
            bytes
        })
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        "\"(\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fA-F]{4}|[a-z\\x00-\\x20]){0,5}\"",
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let pairs = prop::collection::vec(("\"[a-d]{1,2}\"", inner.clone()), 0..4);
        let object = pairs.prop_map(|pairs| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| format!("{name} : {value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        });
        let list = prop::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(" ,")));
        prop_oneof![object, list]
    });
    value.prop_map(|value| format!("{{\"x\":{value}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decode_any_bytes(
        frame in prop::collection::vec(any::<u8>(), 0..200),
        received in any::<i64>(),
    ) {
        check(&frame, received);
    }

    #[test]
    fn decode_any_corrupted_line(frame in corrupted_line()) {
        check(&frame, 1_772_409_600_000_000_000);
    }

    /// A record may contain any JSON; the reader still finds its end.
    #[test]
    fn split_documents_into_their_records(
        texts in prop::collection::vec(json_text(), 0..5),
        (between, tail) in ("[ \n\t]{0,3}", "(,\"a\":\\{\"]}\":\\[\"\\\\\"\"\\]\\}){0,2}"),
        buffer_bytes in 1..40usize,
    ) {
        let is_json = |text: &&String| serde_json::from_str::<serde_json::Value>(text).is_ok();
        let texts: Vec<_> = texts.iter().filter(is_json).collect();
        let list = texts.iter().map(|text| format!("{between}{text}{between}"));
        let list = list.collect::<Vec<_>>().join(",");
        let document = format!("{{{between}\"Records\"{between}:[{list}]{tail}}}");
        let parsed = serde_json::from_str::<serde_json::Value>(&document).unwrap();
        prop_assert_eq!(parsed["Records"].as_array().unwrap().len(), texts.len());
        let twice = format!("{document}\n{document}{{");
        let mut input = BufReader::with_capacity(buffer_bytes, twice.as_bytes());
        let (mut records, mut record) = (RecordsReader::default(), Vec::new());
        for text in texts.iter().chain(&texts) {
            let is_truncated = records.read(&mut input, &mut record, 1 << 20).unwrap();
            prop_assert_eq!(is_truncated, Some(false));
            prop_assert_eq!(std::str::from_utf8(&record).unwrap(), text.as_str());
        }
        prop_assert_eq!(records.read(&mut input, &mut record, 1 << 20).unwrap(), None);
        prop_assert_eq!(records.take_unmatched(), b"{");
    }

    #[test]
    fn json_is_accepted_as_by_serde_json(text in json_text()) {
        let parsed = serde_json::from_str::<serde_json::Value>(&text);
        let event = decode(text.as_bytes(), &context(Format::Json));
        let accepted = !event.problems.contains(&Problem::Unparsed);
        // `serde_json` rejects a float that is out of range; an event keeps it as written.
        let is_out_of_range = parsed.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(accepted == parsed.is_ok() || is_out_of_range, "{text}: {parsed:?}");
        if let (Ok(parsed), true) = (parsed, accepted) {
            let mut flat = Vec::new();
            flatten("", &parsed, &mut flat);
            for (name, value) in flat {
                // Both readers keep the last value of a duplicate key.
                let value_read = event.get(&name);
                let agrees = value_read.is_some_and(|read| same(read, &value));
                prop_assert!(agrees, "{text}: {name}: {value_read:?}, {value}");
            }
        }
    }
}

fn flatten(path: &str, value: &serde_json::Value, out: &mut Vec<(String, serde_json::Value)>) {
    if let serde_json::Value::Object(object) = value {
        for (key, value) in object {
            let name = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            flatten(&name, value, out);
        }
    } else {
        out.push((path.to_owned(), value.clone()));
    }
}

fn same(value: &Value<'_>, parsed: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (value, parsed) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Int(a), Json::Number(b)) => b.as_i64() == Some(*a),
        (Value::Number(a), Json::Number(b)) => {
            // The float of `serde_json` may differ in the last place.
            let (a, b) = (a.parse::<f64>().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= a.abs() * 1e-14
        }
        (Value::Text(a), Json::String(b)) => a == b,
        (Value::Text(a), Json::Object(_)) => {
            serde_json::from_str::<Json>(a).ok().as_ref() == Some(parsed)
        }
        (Value::List(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

fn problems(event: &Event<'_>) -> Vec<&'static str> {
    event
        .problems
        .iter()
        .map(|problem| problem.name())
        .collect()
}

#[test]
fn limit_deep_wide_and_long_frames() {
    let deep = format!("{{\"ok\":1,\"a\":{}", "[".repeat(100_000));
    let event = decode(deep.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);
    assert_eq!(event.get("ok"), Some(&Value::Int(1)));
    let deep = "{\"a\":".repeat(100_000);
    let event = decode(deep.as_bytes(), &context(Format::Auto));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);

    // Copying a path of half a mebibyte for each field would take tens of gigabytes.
    let keys = "\"k\":1,".repeat(70_000);
    let path = format!("{{\"ok\":1,\"{}\":{{{keys}\"z\":1}}}}", "p".repeat(500_000));
    let event = decode(path.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);
    assert_eq!(event.get("ok"), Some(&Value::Int(1)));

    let wide: Vec<_> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let event = decode(wide.as_bytes(), &context(Format::Json));
    assert_eq!(event.fields.len(), weir_parse::FIELDS_MAX);
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);
    let list = format!("{{\"a\":[{}1]}}", "1,".repeat(50_000));
    let event = decode(list.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);

    // Fields that are repeated become lists, which are limited together.
    let names: Vec<_> = (0..5_000).map(|n| format!("k{}=\"\"", n % 7)).collect();
    let data = format!("<13>1 - h a 1 m [x {}] text", names.join(" "));
    let event = decode(data.as_bytes(), &context(Format::Syslog));
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);
    let values = event.fields.iter().map(|(_, value)| match value {
        Value::List(values) => values.len(),
        _ => 0,
    });
    assert_eq!(values.sum::<usize>(), weir_parse::FIELDS_MAX + 7);
}

/// A reader that takes quadratic time would not finish here.
#[test]
fn decode_a_mebibyte_of_each_shape_in_linear_time() {
    for (head, unit) in SHAPES {
        let line = format!("{head}{}", unit.repeat((1 << 20) / unit.len()));
        for format in FORMATS {
            let event = decode(line.as_bytes(), &context(format));
            assert!(event.fields.len() <= weir_parse::FIELDS_MAX);
        }
    }
}
