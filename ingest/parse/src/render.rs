//! An event as one JSON object, as `replay --output events` prints it.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Number, Value as Json};
use weir_schema::{Event, Value};

/// The event on one line: time, log source, fields by their flat names, message, and problems where
/// there are any.
#[must_use]
pub fn event_json(event: &Event<'_>) -> String {
    let mut object = Map::new();
    let time = DateTime::from_timestamp_nanos(event.time.0);
    let time = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    object.insert("time".into(), Json::String(time));
    let mut source = Map::new();
    let words = [
        ("category", &event.logsource.category),
        ("product", &event.logsource.product),
        ("service", &event.logsource.service),
    ];
    for (name, word) in words {
        if let Some(word) = word {
            source.insert(name.into(), Json::String(word.clone()));
        }
    }
    object.insert("logsource".into(), Json::Object(source));
    let mut fields = Map::new();
    for (name, value) in &event.fields {
        fields.insert(name.clone().into_owned(), json(value));
    }
    object.insert("fields".into(), Json::Object(fields));
    object.insert(
        "message".into(),
        Json::String(event.message.clone().into_owned()),
    );
    if !event.problems.is_empty() {
        let names = event.problems.iter().map(|problem| problem.name().into());
        object.insert("problems".into(), Json::Array(names.collect()));
    }
    Json::Object(object).to_string()
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::Number(Number::from(*n)),
        Value::Number(text) => number(text),
        Value::Text(text) => Json::String(text.clone().into_owned()),
        // Lists are at most as deep as the reader allows.
        Value::List(values) => Json::Array(values.iter().map(json).collect()),
    }
}

/// A number that a float writes back as it stands is printed as a number, any other as its text: no
/// digit is lost.
fn number(text: &str) -> Json {
    let number = text.parse::<u64>().map(Number::from).ok();
    let number = number.or_else(|| text.parse().ok().and_then(Number::from_f64));
    match number {
        Some(number) if number.to_string() == text => Json::Number(number),
        _ => Json::String(text.to_owned()),
    }
}
