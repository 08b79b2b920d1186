//! Renders an event as one JSON object, as `replay --output events` prints it.

use serde_json::{Map, Number, Value as Json, json};
use weir_schema::{Event, Observable, Value};

use crate::{observables, ocsf_class, time};

/// Renders the event as JSON on one line: time, log source, fields by their flat names, message, and
/// the OCSF class, the observables and the problems if there are any.
#[must_use]
pub fn event_json(event: &Event<'_>) -> String {
    let mut object = Map::new();
    object.insert("time".into(), Json::String(time::text(event.time)));
    let mut source = Map::new();
    let parts = [
        ("category", &event.logsource.category),
        ("product", &event.logsource.product),
        ("service", &event.logsource.service),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            source.insert(name.into(), Json::String(part.clone()));
        }
    }
    object.insert("logsource".into(), Json::Object(source));
    let mut fields = Map::new();
    for (name, value) in &event.fields {
        fields.insert(name.clone().into_owned(), value_json(value));
    }
    object.insert("fields".into(), Json::Object(fields));
    if let Some(class) = ocsf_class(event) {
        object.insert(
            "class".into(),
            json!({ "uid": class.uid, "name": class.name }),
        );
    }
    let found = observables(event);
    if !found.is_empty() {
        let found = found.iter().map(observable_json).collect();
        object.insert("observables".into(), Json::Array(found));
    }
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

fn observable_json(observable: &Observable<'_>) -> Json {
    let mut object = json!({
        "kind": observable.kind.name(),
        "role": observable.role.name(),
        "value": observable.value,
        "field": observable.field,
    });
    if let (Some(algorithm), Json::Object(object)) = (observable.algorithm, &mut object) {
        object.insert("algorithm".into(), algorithm.into());
    }
    object
}

fn value_json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::Number(Number::from(*n)),
        Value::Number(text) => number_json(text),
        Value::Text(text) => Json::String(text.clone().into_owned()),
        // The recursion ends: the reader limits the depth of lists.
        Value::List(values) => Json::Array(values.iter().map(value_json).collect()),
    }
}

/// Renders a number as a number if that prints the same digits, else as text. No digit is lost.
fn number_json(text: &str) -> Json {
    let number = text.parse::<u64>().map(Number::from).ok();
    let number = number.or_else(|| text.parse().ok().and_then(Number::from_f64));
    match number {
        Some(number) if number.to_string() == text => Json::Number(number),
        _ => Json::String(text.to_owned()),
    }
}
