//! The laws of the story format: valid stories are read, invalid lines are refused with a message.

use weir_story::parse;

/// Steps of a story, from line 2 on, with the line and a part of the message of each expected error.
type Case = (&'static str, &'static [(usize, &'static str)]);

/// Parses a story with these `steps` and compares the errors.
fn check(steps: &str, expected: &[(usize, &str)]) {
    let text = format!("# A story\n{steps}\n");
    let errors = match parse(&text, "s.md") {
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    };
    let found: Vec<(usize, &str)> = errors
        .iter()
        .map(|e| (e.line, e.message.as_str()))
        .collect();
    let equal = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, wanted)| found.0 == wanted.0 && found.1.contains(wanted.1));
    assert!(equal, "{text}\nexpected {expected:?}\nfound    {found:?}");
}

const LINE: &str = "    ---- 09:10:00";

#[test]
fn valid_stories_are_read() {
    for steps in [
        "    ---- 09:00:00",
        "    horizon 1h\n    rule + aws/console gte=4 backfill=1h\n    ---- 09:00:00",
        "- a list\n- of narration, with rule + x in it\n\n    ---- 09:00:00",
        "    09:00:00 a k x=1 x 3 every 10s as l\n    ---- 09:10:00\n    + alert r x=1 low by l",
        "    09:00:00 a k\n    09:00:00 b k\n    ---- 09:00:00\n    ---- 09:00:00",
        "    23:59:59.9 a k\n    ---- D+1 00:00:00\n    23:59:59.8 a k late\n    ---- D+1 00:00:00",
        "    09:00:00 a raw <34>late as x by\n    09:00:01 a raw [as bad] \\x00\n    ---- 09:01:00\n\
         \u{20}   + problem unparsed source=a by bad",
        "    09:00:00 t@a k\n    ---- 09:01:00\n    stall t@a\n    ---- 09:02:00",
        "    09:00:00 a json [as path] {\"p\":\"C:\\\\x41\"}\n    ---- 09:01:00",
        "    09:00:00 a k\n    ---- 09:01:00\n    stall a\n    ---- 09:02:00\n    resume a\n\
         \u{20}   restart\n    09:02:00 a k\n    ---- 09:03:00\n    ? alerts\n    | one\n    | two",
        "    ! rule + broken\n    | no condition\n    ---- 09:00:00",
        "    09:00:00 a k\n    ---- 09:10:00\n    ~ alert r h=\"a b\" superseded\n    - alert r h=c\n\
         \u{20}   ~ alert r h=d high provisional",
        "    indicator + ip=1.2.3.4 feed=abuse\n    ---- 09:00:00\n    + alert r high by abuse",
    ] {
        check(steps, &[]);
    }
}

const INDENTATION: &[Case] = &[
    ("09:00:00 a k\n    ---- 09:10:00", &[(2, "four spaces")]),
    (
        "   ---- 09:10:00",
        &[(2, "four spaces"), (2, "ends with a line")],
    ),
    (
        "    ---- 09:10:00\n+ alert r x=1 low",
        &[(3, "four spaces")],
    ),
    ("    ---- 09:10:00\n  rule - x", &[(3, "four spaces")]),
    ("    ---- 09:10:00\n| a row", &[(3, "four spaces")]),
    ("    ---- 09:10:00\nrestart", &[(3, "four spaces")]),
    (
        "\t---- 09:10:00",
        &[(2, "by a tab"), (2, "ends with a line")],
    ),
    (
        "    wait 5s\n    ---- 09:10:00",
        &[(2, "unknown word `wait`")],
    ),
];

const EVENTS: &[Case] = &[
    (
        "    9:00:00 a k\n    ---- 09:10:00",
        &[(2, "unknown word `9:00:00`")],
    ),
    ("    09:60:00 a k\n    ---- 09:10:00", &[(2, "a time is")]),
    ("    09:00:00\n    ---- 09:10:00", &[(2, "source")]),
    (
        "    09:00:00 @a k\n    09:00:00 a@b@c k\n    ---- 09:10:00",
        &[(2, "tenant@source"), (3, "tenant@source")],
    ),
    ("    09:00:00 a\n    ---- 09:10:00", &[(2, "kind")]),
    (
        "    09:00:00 a k x=1 y\n    ---- 09:10:00",
        &[(2, "unknown word `y`")],
    ),
    (
        "    09:00:00 a k x=1 x=2\n    ---- 09:10:00",
        &[(2, "is given twice")],
    ),
    (
        "    09:00:00 a k time=1\n    ---- 09:10:00",
        &[(2, "is given twice")],
    ),
    (
        "    09:00:00 a k as l x=2\n    ---- 09:10:00",
        &[(2, "after the end of the fields")],
    ),
    (
        "    09:00:00 a k x=\"1\n    ---- 09:10:00",
        &[(2, "not closed")],
    ),
    (
        "    09:00:00 a k x 3\n    ---- 09:10:00",
        &[(2, "x N every DURATION")],
    ),
    (
        "    09:00:00 a k x 1 every 1s\n    ---- 09:10:00",
        &[(2, "2 or more")],
    ),
    (
        "    09:00:00 a k x 3 every 1w\n    ---- 09:10:00",
        &[(2, "not a duration")],
    ),
    (
        "    09:00:00 a k x 100001 every 1s\n    ---- 09:10:00",
        &[(2, "at most 100000")],
    ),
    (
        "    09:00:00 a raw\n    ---- 09:10:00",
        &[(2, "bytes of the frame")],
    ),
    (
        "    09:00:00 a json [as x] text\n    ---- 09:10:00",
        &[(2, "followed by an object")],
    ),
    (
        "    09:05:00 a k\n    09:04:59 a k\n    ---- 09:10:00",
        &[(3, "order of event time")],
    ),
    (
        "    09:00:00 a k late\n    ---- 09:10:00",
        &[(2, "not earlier than the last line")],
    ),
];

const LINES: &[Case] = &[
    ("    09:00:00 a k\n", &[(2, "ends with a line")]),
    ("", &[(1, "ends with a line")]),
    (
        "    ---- 09:10:00\n    ---- 09:09:59",
        &[(3, "must not be earlier")],
    ),
    (
        "    ---- 09:10",
        &[(2, "a line has a time"), (2, "ends with a line")],
    ),
    (
        "    ---- 09:10:00 x",
        &[(2, "nothing after"), (2, "ends with a line")],
    ),
    (
        "    + alert r x=1 low\n    ---- 09:10:00",
        &[(2, "under a line")],
    ),
    ("    ? alerts\n    ---- 09:10:00", &[(2, "under a line")]),
    ("    | row\n    ---- 09:10:00", &[(2, "a row follows")]),
    (
        "    stall a\n    ---- 09:10:00",
        &[(2, "no event comes from the source `a`")],
    ),
    ("    resume a\n    ---- 09:10:00", &[(2, "is not stalled")]),
];

const CHANGES: &[Case] = &[
    (
        "    rule x\n    ---- 09:10:00",
        &[(2, "a change is `+` or `-`")],
    ),
    ("    rule +\n    ---- 09:10:00", &[(2, "path of the rule")]),
    (
        "    rule + x disabled\n    ---- 09:10:00",
        &[(2, "unknown word `disabled`")],
    ),
    (
        "    rule - x gte=1\n    ---- 09:10:00",
        &[(2, "has no fields")],
    ),
    (
        "    09:00:00 a k\n    rule + x\n    ---- 09:10:00",
        &[(3, "before the events")],
    ),
    (
        "    rule + x\n    horizon 1h\n    ---- 09:10:00",
        &[(3, "before all other steps")],
    ),
];

#[test]
fn invalid_steps_are_refused_at_their_line() {
    for cases in [INDENTATION, EVENTS, LINES, CHANGES] {
        for (steps, expected) in cases {
            check(steps, expected);
        }
    }
}

#[test]
fn invalid_effects_and_late_events_are_refused() {
    for (steps, expected) in [
        ("    09:09:59 a k", &[(3, "write `late`")][..]),
        (
            "    09:10:00 a k late",
            &[(3, "not earlier than the last line")],
        ),
        (
            "    09:09:00 a k x 100 every 1s late",
            &[(3, "repeats start")],
        ),
        ("    + alert r x=1", &[(3, "needs its level")]),
        ("    - alert r x=1 low", &[(3, "only its key")]),
        ("    + alert r x=1 grave", &[(3, "unknown word `grave`")]),
        (
            "    + alarm r x=1 low",
            &[(3, "an effect is about an `alert`")],
        ),
        ("    + alert r low x=1", &[(3, "unknown word `x=1`")]),
        (
            "    + alert r low by ghost",
            &[(3, "no event has the label `ghost`")],
        ),
        ("    + alert r low by", &[(3, "followed by labels")]),
        ("    - problem unparsed source=a", &[(3, "only be raised")]),
        (
            "    09:10:00 a k as l\n    09:11:00 a k as l\n    ---- 09:12:00",
            &[(4, "on line 3")],
        ),
    ] {
        let story = if steps.contains(" k") && !steps.contains("----") {
            format!("{LINE}\n{steps}\n    ---- 09:20:00")
        } else {
            format!("{LINE}\n{steps}")
        };
        check(&story, expected);
    }
}
