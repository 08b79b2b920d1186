//! Zeek logs: records and JSON decode to the same event, and public logs decode without problems.

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use weir_parse::{decode, event_json};
use weir_schema::{Event, Format, Problem, Value, ZeekLog};

use common::{context, data, read, stated_time};

/// Returns the frames of a log file.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut log = ZeekLog::default();
    let text = read(path);
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let frame = |line: &[u8]| Some([log.prefix(line)?, line].concat());
    lines.filter_map(frame).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains(".log"));
    files.sort();
    files
}

#[test]
fn records_and_json_decode_to_the_same_event() {
    const HEADER: &str = "#path\tdns\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tquery\tAA\tanswers\tTTLs\trejected\ttill\t_write_ts\n\
        #types\ttime\tstring\taddr\tport\taddr\tport\tstring\tbool\tvector[string]\tvector[interval]\tbool\ttime\ttime\n";
    let table = [
        (
            "1.500000\tC1\t1.1.1.1\t1\t2.2.2.2\t2\ta.b\tT\tx\\x2cy,-,(empty)\t2230.000000,0.000870\tF\t-\t9.0",
            r#"{"_path":"dns","_write_ts":"2018-03-24T17:15:20.866586Z","ts":1.5,"uid":"C1","id.orig_h":"1.1.1.1","id.orig_p":1,"id.resp_h":"2.2.2.2","id.resp_p":2,"query":"a.b","AA":true,"answers":["x,y",null,""],"TTLs":[2230.0,0.0008699893951416016],"rejected":false}"#,
        ),
        (
            "1.500000\tC1\t1.1.1.1\t1\t2.2.2.2\t2\t(empty)\tF\t(empty)\t-\tF\t0.000000\t-",
            r#"{"_path":"dns","ts":"1970-01-01T00:00:01.500000Z","uid":"C1","id.orig_h":"1.1.1.1","id.orig_p":1,"id.resp_h":"2.2.2.2","id.resp_p":2,"query":"","AA":false,"answers":[],"rejected":false,"till":"1970-01-01T00:00:00.000000Z"}"#,
        ),
        (
            "1.500000\tC1\t1.1.1.1\t1\t2.2.2.2\t2\t\\\\\\\\h\\x09\\xff\\x2d\tF\t-\t-\tF\t-\t-",
            r#"{"_path":"dns","ts":1.5,"uid":"C1","id.orig_h":"1.1.1.1","id.orig_p":1,"id.resp_h":"2.2.2.2","id.resp_p":2,"query":"\\\\h\t\\xff-","AA":false,"rejected":false}"#,
        ),
    ];
    for (record, json) in table {
        let frame = format!("{HEADER}{record}");
        let (record, json) = (
            decode(frame.as_bytes(), &context(Format::Auto)),
            json.as_bytes(),
        );
        let json = decode(json, &context(Format::Auto));
        assert_eq!(event_json(&record), event_json(&json));
        // Seconds since the start of a recording are no credible time.
        assert_eq!(stated_time(&record).0, 1_500_000_000);
        assert_eq!(record.problems, [Problem::TimeAbsurd]);
    }
}

#[test]
fn report_records_that_do_not_match_their_header() {
    let check = |frame: &str, problems: &[Problem], fields: &str| {
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert_eq!(event.problems, problems, "{frame}");
        let names: Vec<_> = event.fields.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names.join(" "), fields, "{frame}");
        if problems.contains(&Problem::Unparsed) {
            assert!(
                event.message.ends_with(frame.lines().last().unwrap()),
                "{frame}"
            );
        }
    };
    let unparsed = [Problem::Unparsed];
    check("#fields\tts\ta\n1700000000.0\tx", &[], "ts a");
    check(
        "#separator \\x7c\n#fields|ts|a\n1700000000.0|x",
        &[],
        "ts a",
    );
    check("#fields\tts\ta\n1700000000.0", &unparsed, "ts");
    check("#fields\tts\ta\n1700000000.0\tx\ty", &unparsed, "ts a");
    check("#fields\tts\n-", &[Problem::TimeMissing], "");
    check("#fields\tts\ts\ts\n1700000000.0\tx\ty", &[], "ts s");
    let no_record = [Problem::Unparsed, Problem::TimeMissing];
    check("#fields\tts", &no_record, "");
    check("#separator \n#fields\tts\n1700000000.0", &no_record, "");
    let many = |n: usize| vec!["f"; n].join("\t");
    let wide = format!("#fields\t{}\n{}", many(3), "1\t2\t3");
    check(&wide, &[Problem::TimeMissing], "f");
    let long = format!(
        "#fields\tl\n#types\tset[count]\n{}",
        vec!["1"; 1_001].join(",")
    );
    let truncated = decode(long.as_bytes(), &context(Format::Auto));
    assert_eq!(
        truncated.problems,
        [Problem::TimeMissing, Problem::TooManyFields]
    );
    assert!(matches!(truncated.get("l"), Some(Value::List(values)) if values.len() == 1_000));
}

/// Logs that exist in both forms.
const BOTH: [&str; 12] = [
    "dns",
    "ftp",
    "kerberos",
    "notice",
    "ntlm",
    "rdp",
    "smb_files",
    "smb_mapping",
    "smtp",
    "software",
    "ssh",
    "syslog",
];

#[test]
fn records_and_json_of_a_recording_decode_to_the_same_events() {
    let test = "records_and_json_of_a_recording_decode_to_the_same_events";
    let Some(folder) = data(test, "network") else {
        return;
    };
    let folder = folder.join("zeek_wrccdc2018");
    let mut compared = 0;
    for name in BOTH {
        let records = frames(&folder.join(format!("tsv/{name}.log.zst")));
        let json = frames(&folder.join(format!("json/{name}.json.zst")));
        assert_eq!(records.len(), json.len(), "{name}");
        for (record, json) in records.iter().zip(&json) {
            let (record, json) = (
                decode(record, &context(Format::Auto)),
                decode(json, &context(Format::Auto)),
            );
            assert_eq!(record.logsource.product.as_deref(), Some("zeek"));
            assert_eq!(record.logsource.service.as_deref(), Some(name));
            assert_eq!(record.problems, []);
            let parts =
                |event: &Event<'_>| (event.time, event.logsource.clone(), event_json(event));
            assert_eq!(parts(&record), parts(&json));
            compared += 1;
        }
    }
    assert_eq!(compared, 62_840);
}

/// Returns whether a frame of Zeek's own test baselines must have a problem. Their harness adds a
/// heading and replaces the digits of times with X. It has sorted two of the logs, so their records
/// follow the end of the log. Some logs have no time.
fn is_expected(frame: &[u8], event: &Event<'_>) -> bool {
    let is_heading = frame.starts_with(b"### ");
    let is_sorted = frame.starts_with(b"XXXXXXXXXX.XXXXXX\t");
    let has_no_time = match event.get("ts") {
        Some(Value::Text(text)) => text.starts_with("XXXXXXXXXX"),
        Some(_) => false,
        None => true,
    };
    is_heading || is_sorted || has_no_time && event.problems == [Problem::TimeMissing]
}

#[test]
fn decode_public_logs_without_problems() {
    let Some(folder) = data("decode_public_logs_without_problems", "network") else {
        return;
    };
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let sets = [
        "zeek_wrccdc2018/tsv",
        "zeek_mixed",
        "portscan",
        "rita_missing_host",
        "ctu_sme11_remcos",
        "zeek_baselines",
    ];
    for set in sets {
        for file in files(&folder.join(set)) {
            for frame in frames(&file) {
                let event = decode(&frame, &context(Format::Auto));
                let (events, with_problems) = counts.entry(set).or_default();
                *events += 1;
                // Some recordings count from their start, or from before 2000.
                if event.problems.is_empty() || event.stated.is_some() {
                    assert_eq!(event.logsource.product.as_deref(), Some("zeek"), "{file:?}");
                    assert!(
                        event.logsource.service.is_some(),
                        "{file:?} {}",
                        event_json(&event)
                    );
                } else {
                    *with_problems += 1;
                    // The log of the loaded scripts has no time.
                    let has_no_time = event.logsource.service.as_deref() == Some("loaded_scripts");
                    assert!(
                        has_no_time || set == "zeek_baselines",
                        "{file:?} {}",
                        event_json(&event)
                    );
                    assert!(
                        is_expected(&frame, &event),
                        "{file:?} {}",
                        event_json(&event)
                    );
                }
            }
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "events, and events with problems: {counts:?}"
    );
    let expected = [
        ("ctu_sme11_remcos", (795, 0)),
        ("portscan", (91, 0)),
        ("rita_missing_host", (147_689, 0)),
        ("zeek_baselines", (2_218, 2_191)),
        ("zeek_mixed", (2_654, 0)),
        ("zeek_wrccdc2018/tsv", (158_439, 512)),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

#[test]
fn json_without_a_log_name_is_not_mistaken_for_another_log() {
    let test = "json_without_a_log_name_is_not_mistaken_for_another_log";
    let Some(folder) = data(test, "network") else {
        return;
    };
    let (mut recognized, mut all) = (0, 0);
    for set in ["zeek_wrccdc2018/tsv", "zeek_baselines"] {
        for file in files(&folder.join(set)) {
            for frame in frames(&file).iter().take(200) {
                let record = decode(frame, &context(Format::Auto));
                let Some(path) = record.logsource.service.as_deref() else {
                    continue;
                };
                let mut nameless = record.clone();
                nameless.fields.retain(|(name, _)| name != "_path");
                for (name, value) in &mut nameless.fields {
                    if name == "ts" {
                        *value = Value::Number(Cow::Borrowed("1.5"));
                    }
                }
                let fields: serde_json::Value =
                    serde_json::from_str(&event_json(&nameless)).unwrap();
                let json = fields["fields"].to_string();
                let event = decode(json.as_bytes(), &context(Format::Auto));
                all += 1;
                if let Some(found) = event.logsource.service.as_deref() {
                    // Filters in Zeek's tests add a suffix to the names of logs.
                    let family = path.split(['-', '.']).next().unwrap();
                    assert_eq!(found, family, "{file:?} {json}");
                    recognized += 1;
                }
            }
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "logs recognized by their fields: {recognized} of {all}"
    );
    assert!(recognized * 2 > all, "{recognized} of {all}");
}
