//! One Windows event in every form in which it is shipped: the same fields, by the same names.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, ReceiveTime, Span, Value};

/// 2026-03-02T00:00:00Z
const RECEIVED: ReceiveTime = ReceiveTime(1_772_409_600_000_000_000);

fn context() -> Context<'static> {
    Context {
        format: Format::Json,
        received: RECEIVED,
        // Windows writes UTC, wherever the source is.
        zone: Zone::parse("Europe/Berlin").unwrap(),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

fn data(test: &str, file: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    // Straight to standard error, since libtest hides what a test that passes prints.
    let absent = format!("SKIPPED: {test}: no {file} in the data folder (WEIR_DATA)\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), absent.as_bytes());
    None
}

fn lines(path: &PathBuf) -> Box<dyn Iterator<Item = String>> {
    let file = std::fs::File::open(path).unwrap();
    let input: Box<dyn BufRead> = if path.extension().is_some_and(|ending| ending == "zst") {
        Box::new(BufReader::new(
            zstd::stream::read::Decoder::new(file).unwrap(),
        ))
    } else {
        Box::new(BufReader::new(file))
    };
    Box::new(input.lines().map(Result::unwrap))
}

fn fields(event: &Event<'_>) -> HashMap<String, Json> {
    let json: Json = serde_json::from_str(&event_json(event)).unwrap();
    let fields = json["fields"].as_object().unwrap().clone();
    fields.into_iter().collect()
}

/// What is expected of every event from Windows.
fn check_frame(event: &Event<'_>, frame: &str) {
    assert_eq!(event.problems, [], "{frame}");
    assert_eq!(
        event.logsource.product.as_deref(),
        Some("windows"),
        "{frame}"
    );
    assert!(
        matches!(event.get("EventID"), Some(Value::Int(_))),
        "{frame}"
    );
    assert_eq!(event.get("host"), event.get("Computer"), "{frame}");
}

/// Recordings that are there both as shipped and in the flat form, and what the flat form of them
/// leaves out or keeps as the shipper wrote it.
#[test]
fn shipped_forms_are_the_flat_form() {
    let test = "shipped_forms_are_the_flat_form";
    let Some(flat) = data(test, "windows/otrf_atomic.jsonl.zst") else {
        return;
    };
    let sets = [
        ("nxlog_logstash", "collection/host/msf_record_mic", 400),
        (
            "winlogbeat6",
            "defense_evasion/host/empire_scm_dll_hijack_ikeext",
            400,
        ),
        (
            "otrf_powershell_export",
            "credential_access/host/psh_windows_vault_web_credentials",
            120,
        ),
    ];
    let mut recordings: HashMap<&str, HashMap<String, Json>> = HashMap::new();
    for line in lines(&flat) {
        let set = sets.iter().find(|(_, file, _)| {
            line.get(..200)
                .is_some_and(|start| start.contains(&format!("{file}\"")))
        });
        if let Some((set, _, _)) = set {
            let row: Json = serde_json::from_str(&line).unwrap();
            let recording = recordings.entry(set).or_default();
            recording.entry(place(&row, recording.len())).or_insert(row);
        }
    }
    for (set, _, count) in sets {
        let Some(path) = data(test, &format!("windows/raw_agent_forms/{set}.jsonl")) else {
            return;
        };
        let mut compared = 0;
        for (number, line) in lines(&path).enumerate() {
            let event = decode(line.as_bytes(), &context());
            check_frame(&event, &line);
            assert!(!event.message.is_empty(), "{line}");
            let own = fields(&event);
            let key = place(&json!(own), number);
            let row = &recordings[set][&key];
            for (name, value) in row.as_object().unwrap() {
                let got = own.get(name);
                let same = match name.as_str() {
                    "_file" | "_n" => true,
                    // The collector's, there; here too, under its own name.
                    "TimeCreated" if set == "nxlog_logstash" => own["@timestamp"] == *value,
                    "Keywords" => got == Some(&mask(value)),
                    _ => got == Some(value),
                };
                assert!(same, "{set} {name}: {got:?}, not {value}");
            }
            let time = row["TimeCreated"].as_str().unwrap();
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            assert_eq!(Some(event.time.0), time.timestamp_nanos_opt(), "{line}");
            compared += 1;
        }
        assert_eq!(compared, count, "{set}");
    }
}

/// What tells an event of a recording from the others: its record number, or else its place.
fn place(row: &Json, number: usize) -> String {
    match row.get("EventRecordID") {
        Some(id) => {
            let id = id.to_string();
            format!(
                "{} {} {}",
                row["Computer"],
                row["Channel"],
                id.trim_matches('"')
            )
        }
        None => number.to_string(),
    }
}

/// Keywords as the XML writes them.
fn mask(written: &Json) -> Json {
    match written {
        Json::Number(number) => json!(format!("{:#x}", number.as_i64().unwrap().cast_unsigned())),
        Json::Array(words) if words == &[json!("Audit Success")] => json!("0x8020000000000000"),
        Json::Array(words) if words == &[json!("Audit Failure")] => json!("0x8010000000000000"),
        written => written.clone(),
    }
}

/// The XML as readers of EVTX files write it in JSON, against the same events in the flat form.
#[test]
fn evtx_json_is_the_flat_form() {
    let test = "evtx_json_is_the_flat_form";
    let (Some(folder), Some(flat)) = (
        data(test, "windows/raw_evtx"),
        data(test, "sigma/regression/events.jsonl"),
    ) else {
        return;
    };
    let flat: Vec<Json> = lines(&flat)
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let frame = std::fs::read_to_string(&path).unwrap();
        let event = decode(frame.as_bytes(), &context());
        check_frame(&event, &frame);
        let mut own = fields(&event);
        let id = path.file_stem().unwrap().to_str().unwrap();
        let of_file = |row: &&Json| row["_file"].as_str().unwrap().contains(id);
        let row = flat.iter().find(of_file).unwrap().as_object().unwrap();
        for (name, value) in row {
            if name.starts_with('_') {
                continue;
            }
            let got = own.remove(name).unwrap_or_else(|| panic!("no {name}"));
            let same = match (name.as_str(), got.as_str(), value.as_str()) {
                // Read to the microsecond there, to a tenth of it here.
                ("TimeCreated", Some(got), Some(value)) => got[..26] == value[..26],
                // That reader wrote GUIDs in upper case, and took off spaces at the end.
                (_, Some(got), Some(value)) => got.eq_ignore_ascii_case(value.trim_end()),
                _ => got == *value,
            };
            assert!(same, "{id} {name}: {got}, not {value}");
        }
        own.remove("host");
        assert!(own.is_empty(), "{own:?}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

/// What is flat stays as it is, empty texts included, and gains its host.
#[test]
fn the_flat_form_stays() {
    let test = "the_flat_form_stays";
    for set in ["evtx_attack_samples", "evtx_to_mitre"] {
        let Some(path) = data(test, &format!("windows/{set}.jsonl.zst")) else {
            return;
        };
        for line in lines(&path) {
            let event = decode(line.as_bytes(), &context());
            check_frame(&event, &line);
            let mut row: Json = serde_json::from_str(&line).unwrap();
            row["host"] = row["Computer"].clone();
            assert_eq!(json!(fields(&event)), row);
        }
    }
}

/// A form, and the fields that must come of it; `time` is the event's.
fn check(frame: &Json, expected: &Json) {
    let frame = frame.to_string();
    let event = decode(frame.as_bytes(), &context());
    check_frame(&event, &frame);
    let json: Json = serde_json::from_str(&event_json(&event)).unwrap();
    for (name, value) in expected.as_object().unwrap() {
        let got = match name.as_str() {
            "time" | "message" => &json[name],
            name => &json["fields"][name],
        };
        assert_eq!(got, value, "{name} of {json}");
    }
}

#[test]
fn agents_and_tools_have_names_of_their_own() {
    let system = json!({
        "EventID": 4625, "Channel": "Security", "Computer": "dc1.example.org",
        "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "Keywords": "0x8010000000000000", "host": "dc1.example.org",
        "TargetUserName": "bob", "time": "2026-03-01T10:00:00.123400000Z",
    });
    let winlogbeat = json!({
        "@timestamp": "2026-03-01T10:00:00.1234Z", "message": "An account failed to log on.",
        "host": {"name": "dc1"}, "agent": {"type": "winlogbeat", "version": "8.11.0"},
        "event": {"code": "4625", "kind": "event"}, "log": {"level": "information"},
        "process": {"pid": 4242},
        "winlog": {
            "channel": "Security", "event_id": "4625", "computer_name": "dc1.example.org",
            "provider_name": "Microsoft-Windows-Security-Auditing", "record_id": 77,
            "process": {"pid": 780, "thread": {"id": 9}}, "keywords": ["Audit Failure"],
            "event_data": {"TargetUserName": "bob", "Version": "v", "Threat Name": "t"},
        },
    });
    let elastic = json!({
        "Level": 0, "EventRecordID": 77, "Execution_ProcessID": 780, "Execution_ThreadID": 9,
        "process.pid": 4242, "EventData_Version": "v", "ThreatName": "t", "host.name": "dc1",
        "message": "An account failed to log on.",
    });
    let powershell = json!({
        "Id": 4625, "Version": 0, "Qualifiers": null, "Level": 0, "Task": 12544, "Opcode": 0,
        "Keywords": -9_218_868_437_227_405_312_i64, "RecordId": 77,
        "ProviderName": "Microsoft-Windows-Security-Auditing",
        "ProviderId": "54849625-5478-4994-a5ba-3e3b0328c30d", "LogName": "Security",
        "ProcessId": 780, "ThreadId": 9, "MachineName": "dc1.example.org",
        "UserId": {"BinaryLength": 12, "Value": "S-1-5-18"},
        "TimeCreated": "/Date(1772359200123)/", "Message": "An account failed to log on.",
        "LevelDisplayName": "Information",
        "Properties": [{"Value": "S-1-0-0"}, {"Value": "bob"}, {"Value": 3}],
    });
    let properties = json!({
        "EventID": 4625, "Channel": "Security", "Computer": "dc1.example.org",
        "Keywords": "0x8010000000000000", "Data": ["S-1-0-0", "bob", 3],
        "Execution_ProcessID": 780, "Security_UserID": "S-1-5-18", "EventRecordID": 77,
        "message": "An account failed to log on.", "time": "2026-03-01T10:00:00.123000000Z",
    });
    let xml = json!({"Event": {
        "@xmlns": "http://schemas.microsoft.com/win/2004/08/events/event",
        "System": {
            "Provider": {"@Name": "Microsoft-Windows-Security-Auditing"},
            "EventID": {"@Qualifiers": "0", "#text": "4625"}, "Correlation": null,
            "Keywords": "0x8010000000000000", "Channel": "Security",
            "TimeCreated": {"@SystemTime": "2026-03-01T10:00:00.1234000Z"},
            "Computer": "dc1.example.org", "Security": {"@UserID": "S-1-5-18"},
        },
        "EventData": {"Data": [
            {"@Name": "TargetUserName", "#text": "bob"}, {"@Name": "Channel", "#text": "c"},
            {"@Name": "Empty"}, "x", "y",
        ]},
    }});
    let elements = json!({
        "EventData_Channel": "c", "Empty": "", "Data": ["x", "y"], "Qualifiers": "0",
        "Security_UserID": "S-1-5-18", "Correlation": null,
    });
    let nxlog = json!({
        "EventTime": "2026-03-01T12:00:00.123400+02:00", "Hostname": "dc1.example.org",
        "EventID": 4625, "SourceName": "Microsoft-Windows-Security-Auditing",
        "Channel": "Security", "Keywords": "-9218868437227405312", "RecordNumber": 77,
        "ExecutionProcessID": 780, "TargetUserName": "bob", "host": "relay.example.org",
        "@timestamp": "2026-03-01T10:00:07Z",
    });
    let relayed = json!({
        "relay_host": "relay.example.org", "EventRecordID": 77, "Execution_ProcessID": 780,
    });
    let fluent_bit = json!({
        "ProviderName": "Microsoft-Windows-Security-Auditing", "EventID": 4625,
        "TimeCreated": "2026-03-01 12:00:00 +0200", "Channel": "Security", "ProcessID": 780,
        "Computer": "dc1.example.org", "StringInserts": ["S-1-0-0", "bob"], "Message": "m",
    });
    let inserts = json!({
        "Data": ["S-1-0-0", "bob"], "Execution_ProcessID": 780, "message": "m",
        "time": "2026-03-01T10:00:00.000000000Z",
    });
    let classic = json!({
        "@timestamp": "2026-03-01T10:00:00Z", "winlog": {
            "channel": "Windows PowerShell", "event_id": 400, "computer_name": "pc",
            "provider_name": "PowerShell", "event_data": {"param1": "Available", "param2": "None"},
        },
    });
    let unnamed = json!({"param1": "Available", "Data": ["Available", "None"]});
    for (frame, expected) in [
        (&winlogbeat, &system),
        (&winlogbeat, &elastic),
        (&powershell, &properties),
        (&xml, &system),
        (&xml, &elements),
        (&nxlog, &system),
        (&nxlog, &relayed),
        (&fluent_bit, &inserts),
        (&classic, &unnamed),
    ] {
        check(frame, expected);
    }
}
