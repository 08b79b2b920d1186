//! Headers whose time cannot be read: host, program and message are read all the same.

mod common;

use weir_parse::decode;
use weir_schema::{Format, Problem};

use common::{check, context, text};

const MESSAGE: &str = "Failed password for root from 192.0.2.9 port 1 ssh2";

/// Asserts what the lines of this test have in common.
fn assert_header(line: &str) {
    let expected = [
        ("host", "web1"),
        ("program", "sshd"),
        ("pid", "7"),
        ("src_ip", "192.0.2.9"),
        ("user", "root"),
        ("facility", "auth"),
        ("MESSAGE", MESSAGE),
    ];
    check(line.as_bytes(), &context(Format::Auto), &expected);
}

fn assert_time(line: &str, time: &str) {
    assert_header(line);
    let expected = [("TIME", time), ("PROBLEMS", "")];
    check(line.as_bytes(), &context(Format::Auto), &expected);
}

fn assert_no_time(line: &str) {
    assert_header(line);
    let problems = [("PROBLEMS", "unparsed time_missing")];
    check(line.as_bytes(), &context(Format::Auto), &problems);
}

#[test]
fn a_header_of_rfc_5424_is_read_without_its_time() {
    for time in [
        "2026-02-29T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-12-1T10:00:00Z",
        "2026-02-01T10:00:00+24:00",
        "2026-02-01T10:00:00+99:99",
        "0000-00-00T00:00:00Z",
        "12026-02-01T10:00:00Z",
        "-2026-02-01T10:00:00Z",
        "2026-02-01T10:00:61Z",
        "2026-02-01T24:00:01Z",
        "2026-02-01T10:00Z",
        "NaN",
        "undefined",
        "99999999999999999999",
        "17",
    ] {
        assert_no_time(&format!("<38>1 {time} web1 sshd 7 - - {MESSAGE}"));
        assert_no_time(&format!(
            "<38>1 {time} web1 sshd 7 ID4 [a b=\"c\"] {MESSAGE}"
        ));
    }
    // A date says that it is a header, also of one without data.
    assert_no_time(&format!(
        "<38>1 2026-02-30T10:00:00Z web1 sshd 7 - {MESSAGE}"
    ));
}

#[test]
fn times_at_the_edge_of_the_calendar_are_read() {
    for (time, expected) in [
        ("2026-02-28T23:59:60Z", "2026-03-01T00:00:00.000000000Z"),
        (
            "2026-02-28T23:59:60.5+01:00",
            "2026-02-28T23:00:00.500000000Z",
        ),
        ("2026-02-28T24:00:00Z", "2026-03-01T00:00:00.000000000Z"),
        ("1772359200", "2026-03-01T10:00:00.000000000Z"),
        ("1772359200.25", "2026-03-01T10:00:00.250000000Z"),
        ("1772359200250", "2026-03-01T10:00:00.250000000Z"),
    ] {
        assert_time(&format!("<38>1 {time} web1 sshd 7 - - {MESSAGE}"), expected);
    }
    for (time, expected) in [
        ("Mar  1 09:59:60", "2026-03-01T10:00:00.000000000Z"),
        ("Feb 28 24:00:00", "2026-03-01T00:00:00.000000000Z"),
    ] {
        assert_time(&format!("<38>{time} web1 sshd[7]: {MESSAGE}"), expected);
    }
}

#[test]
fn months_are_read_in_several_languages() {
    for (names, month) in [
        ("gen janv. ene Jän", "2026-01"),
        ("févr. fév f\u{fffd}vr. fev febr.", "2026-02"),
        ("Mär März M\u{fffd}r mars mrt", "2026-03"),
        ("avr. abr", "2025-04"),
        ("Mai mag mei", "2025-05"),
        ("juin giu", "2025-06"),
        ("juil. lug", "2025-07"),
        ("août ago", "2025-08"),
        ("sept. set", "2025-09"),
        ("Okt ott out", "2025-10"),
        ("nov. NOV.", "2025-11"),
        ("Dez déc. d\u{fffd}c dic", "2025-12"),
    ] {
        for name in names.split(' ') {
            let line = format!("<38>{name}  1 10:00:00 web1 sshd[7]: {MESSAGE}");
            assert_time(&line, &format!("{month}-01T10:00:00.000000000Z"));
        }
    }
    let line = format!("Dez  1 10:00:00 web1 sshd[7]: {MESSAGE}");
    let expected = [("host", "web1"), ("user", "root"), ("PROBLEMS", "")];
    check(line.as_bytes(), &context(Format::Auto), &expected);
}

#[test]
fn a_header_of_rfc_3164_is_read_without_its_time() {
    for time in [
        "Feb 30 10:00:00",
        "Dec ?? 10:00:00",
        "Dec 99 10:00:00",
        "Dec  1 ??:??:??",
        "Dec  1 25:00:00",
        "gru  1 10:00:00",
        "2026-02-30T10:00:00Z",
        "2026-02-30T10:00:00.5+01:00",
    ] {
        assert_no_time(&format!("<38>{time} web1 sshd[7]: {MESSAGE}"));
    }
    for time in ["Feb 30 10:00:00", "Dec ?? 10:00:00", "2026-02-30T10:00:00Z"] {
        let line = format!("{time} web1 sshd[7]: {MESSAGE}");
        let expected = [("host", "web1"), ("program", "sshd"), ("user", "root")];
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}

#[test]
fn a_bad_priority_hides_no_header() {
    for header in [
        "Mar  1 10:00:00 web1 sshd[7]:",
        "1 2026-03-01T10:00:00Z web1 sshd 7 - -",
    ] {
        for start in [" <38>", "\u{feff}<38>", "\u{feff} <38>", " \u{feff}<38>"] {
            assert_header(&format!("{start}{header} {MESSAGE}"));
        }
        for start in ["<999>", "<192>", "<00038>"] {
            let line = format!("{start}{header} {MESSAGE}");
            let expected = [
                ("host", "web1"),
                ("program", "sshd"),
                ("user", "root"),
                ("PROBLEMS", "unparsed"),
                ("MESSAGE", MESSAGE),
            ];
            check(line.as_bytes(), &context(Format::Auto), &expected);
        }
    }
    let line = "<999>no header at all";
    check(
        line.as_bytes(),
        &context(Format::Auto),
        &[("MESSAGE", line), ("host", "")],
    );
}

/// Ordinary sentences begin as headers do, and name no host and no program.
#[test]
fn sentences_are_no_headers() {
    for line in [
        "Set 1 of the rules: loaded",
        "set 12 values at 10:00:00 on web1",
        "May 3 users log in: yes",
        "Mar the wall: never",
        "out 5 10 error: none",
        "Job 12 10:00:00 web1 sshd[7]: done",
        "ago 12 sshd[7]: done",
        "Mai Linh: hello",
        "Run 1 10:00 web1: done",
        "NaN web1 sshd 7 - - text",
        "1 of two disks failed - check",
        "1 NaN web1 sshd 7 - - text",
        "1 2 3 4 5 - - text",
        "<13>1 of two disks has failed - check it",
        "<13>1 new message in the box: read it",
        "<13>1 user has 2 new - [x] open",
        "<13>Job 12 10:00:00 finished well",
        "<13>the  1 thing that matters",
        "<13>Run 1 10:00 web1: done",
    ] {
        let event = decode(line.as_bytes(), &context(Format::Auto));
        for name in ["host", "relay_host", "pid"] {
            assert_eq!(text(&event, name), None, "{name} of {line}");
        }
        assert!(event.problems.contains(&Problem::TimeMissing), "{line}");
    }
}
