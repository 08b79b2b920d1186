//! Checks that any frame decodes to an event within the limits, deterministically.

use weir_parse::{Context, FIELDS_MAX, Zone};
use weir_schema::{Format, LogSource, ReceiveTime, Span, Value};

/// Checks one input. The first byte selects the context of the frame, the others are the frame.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let Some((&flags, frame)) = bytes.split_first() else {
        return;
    };
    let formats = [Format::Auto, Format::Syslog, Format::Json, Format::Agent];
    let logsource = LogSource {
        category: None,
        product: Some("linux".to_owned()),
        service: Some("auditd".to_owned()),
    };
    let context = Context {
        format: formats[usize::from(flags & 3)],
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: if flags & 4 == 0 {
            Zone::UTC
        } else {
            Zone::parse("Europe/Berlin").expect("the time zone exists")
        },
        logsource: (flags & 8 != 0).then_some(&logsource),
        time_field: (flags & 16 != 0).then_some("when"),
        future_tolerance: Span::seconds(300),
    };
    let event = weir_parse::decode(frame, &context);
    // The format adds a few fields to those of the frame.
    assert!(
        event.fields.len() <= FIELDS_MAX + 64,
        "{} fields",
        event.fields.len()
    );
    let values: usize = event.fields.iter().map(|(_, value)| size(value)).sum();
    assert!(values <= 4 * FIELDS_MAX, "{values} values");
    for (at, (name, _)) in event.fields.iter().enumerate() {
        let is_duplicate = event.fields[..at].iter().any(|(other, _)| other == name);
        assert!(!is_duplicate, "field `{name}` occurs twice");
    }
    assert_eq!(
        event,
        weir_parse::decode(frame, &context),
        "not deterministic"
    );
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
