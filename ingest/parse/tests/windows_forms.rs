//! Windows events in every form in which they are shipped: all decode to the same fields.

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value as Json, json};
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, Value};

use common::data;

/// Decodes JSON with a zone other than UTC, which must not matter: Windows writes UTC.
fn context() -> Context<'static> {
    Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..common::context(Format::Json)
    }
}

/// Returns the lines of a file one by one, since some files are large.
fn lines(path: &Path) -> Box<dyn Iterator<Item = String>> {
    let file = std::fs::File::open(path).unwrap();
    let input: Box<dyn BufRead> = if path.extension().is_some_and(|extension| extension == "zst") {
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

/// Checks what holds for every Windows event.
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

/// Recordings that exist in a shipped and in the flat form: form, name, and number of events.
const RECORDINGS: [(&str, &str, usize); 3] = [
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

/// Reads the events of [`RECORDINGS`] in the flat form, by form and [`event_key`].
fn flat_recordings(path: &Path) -> HashMap<&'static str, HashMap<String, Json>> {
    let mut recordings: HashMap<&str, HashMap<String, Json>> = HashMap::new();
    for line in lines(path) {
        let recording = RECORDINGS.iter().find(|(_, name, _)| {
            line.get(..200)
                .is_some_and(|start| start.contains(&format!("{name}\"")))
        });
        if let Some((form, _, _)) = recording {
            let row: Json = serde_json::from_str(&line).unwrap();
            let events = recordings.entry(form).or_default();
            events.entry(event_key(&row, events.len())).or_insert(row);
        }
    }
    recordings
}

#[test]
fn shipped_forms_decode_to_the_flat_form() {
    let test = "shipped_forms_decode_to_the_flat_form";
    let Some(flat) = data(test, "windows/otrf_atomic.jsonl.zst") else {
        return;
    };
    let recordings = flat_recordings(&flat);
    for (form, _, count) in RECORDINGS {
        let Some(path) = data(test, &format!("windows/raw_agent_forms/{form}.jsonl")) else {
            return;
        };
        let mut compared = 0;
        for (number, line) in lines(&path).enumerate() {
            let event = decode(line.as_bytes(), &context());
            check_frame(&event, &line);
            assert!(!event.message.is_empty(), "{line}");
            let decoded = fields(&event);
            let key = event_key(&json!(decoded), number);
            let row = &recordings[form][&key];
            for (name, value) in row.as_object().unwrap() {
                let got = decoded.get(name);
                let is_same = match name.as_str() {
                    "_file" | "_n" => true,
                    // The flat recording has the collector's time here.
                    "TimeCreated" if form == "nxlog_logstash" => decoded["@timestamp"] == *value,
                    "Keywords" => got == Some(&keyword_mask(value)),
                    _ => got == Some(value),
                };
                assert!(is_same, "{form} {name}: {got:?}, not {value}");
            }
            let time = row["TimeCreated"].as_str().unwrap();
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            assert_eq!(Some(event.time.0), time.timestamp_nanos_opt(), "{line}");
            compared += 1;
        }
        assert_eq!(compared, count, "{form}");
    }
}

/// Returns the key of an event within its recording: the record id, else the position.
fn event_key(row: &Json, number: usize) -> String {
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

/// Returns keywords as the XML writes them.
fn keyword_mask(written: &Json) -> Json {
    match written {
        Json::Number(number) => json!(format!("{:#x}", number.as_i64().unwrap().cast_unsigned())),
        Json::Array(words) if words == &[json!("Audit Success")] => json!("0x8020000000000000"),
        Json::Array(words) if words == &[json!("Audit Failure")] => json!("0x8010000000000000"),
        written => written.clone(),
    }
}

/// Compares the JSON of EVTX readers with the same events in the flat form.
#[test]
fn evtx_json_decodes_to_the_flat_form() {
    let test = "evtx_json_decodes_to_the_flat_form";
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
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let frame = std::fs::read_to_string(&path).unwrap();
        let event = decode(frame.as_bytes(), &context());
        check_frame(&event, &frame);
        let mut decoded = fields(&event);
        let id = path.file_stem().unwrap().to_str().unwrap();
        let is_of_file = |row: &&Json| row["_file"].as_str().unwrap().contains(id);
        let row = flat.iter().find(is_of_file).unwrap().as_object().unwrap();
        for (name, value) in row {
            if name.starts_with('_') {
                continue;
            }
            let got = decoded.remove(name).unwrap_or_else(|| panic!("no {name}"));
            let is_same = match (name.as_str(), got.as_str(), value.as_str()) {
                // The flat form has microseconds, the JSON tenths of them.
                ("TimeCreated", Some(got), Some(value)) => got[..26] == value[..26],
                // The reader of the flat form writes GUIDs in upper case and trims trailing spaces.
                (_, Some(got), Some(value)) => got.eq_ignore_ascii_case(value.trim_end()),
                _ => got == *value,
            };
            assert!(is_same, "{id} {name}: {got}, not {value}");
        }
        decoded.remove("host");
        assert!(decoded.is_empty(), "{decoded:?}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

/// A flat event stays unchanged, empty texts included, and gets the field `host`.
#[test]
fn flat_form_stays_unchanged() {
    let test = "flat_form_stays_unchanged";
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

/// Checks fields of the event of a frame; `time` and `message` are those of the event itself.
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

/// Fields that all forms of the failed logon share.
fn system_fields() -> Json {
    json!({
        "EventID": 4625, "Channel": "Security", "Computer": "dc1.example.org",
        "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "Keywords": "0x8010000000000000", "host": "dc1.example.org",
        "TargetUserName": "bob", "time": "2026-03-01T10:00:00.123400000Z",
    })
}

/// The logon as Winlogbeat 8 ships it.
fn winlogbeat() -> Json {
    json!({
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
    })
}

/// The logon as `Get-WinEvent | ConvertTo-Json` exports it.
fn powershell() -> Json {
    json!({
        "Id": 4625, "Version": 0, "Qualifiers": null, "Level": 0, "Task": 12544, "Opcode": 0,
        "Keywords": -9_218_868_437_227_405_312_i64, "RecordId": 77,
        "ProviderName": "Microsoft-Windows-Security-Auditing",
        "ProviderId": "54849625-5478-4994-a5ba-3e3b0328c30d", "LogName": "Security",
        "ProcessId": 780, "ThreadId": 9, "MachineName": "dc1.example.org",
        "UserId": {"BinaryLength": 12, "Value": "S-1-5-18"},
        "TimeCreated": "/Date(1772359200123)/", "Message": "An account failed to log on.",
        "LevelDisplayName": "Information",
        "Properties": [{"Value": "S-1-0-0"}, {"Value": "bob"}, {"Value": 3}],
    })
}

/// The logon as an EVTX reader writes its XML in JSON.
fn evtx_xml() -> Json {
    json!({"Event": {
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
    }})
}

/// The logon as NXLog ships it through a relay.
fn nxlog() -> Json {
    json!({
        "EventTime": "2026-03-01T12:00:00.123400+02:00", "Hostname": "dc1.example.org",
        "EventID": 4625, "SourceName": "Microsoft-Windows-Security-Auditing",
        "Channel": "Security", "Keywords": "-9218868437227405312", "RecordNumber": 77,
        "ExecutionProcessID": 780, "TargetUserName": "bob", "host": "relay.example.org",
        "@timestamp": "2026-03-01T10:00:07Z",
    })
}

/// The logon as Fluent Bit ships it.
fn fluent_bit() -> Json {
    json!({
        "ProviderName": "Microsoft-Windows-Security-Auditing", "EventID": 4625,
        "TimeCreated": "2026-03-01 12:00:00 +0200", "Channel": "Security", "ProcessID": 780,
        "Computer": "dc1.example.org", "StringInserts": ["S-1-0-0", "bob"], "Message": "m",
    })
}

#[test]
fn decode_winlogbeat() {
    check(&winlogbeat(), &system_fields());
    let expected = json!({
        "Level": 0, "EventRecordID": 77, "Execution_ProcessID": 780, "Execution_ThreadID": 9,
        "process.pid": 4242, "EventData_Version": "v", "ThreatName": "t", "host.name": "dc1",
        "message": "An account failed to log on.",
    });
    check(&winlogbeat(), &expected);
}

#[test]
fn decode_parameters_of_winlogbeat() {
    let frame = json!({
        "@timestamp": "2026-03-01T10:00:00Z", "winlog": {
            "channel": "Windows PowerShell", "event_id": 400, "computer_name": "pc",
            "provider_name": "PowerShell", "event_data": {"param1": "Available", "param2": "None"},
        },
    });
    let expected = json!({"param1": "Available", "Data": ["Available", "None"]});
    check(&frame, &expected);
}

#[test]
fn decode_powershell() {
    let expected = json!({
        "EventID": 4625, "Channel": "Security", "Computer": "dc1.example.org",
        "Keywords": "0x8010000000000000", "Data": ["S-1-0-0", "bob", 3],
        "Execution_ProcessID": 780, "Security_UserID": "S-1-5-18", "EventRecordID": 77,
        "message": "An account failed to log on.", "time": "2026-03-01T10:00:00.123000000Z",
    });
    check(&powershell(), &expected);
}

#[test]
fn decode_evtx_xml() {
    check(&evtx_xml(), &system_fields());
    let expected = json!({
        "EventData_Channel": "c", "Empty": "", "Data": ["x", "y"], "Qualifiers": "0",
        "Security_UserID": "S-1-5-18", "Correlation": null,
    });
    check(&evtx_xml(), &expected);
}

#[test]
fn decode_nxlog() {
    check(&nxlog(), &system_fields());
    let expected = json!({
        "relay_host": "relay.example.org", "EventRecordID": 77, "Execution_ProcessID": 780,
    });
    check(&nxlog(), &expected);
}

#[test]
fn decode_fluent_bit() {
    let expected = json!({
        "Data": ["S-1-0-0", "bob"], "Execution_ProcessID": 780, "message": "m",
        "time": "2026-03-01T10:00:00.000000000Z",
    });
    check(&fluent_bit(), &expected);
}
