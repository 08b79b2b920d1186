//! Event times: missing years, time zones, times of JSON objects, and times that are not credible.

mod common;

use weir_parse::{Context, Zone, decode};
use weir_schema::{Format, ReceiveTime};

use common::{RECEIVED, check, context, field_text};

/// Receive time, zone, time as written, and expected event time.
const YEARS: [(&str, &str, &str, &str); 15] = [
    (
        "2026-01-01T00:00:30Z",
        "UTC",
        "Dec 31 23:59:59",
        "2025-12-31T23:59:59",
    ),
    (
        "2025-12-31T23:59:30Z",
        "UTC",
        "Jan  1 00:00:01",
        "2026-01-01T00:00:01",
    ),
    (
        "2026-02-01T00:00:00Z",
        "UTC",
        "Feb 29 12:00:00",
        "2024-02-29T12:00:00",
    ),
    (
        "2027-03-02T00:00:00Z",
        "UTC",
        "Feb 29 12:00:00",
        "2024-02-29T12:00:00",
    ),
    (
        "2103-01-01T00:00:00Z",
        "UTC",
        "Feb 29 12:00:00",
        "2096-02-29T12:00:00",
    ),
    (
        "2026-01-01T00:30:00Z",
        "America/New_York",
        "Dec 31 19:29:00",
        "2026-01-01T00:29:00",
    ),
    (
        "2026-07-01T00:00:00Z",
        "Europe/Berlin",
        "Jun 30 12:00:00",
        "2026-06-30T10:00:00",
    ),
    // Clocks go forward at 02:00. 02:30 does not exist and takes the offset from before.
    (
        "2026-03-29T12:00:00Z",
        "Europe/Berlin",
        "Mar 29 02:30:00",
        "2026-03-29T01:30:00",
    ),
    // Clocks go back at 03:00. 02:30 occurs twice and is the occurrence nearer to receipt.
    (
        "2026-10-25T12:00:00Z",
        "Europe/Berlin",
        "Oct 25 02:30:00",
        "2026-10-25T01:30:00",
    ),
    (
        "2026-10-25T00:30:02Z",
        "Europe/Berlin",
        "Oct 25 02:30:00",
        "2026-10-25T00:30:00",
    ),
    // A log without years that is half a year old or older.
    (
        "2026-11-30T00:00:00Z",
        "UTC",
        "Dec 10 06:55:46",
        "2025-12-10T06:55:46",
    ),
    (
        "2026-11-20T12:00:00Z",
        "UTC",
        "May  5 10:00:00",
        "2026-05-05T10:00:00",
    ),
    // A clock may be a day ahead.
    (
        "2026-11-20T12:00:00Z",
        "UTC",
        "Nov 21 12:00:00",
        "2026-11-21T12:00:00",
    ),
    (
        "2026-11-20T12:00:00Z",
        "UTC",
        "Nov 21 12:00:01",
        "2025-11-21T12:00:01",
    ),
    (
        "2026-03-29T12:00:00Z",
        "Europe/Berlin",
        "Mar 29 2026 12:30:00",
        "2026-03-29T10:30:00",
    ),
];

#[test]
fn missing_year_is_the_latest_before_receipt() {
    for (received, zone, written, read) in YEARS {
        let received = chrono::DateTime::parse_from_rfc3339(received).unwrap();
        let context = Context {
            received: ReceiveTime(received.timestamp_nanos_opt().unwrap()),
            zone: Zone::parse(zone).unwrap(),
            ..context(Format::Auto)
        };
        let line = format!("<13>{written} h app: m");
        check(
            line.as_bytes(),
            &context,
            &[("TIME", &format!("{read}.000000000Z")), ("host", "h")],
        );
    }
    assert!(Zone::parse("Europe/Atlantis").is_none());
}

/// Value of a JSON time field in the zone of Berlin, and expected event time.
const JSON_TIMES: [(&str, &str); 10] = [
    (
        "\"2026-01-02T03:04:05.5+01:00\"",
        "2026-01-02T02:04:05.500000000Z",
    ),
    (
        "\"2026-01-02 03:04:05.000000001\"",
        "2026-01-02T02:04:05.000000001Z",
    ),
    (
        "\"2026-01-02T03:04:05.1+0000\"",
        "2026-01-02T03:04:05.100000000Z",
    ),
    ("1767323045", "2026-01-02T03:04:05.000000000Z"),
    ("1767323045.25", "2026-01-02T03:04:05.250000000Z"),
    ("1767323045250", "2026-01-02T03:04:05.250000000Z"),
    ("1767323045250000", "2026-01-02T03:04:05.250000000Z"),
    ("1767323045250000001", "2026-01-02T03:04:05.250000001Z"),
    // A duration in `time` is not the time.
    (
        "1767323045,\"time\":0.023",
        "2026-01-02T03:04:05.000000000Z",
    ),
    ("946684807", "2000-01-01T00:00:07.000000000Z"),
];

#[test]
fn read_time_of_json_object() {
    let berlin = Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..context(Format::Auto)
    };
    for (written, read) in JSON_TIMES {
        let line = format!("{{\"message\":\"m\",\"@timestamp\":{written}}}");
        check(
            line.as_bytes(),
            &berlin,
            &[("TIME", read), ("MESSAGE", "m"), ("PROBLEMS", "")],
        );
    }
}

#[test]
fn report_absurd_future_and_missing_times() {
    let problems = [
        ("{\"time\":\"2300-01-01T00:00:00Z\"}", "time_absurd"),
        ("{\"time\":\"1969-12-31T23:59:59Z\"}", "time_absurd"),
        ("{\"time\":-5}", "time_absurd"),
        ("{\"time\":\"2026-03-02T00:05:01Z\"}", "time_in_future"),
        ("{\"time\":\"2026-03-02T00:05:00Z\"}", ""),
        ("{\"time\":\"soon\"}", "time_missing"),
        ("{\"time\":1", "unparsed time_missing"),
        ("<13>1 2261-12-31T23:59:59Z h a - - - m", "time_in_future"),
        ("<13>1 2262-01-01T00:00:00Z h a - - - m", "time_absurd"),
        ("<13>1 1999-12-31T23:59:59Z h a - - - m", "time_absurd"),
        ("<13>1 2000-01-01T00:00:00Z h a - - - m", ""),
    ];
    for (line, expected) in problems {
        check(
            line.as_bytes(),
            &context(Format::Auto),
            &[("PROBLEMS", expected)],
        );
    }
}

/// A time that is not credible gives way to that of receipt, and stays as a field.
#[test]
fn keep_the_stated_time_of_an_event_that_does_not_take_it() {
    let cases = [
        ("2026-03-02T00:05:01Z", "2026-03-02T00:05:01.000000000Z"),
        ("2106-02-07T06:28:15Z", "2106-02-07T06:28:15.000000000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
        // These are beyond what can be represented, or credible.
        ("2300-01-01T00:00:00Z", "-"),
        ("2026-03-02T00:05:00Z", "-"),
        ("2020-01-01T00:00:00Z", "-"),
    ];
    for (written, kept) in cases {
        let line = format!("<13>1 {written} h a - - - m");
        let event = decode(line.as_bytes(), &context(Format::Auto));
        assert_eq!(field_text(&event, "stated_time"), kept, "{line}");
        let is_taken = !matches!(written, "2026-03-02T00:05:00Z" | "2020-01-01T00:00:00Z");
        assert_eq!(event.time_mark().is_some(), is_taken, "{line}");
        assert_eq!(event.time.0 == RECEIVED.0, is_taken, "{line}");
    }
}

/// The order of names decides between several times in an object of an unknown kind.
#[test]
fn read_the_first_of_several_times_and_report_others_that_differ_by_more_than_a_day() {
    let cases = [
        (
            r#"{"time":"2020-01-01T00:00:00Z","timestamp":"2026-03-01T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "times_differ",
        ),
        (
            r#"{"timestamp":"2020-01-01T00:00:00Z","@timestamp":"2026-03-01T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "times_differ",
        ),
        (
            r#"{"ts":"2026-03-01T09:00:00Z","time":"2026-03-01T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "",
        ),
        (
            r#"{"@timestamp":"2026-03-01T10:00:00Z","timestamp":"2026-02-28T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "",
        ),
        // A duration, and a text, are no times.
        (
            r#"{"time":12,"timestamp":"2026-03-01T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "",
        ),
        (
            r#"{"@timestamp":"soon","time":"2026-03-01T10:00:00Z"}"#,
            "2026-03-01T10:00:00.000000000Z",
            "",
        ),
    ];
    for (line, time, problems) in cases {
        check(
            line.as_bytes(),
            &context(Format::Auto),
            &[("TIME", time), ("PROBLEMS", problems)],
        );
    }
}
