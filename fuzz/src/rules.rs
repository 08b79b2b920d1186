//! Checks that any text is a rule or is refused with a reason.
//!
//! An accepted rule must give the same matches with the plain evaluation as with the detector.

use std::borrow::Cow;

use weir_detect::{Detections, Detector, RuleBook, split_documents};
use weir_parse::{Context, Zone};
use weir_schema::{Control, Event, EventTime, Format, ReceiveTime, Span, TenantKey};

/// Most documents per input; further ones test nothing new.
const DOCUMENTS_MAX: usize = 8;

const FRAMES: [(Format, &str); 6] = [
    (
        Format::Json,
        r#"{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Image":"C:\\Windows\\System32\\cmd.exe","CommandLine":"cmd.exe /c \"whoami -all\"","ProcessId":42,"User":"EXAMPLE\\ada","Computer":"host-1"}"#,
    ),
    (
        Format::Json,
        r#"{"a":"x","b":["x",null,1.5,true],"c":null,"d":10,"e":"","f":"2026-03-02T08:00:00Z","g":"10.1.2.3","h":"Ünï\ncode","message":"the x of a line"}"#,
    ),
    (
        Format::Json,
        r#"{"big":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!","n":9223372036854775807}"#,
    ),
    (
        Format::Syslog,
        "<86>Mar  2 08:00:00 web-7 sshd[22]: Failed password for root from 203.0.113.7 port 4022 ssh2",
    ),
    (
        Format::Syslog,
        r#"<13>1 2026-03-02T08:00:00Z web-7 nginx - - - 203.0.113.7 - - [02/Mar/2026:08:00:00 +0000] "GET /../../etc/passwd HTTP/1.1" 404 12 "-" "curl/8""#,
    ),
    (Format::Syslog, "not a line of syslog"),
];

/// Checks one input, which is the text of rules.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut book = RuleBook::new();
    for (_, document) in split_documents(&text).into_iter().take(DOCUMENTS_MAX) {
        let found = weir_detect::check(document, "fuzz.yml");
        let applied = book.apply(&Control::RulePut {
            text: document.to_owned(),
            origin: "fuzz.yml".to_owned(),
            since: EventTime::MIN,
        });
        // `check` and `apply` must both refuse a document that is invalid by itself.
        let is_refused_by_check = found.iter().any(|diagnostic| diagnostic.refused);
        let is_refused_by_book = applied
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.refused);
        assert!(
            !is_refused_by_check || is_refused_by_book,
            "{found:?} and {:?}",
            applied.diagnostics
        );
    }
    let ids: Vec<_> = book.rules().into_iter().map(|rule| rule.id).collect();
    let mut detector = Detector::new();
    let (mut plain, mut fast) = (Detections::default(), Detections::default());
    // All events twice, to test the detector's cache of values.
    for event in events().iter().chain(&events()) {
        book.detect(event, TenantKey(1), None, &mut plain);
        detector.detect(&book, event, TenantKey(1), None, &mut fast);
        assert_eq!(plain.matches, fast.matches, "{event:?}");
        assert_eq!(plain.facts, fast.facts, "{event:?}");
        for id in &ids {
            let _ = book.explain(id, event);
        }
    }
}

fn events() -> Vec<Event<'static>> {
    let mut events = Vec::new();
    for (format, frame) in FRAMES {
        let context = Context {
            format,
            received: ReceiveTime(1_790_000_000_000_000_000),
            zone: Zone::UTC,
            logsource: None,
            time_field: None,
            future_tolerance: Span::seconds(300),
        };
        events.push(weir_parse::decode(frame.as_bytes(), &context));
    }
    let mut empty = events[0].clone();
    empty.fields.clear();
    empty.message = Cow::Borrowed("");
    events.push(empty);
    events
}
