//! Checks that answers of consumers and servers, and credentials of senders, are read or refused.

use serde_json::Value;
use weir::verbs::scrape::Scrape;
use weir::verbs::tap::fuzz as tap;
use weir_schema::Span;

/// Most characters of an answer that an error message repeats.
const MESSAGE_CHARS_MAX: usize = 256;

/// Checks one input. The first byte selects the kind of the others.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let [kind, rest @ ..] = bytes else {
        return;
    };
    match kind % 6 {
        0 => consumer(rest),
        1 => server(rest),
        2 => drop(Scrape::parse(&String::from_utf8_lossy(rest)).sum("weir_up")),
        3 => explained(rest),
        4 => certificate(rest),
        _ => texts(rest),
    }
}

fn consumer(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without threads can be built");
    if let Err((message, pause)) = runtime.block_on(weir_respond::fuzz::post_with_answer(bytes)) {
        assert!(message.chars().count() <= MESSAGE_CHARS_MAX, "{message}");
        assert!(!message.chars().any(char::is_control), "{message}");
        assert!(pause.is_none_or(|pause| pause >= 0), "{pause:?}");
    }
}

fn server(bytes: &[u8]) {
    if let Some((_, body)) = tap::answer(bytes) {
        assert!(body.len() <= bytes.len());
    }
    let (chunks, _) = tap::chunks(bytes);
    assert!(chunks.iter().map(Vec::len).sum::<usize>() <= bytes.len());
}

/// Explains two bodies, one per line.
fn explained(bytes: &[u8]) {
    let mut bodies = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || {
        let body = bodies
            .next()
            .and_then(|body| serde_json::from_slice(body).ok());
        body.unwrap_or(Value::Null)
    };
    let text = tap::explained(&next(), &next());
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_control), "{text:?}");
}

fn certificate(der: &[u8]) {
    let (names, _) = weir_ingest::fuzz::certificate(der);
    assert!(names.len() <= 16, "{names:?}");
    for name in &names {
        assert!((1..=255).contains(&name.len()), "{name:?}");
        assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{name:?}");
        assert!(weir_ingest::fuzz::matches(name, name) || name.starts_with("*."));
    }
}

/// Reads the input as a path with an `Authorization` header, a time span, a cursor, and an id.
fn texts(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (path, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
    let path = String::from_utf8_lossy(path);
    let header = rest.get(1..).unwrap_or_default();
    if let Some(token) = weir_web::fuzz::token(&path, header) {
        assert!(token.len() <= header.len());
    }
    if let Some(span) = Span::parse(&path) {
        assert_eq!(Some(span), Span::parse(&path), "not deterministic");
    }
    if let Some(cursor) = weir_schema::outbox::Cursor::parse(&path) {
        assert_eq!(
            Some(cursor),
            weir_schema::outbox::Cursor::parse(&cursor.to_string())
        );
    }
    if let Some(alert) = weir_schema::AlertId::parse(&path) {
        assert_eq!(Some(alert), weir_schema::AlertId::parse(&alert.to_string()));
    }
    let _ = weir_respond::WebhookSecret::parse(&path);
}
