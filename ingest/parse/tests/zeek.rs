//! Zeek's logs as events: both forms of one event are the same, and what the field holds reads
//! without a problem.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use weir_parse::{Context, Zone, decode};
use weir_schema::{Event, Format, Problem, ReceiveTime, Span, Value, ZeekLog};

fn context() -> Context<'static> {
    Context {
        format: Format::Auto,
        // 2026-03-02T00:00:00Z
        received: ReceiveTime(1_772_409_600_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// The folder of network logs; where it is absent that is said, and there is nothing to test.
fn folder(test: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let folder = folder.join("network");
    if folder.is_dir() {
        return Some(folder);
    }
    // Straight to standard error, since libtest hides what a test that passes prints.
    let absent = format!("SKIPPED: {test}: no network logs in the data folder (WEIR_DATA)\n");
    let _ = std::io::stderr().write_all(absent.as_bytes());
    None
}

fn bytes(path: &Path) -> Vec<u8> {
    let read = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|end| end == "zst") {
        zstd::decode_all(&read[..]).unwrap()
    } else {
        read
    }
}

/// The frames that a file becomes.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut log = ZeekLog::default();
    let text = bytes(path);
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

fn shown(event: &Event<'_>) -> String {
    weir_parse::event_json(event)
}

#[test]
fn records_and_json_read_as_the_same_event() {
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
        let (record, json) = (decode(frame.as_bytes(), &context()), json.as_bytes());
        let json = decode(json, &context());
        assert_eq!(shown(&record), shown(&json));
        assert_eq!(record.time.0, 1_500_000_000);
        assert_eq!(record.problems, []);
    }
}

#[test]
fn records_that_do_not_fit_their_header_are_kept_with_a_problem() {
    let check = |frame: &str, problems: &[Problem], fields: &str| {
        let event = decode(frame.as_bytes(), &context());
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
    let short = [Problem::Unparsed];
    check("#fields\tts\ta\n1.0\tx", &[], "ts a");
    check("#separator \\x7c\n#fields|ts|a\n1.0|x", &[], "ts a");
    check("#fields\tts\ta\n1.0", &short, "ts");
    check("#fields\tts\ta\n1.0\tx\ty", &short, "ts a");
    check("#fields\tts\n-", &[Problem::TimeMissing], "");
    check("#fields\tts\ts\ts\n1.0\tx\ty", &[], "ts s");
    let none = [Problem::Unparsed, Problem::TimeMissing];
    check("#fields\tts", &none, "");
    check("#separator \n#fields\tts\n1.0", &none, "");
    let many = |n: usize| vec!["f"; n].join("\t");
    let wide = format!("#fields\t{}\n{}", many(3), "1\t2\t3");
    check(&wide, &[Problem::TimeMissing], "f");
    let long = format!(
        "#fields\tl\n#types\tset[count]\n{}",
        vec!["1"; 1_001].join(",")
    );
    let cut = decode(long.as_bytes(), &context());
    assert_eq!(cut.problems, [Problem::TimeMissing, Problem::TooManyFields]);
    assert!(matches!(cut.get("l"), Some(Value::List(values)) if values.len() == 1_000));
}

/// The logs that stand in both forms.
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
fn a_contest_reads_alike_from_its_records_and_its_json() {
    let Some(folder) = folder("a_contest_reads_alike_from_its_records_and_its_json") else {
        return;
    };
    let folder = folder.join("zeek_wrccdc2018");
    let mut compared = 0;
    for name in BOTH {
        let records = frames(&folder.join(format!("tsv/{name}.log.zst")));
        let json = frames(&folder.join(format!("json/{name}.json.zst")));
        assert_eq!(records.len(), json.len(), "{name}");
        for (record, json) in records.iter().zip(&json) {
            let (record, json) = (decode(record, &context()), decode(json, &context()));
            assert_eq!(record.logsource.product.as_deref(), Some("zeek"));
            assert_eq!(record.logsource.service.as_deref(), Some(name));
            assert_eq!(record.problems, []);
            let parts = |event: &Event<'_>| (event.time, event.logsource.clone(), shown(event));
            assert_eq!(parts(&record), parts(&json));
            compared += 1;
        }
    }
    assert_eq!(compared, 62_840);
}

/// Why a baseline of Zeek's own tests has a problem: its harness writes a heading on top and X for
/// the digits of times, and has sorted two of them, so that records come behind the log's end; some
/// logs have no time.
fn is_expected(frame: &[u8], event: &Event<'_>) -> bool {
    let heading = frame.starts_with(b"### ");
    let sorted = frame.starts_with(b"XXXXXXXXXX.XXXXXX\t");
    let no_time = match event.get("ts") {
        Some(Value::Text(text)) => text.starts_with("XXXXXXXXXX"),
        Some(_) => false,
        None => true,
    };
    heading || sorted || no_time && event.problems == [Problem::TimeMissing]
}

#[test]
fn logs_of_the_field_read_without_a_problem() {
    let Some(folder) = folder("logs_of_the_field_read_without_a_problem") else {
        return;
    };
    let mut read: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
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
                let event = decode(&frame, &context());
                let (events, odd) = read.entry(set).or_default();
                *events += 1;
                if event.problems.is_empty() {
                    assert_eq!(event.logsource.product.as_deref(), Some("zeek"), "{file:?}");
                    assert!(
                        event.logsource.service.is_some(),
                        "{file:?} {}",
                        shown(&event)
                    );
                } else {
                    *odd += 1;
                    // The scripts that Zeek has loaded have no time.
                    let timeless = event.logsource.service.as_deref() == Some("loaded_scripts");
                    assert!(
                        timeless || set == "zeek_baselines",
                        "{file:?} {}",
                        shown(&event)
                    );
                    assert!(is_expected(&frame, &event), "{file:?} {}", shown(&event));
                }
            }
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "events, and baselines without a time: {read:?}"
    );
    let expected = [
        ("ctu_sme11_remcos", (795, 0)),
        ("portscan", (91, 0)),
        ("rita_missing_host", (147_689, 0)),
        ("zeek_baselines", (2_218, 2_191)),
        ("zeek_mixed", (2_654, 0)),
        ("zeek_wrccdc2018/tsv", (158_439, 512)),
    ];
    assert_eq!(read, BTreeMap::from(expected));
}

#[test]
fn json_that_does_not_name_its_log_is_never_taken_for_another() {
    let Some(folder) = folder("json_that_does_not_name_its_log_is_never_taken_for_another") else {
        return;
    };
    let (mut named, mut all) = (0, 0);
    for set in ["zeek_wrccdc2018/tsv", "zeek_baselines"] {
        for file in files(&folder.join(set)) {
            for frame in frames(&file).iter().take(200) {
                let record = decode(frame, &context());
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
                let fields: serde_json::Value = serde_json::from_str(&shown(&nameless)).unwrap();
                let json = fields["fields"].to_string();
                let event = decode(json.as_bytes(), &context());
                all += 1;
                if let Some(found) = event.logsource.service.as_deref() {
                    // Filters of Zeek's tests give logs other names.
                    let family = path.split(['-', '.']).next().unwrap();
                    assert_eq!(found, family, "{file:?} {json}");
                    named += 1;
                }
            }
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "logs recognised by their fields: {named} of {all}"
    );
    assert!(named * 2 > all, "{named} of {all}");
}
