//! Whatever a consumer or a server answers, and whatever a sender shows to be let in, is read or
//! refused.

use serde_json::Value;
use weir::scrape::Scrape;
use weir::tap::door as tap;
use weir_schema::Span;

/// Of an answer at most so much is repeated in words.
const SAID_CHARS_MAX: usize = 256;

/// The first byte says what the others are.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    let [way, rest @ ..] = bytes else {
        return;
    };
    match way % 6 {
        0 => consumer(rest),
        1 => server(rest),
        2 => drop(Scrape::parse(&String::from_utf8_lossy(rest)).sum("weir_up")),
        3 => explained(rest),
        4 => certificate(rest),
        _ => words(rest),
    }
}

fn consumer(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without threads can be made");
    if let Err((said, pause)) = runtime.block_on(weir_respond::door::answered(bytes)) {
        assert!(said.chars().count() <= SAID_CHARS_MAX, "{said}");
        assert!(!said.chars().any(char::is_control), "{said}");
        assert!(pause.is_none_or(|pause| pause >= 0), "{pause:?}");
    }
}

fn server(bytes: &[u8]) {
    if let Some((_, body)) = tap::answer(bytes) {
        assert!(body.len() <= bytes.len());
    }
    let (chunks, _) = tap::stream(bytes);
    assert!(chunks.iter().map(Vec::len).sum::<usize>() <= bytes.len());
}

/// Two bodies, one a line.
fn explained(bytes: &[u8]) {
    let mut bodies = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || {
        let body = bodies
            .next()
            .and_then(|body| serde_json::from_slice(body).ok());
        body.unwrap_or(Value::Null)
    };
    let words = tap::explained(&next(), &next());
    let moves = |c: char| c.is_control() && c != '\n';
    assert!(!words.contains(moves), "{words:?}");
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

/// A path, and what stands in `Authorization`; a time span; a cursor; an id.
fn words(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (path, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
    let path = String::from_utf8_lossy(path);
    let shown = rest.get(1..).unwrap_or_default();
    if let Some(token) = weir_web::door::token(&path, shown) {
        assert!(token.len() <= shown.len());
    }
    if let Some(span) = Span::parse(&path) {
        assert_eq!(Some(span), Span::parse(&path), "twice");
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
    let _ = weir_respond::Secret::parse(&path);
}
