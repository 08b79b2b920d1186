//! Any bytes are an event, the same one each time, within the limits.

use weir_parse::{Context, FIELDS_MAX, Zone};
use weir_schema::{Format, LogSource, ReceiveTime, Span, Value};

/// The first byte says what is known of the frame, the others are the frame.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    let Some((&told, frame)) = bytes.split_first() else {
        return;
    };
    let formats = [Format::Auto, Format::Syslog, Format::Json, Format::Agent];
    let logsource = LogSource {
        category: None,
        product: Some("linux".to_owned()),
        service: Some("auditd".to_owned()),
    };
    let context = Context {
        format: formats[usize::from(told & 3)],
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: if told & 4 == 0 {
            Zone::UTC
        } else {
            Zone::parse("Europe/Berlin").expect("there is a Berlin")
        },
        logsource: (told & 8 != 0).then_some(&logsource),
        time_field: (told & 16 != 0).then_some("when"),
        future_tolerance: Span::seconds(300),
    };
    let event = weir_parse::decode(frame, &context);
    // Beside the fields of the frame a few are given by its kind.
    assert!(
        event.fields.len() <= FIELDS_MAX + 64,
        "{} fields",
        event.fields.len()
    );
    let values: usize = event.fields.iter().map(|(_, value)| size(value)).sum();
    assert!(values <= 4 * FIELDS_MAX, "{values} values");
    for (at, (name, _)) in event.fields.iter().enumerate() {
        let twice = event.fields[..at].iter().any(|(other, _)| other == name);
        assert!(!twice, "`{name}` stands twice");
    }
    assert_eq!(event, weir_parse::decode(frame, &context), "twice");
    let json = weir_parse::event_json(&event);
    assert!(!json.contains('\n'), "{json}");
    let _ = weir_parse::observables(&event);
    let _ = weir_parse::ocsf_class(&event);
}

fn size(value: &Value<'_>) -> usize {
    match value {
        Value::List(values) => 1 + values.iter().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => 1,
    }
}
