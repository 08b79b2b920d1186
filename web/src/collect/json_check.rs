//! Checks that a line is a JSON object, without storing its values.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Checks a line; the error states why it is not a JSON object.
pub(super) fn check_json_object(line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    if weir_schema::json::is_object(text) {
        return Ok(());
    }
    // This second parser is slower, but it explains the error.
    match serde_json::from_str(text) {
        Ok(JsonShape { is_object: true }) => Ok(()),
        Ok(JsonShape { is_object: false }) => Err("not a JSON object".into()),
        Err(error) => {
            // The library's texts for syntax errors are fixed and quote no input; the answer adds
            // only the column.
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            Err(format!("not JSON at column {}: {reason}", error.column()))
        }
    }
}

/// A JSON value that was parsed to its end and discarded.
///
/// The library refuses values deeper than 127 levels: its recursion limit counts every level that a
/// visitor opens.
struct JsonShape {
    is_object: bool,
}

impl<'de> Deserialize<'de> for JsonShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonShapeVisitor)
    }
}

struct JsonShapeVisitor;

const NOT_AN_OBJECT: JsonShape = JsonShape { is_object: false };

impl<'de> Visitor<'de> for JsonShapeVisitor {
    type Value = JsonShape;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonShape, A::Error> {
        while map.next_entry::<JsonShape, JsonShape>()?.is_some() {}
        Ok(JsonShape { is_object: true })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JsonShape, A::Error> {
        while seq.next_element::<JsonShape>()?.is_some() {}
        Ok(NOT_AN_OBJECT)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }

    fn visit_unit<E: Error>(self) -> Result<JsonShape, E> {
        Ok(NOT_AN_OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_lines_one_by_one() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for (line, error) in [
            (
                r#"{"a":[1,-2,3.5,null,true,"x",{"b":{}}]}"#.to_owned(),
                None,
            ),
            (r#"  {}  "#.to_owned(), None),
            (format!(r#"{{"a":{}}}"#, deep(126)), None),
            (
                format!(r#"{{"a":{}}}"#, deep(127)),
                Some("recursion limit exceeded"),
            ),
            (
                format!(r#"{{"a":{}}}"#, deep(100_000)),
                Some("recursion limit exceeded"),
            ),
            ("[".repeat(500_000), Some("recursion limit exceeded")),
            ("[1]".to_owned(), Some("not a JSON object")),
            ("42".to_owned(), Some("not a JSON object")),
            (r#"{"a":1"#.to_owned(), Some("EOF")),
            (r#"{"a":1} {}"#.to_owned(), Some("trailing characters")),
            // Numbers are stored as written.
            (r#"{"a":1e999}"#.to_owned(), None),
            ("{\"a\":\"\0\"}".to_owned(), Some("control character")),
            (r#"{"a":"\ud800"}"#.to_owned(), Some("escape")),
            ("{\"a\":\0}".to_owned(), Some("expected value")),
        ] {
            let actual = check_json_object(line.as_bytes()).err();
            let start: String = line.chars().take(40).collect();
            match (error, actual) {
                (None, None) => {}
                (Some(error), Some(actual)) if actual.contains(error) => {}
                (_, actual) => panic!("{start}: {actual:?}, expected {error:?}"),
            }
        }
        assert_eq!(
            check_json_object(b"{\"a\":\"\xff\"}"),
            Err("not UTF-8 at byte 6".to_owned())
        );
    }
}
