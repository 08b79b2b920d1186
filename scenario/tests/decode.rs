//! The parser finds in the generated lines the fields that the scenario states.

use weir_parse::{Context, Zone, decode};
use weir_scenario::DeliveryPayload;
use weir_scenario::company::{Company, LENGTH_SECONDS};
use weir_scenario::load::LoadStream;
use weir_schema::{EventTime, Format, ReceiveTime, Span};

/// 2026-12-31T23:50:00Z: the year changes during the scenario.
const START: EventTime = EventTime(1_798_761_000_000_000_000);

fn context() -> Context<'static> {
    Context {
        format: Format::Syslog,
        received: ReceiveTime(START.plus(Span::seconds(LENGTH_SECONDS)).0),
        zone: Zone::parse("UTC").expect("UTC is a zone"),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

#[test]
fn company_lines_decode_to_their_time_host_and_fields() {
    for seed in [1, 42] {
        let scenario = Company::new(seed).plan(START);
        let mut checked = 0;
        for delivery in &scenario.deliveries {
            let DeliveryPayload::Line(line) = &delivery.payload else {
                continue;
            };
            let event = decode(line, &context());
            let text = String::from_utf8_lossy(line);
            let message = format!("seed {seed}: {text}\n{event:?}");
            assert_eq!(
                (event.time, &event.problems[..]),
                (delivery.time, &[][..]),
                "{message}"
            );
            let field = |name: &str| {
                let value = event.get(name).and_then(weir_schema::Value::as_text);
                value.map(std::borrow::Cow::into_owned)
            };
            assert_eq!(field("host").as_ref(), Some(&delivery.host), "{message}");
            for detection in &delivery.detections {
                for (name, value) in &detection.fields {
                    assert_eq!(field(name).as_ref(), Some(value), "{name} of {message}");
                }
                checked += 1;
            }
        }
        assert!(checked > 1_000, "{checked}");
    }
}

#[test]
fn load_lines_decode_without_problems() {
    let (mut bytes, mut completed) = (Vec::new(), Vec::new());
    LoadStream::new(5, START).chunk(START, 20_000, &mut bytes, &mut completed);
    let mut refused = 0;
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let event = decode(line, &context());
        assert_eq!(
            (event.time, &event.problems[..]),
            (START, &[][..]),
            "{event:?}"
        );
        refused += usize::from(event.get("src_ip").is_some() && event.get("method").is_some());
    }
    assert!(refused > 2_000, "{refused}");
}
