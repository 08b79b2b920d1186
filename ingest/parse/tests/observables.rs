//! OCSF classes and observables: of events of each source, of public events, and of random ones.

mod common;

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_parse::{OBSERVABLES_MAX, decode, event_json, observables, ocsf_class};
use weir_schema::{Event, EventTime, Format, LogSource, Value};

use common::{context, lines};

/// Renders each observable as `kind role value`. The kind of a hash is its algorithm.
fn rendered_observables(event: &Event<'_>) -> Vec<String> {
    let found = observables(event);
    let lines = found.iter().map(|observable| {
        let kind = observable.algorithm.unwrap_or(observable.kind.name());
        format!("{kind} {} {}", observable.role.name(), observable.value)
    });
    lines.collect()
}

/// Frames, the class, and all observables in order.
const CASES: [(&str, u32, &[&str]); 22] = [
    (
        r#"{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"Microsoft-Windows-Sysmon","Computer":"PC1","Image":"C:\\Windows\\System32\\cmd.exe","User":"CORP\\ann","Hashes":"SHA1=0000000000000000000000000000000000000000,MD5=5746BD7E255DD6A8AFA06F7C42C1BA41,SHA256=DB06C3534964E3FC79D2763144BA53742D7FA250CA336F4A0FE724B75AAFF386,IMPHASH=272245E2988E1E430500B852C4FB5E18","ParentImage":"C:\\Windows\\explorer.exe"}"#,
        1007,
        &[
            r"host device PC1",
            r"process target C:\Windows\System32\cmd.exe",
            r"user actor CORP\ann",
            "md5 target 5746BD7E255DD6A8AFA06F7C42C1BA41",
            "sha256 target DB06C3534964E3FC79D2763144BA53742D7FA250CA336F4A0FE724B75AAFF386",
            "imphash target 272245E2988E1E430500B852C4FB5E18",
            r"process parent C:\Windows\explorer.exe",
        ],
    ),
    (
        r#"{"EventID":3,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"x","Computer":"PC1","Image":"C:\\a.exe","SourceIp":"192.0.2.7","SourceHostname":"PC1","SourcePort":5000,"DestinationIp":"::ffff:198.51.100.1","DestinationHostname":"-","DestinationPort":443}"#,
        4001,
        &[
            "host device PC1",
            r"process actor C:\a.exe",
            "ip source 192.0.2.7",
            "host source PC1",
            "port source 5000",
            "ip target 198.51.100.1",
            "port target 443",
        ],
    ),
    (
        r#"{"EventID":22,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"x","QueryName":"www.example.org","QueryResults":"type:  5 edge.example.org;::ffff:192.0.2.1;"}"#,
        4003,
        &[
            "domain target www.example.org",
            "domain target edge.example.org",
            "ip target 192.0.2.1",
        ],
    ),
    (
        r#"{"EventID":13,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"x","EventType":"SetValue","TargetObject":"HKLM\\Software\\Run\\x","Image":"C:\\a.exe"}"#,
        201_002,
        &[
            r"registry_key target HKLM\Software\Run\x",
            r"process actor C:\a.exe",
        ],
    ),
    (
        r#"{"EventID":4624,"Channel":"security","Provider_Name":"x","Computer":"DC1","SubjectUserName":"-","TargetUserName":"ann","WorkstationName":"PC1","ProcessName":"-","IpAddress":"192.0.2.7","IpPort":"0"}"#,
        3002,
        &[
            "host device DC1",
            "user target ann",
            "host source PC1",
            "ip source 192.0.2.7",
        ],
    ),
    (
        r#"{"EventID":4688,"Channel":"Security","Provider_Name":"x","SubjectUserName":"ann","NewProcessName":"C:\\w.exe","ParentProcessName":"C:\\p.exe"}"#,
        1007,
        &[
            "user actor ann",
            r"process target C:\w.exe",
            r"process parent C:\p.exe",
        ],
    ),
    (
        r#"{"EventID":4720,"Channel":"Security","Provider_Name":"x","TargetUserName":"new","SubjectUserName":"ann","SamAccountName":"new"}"#,
        3001,
        &["user target new", "user actor ann"],
    ),
    (
        r#"{"EventID":4663,"Channel":"Security","Provider_Name":"x","SubjectUserName":"ann","ObjectType":"Key","ObjectName":"\\REGISTRY\\MACHINE\\SAM","ProcessName":"C:\\r.exe"}"#,
        201_001,
        &[
            "user actor ann",
            r"registry_key target \REGISTRY\MACHINE\SAM",
            r"process actor C:\r.exe",
        ],
    ),
    (
        r#"{"EventID":7045,"Channel":"System","Provider_Name":"x","ServiceName":"s","ImagePath":"C:\\s.exe","AccountName":"LocalSystem"}"#,
        201_004,
        &[r"file target C:\s.exe", "user target LocalSystem"],
    ),
    (
        r#"{"EventID":7,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"x","Image":"C:\\a.exe","ImageLoaded":"C:\\b.dll","Hashes":"MD5=5746BD7E255DD6A8AFA06F7C42C1BA41"}"#,
        1005,
        &[
            r"process actor C:\a.exe",
            r"file target C:\b.dll",
            "md5 target 5746BD7E255DD6A8AFA06F7C42C1BA41",
        ],
    ),
    (
        r#"{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventTime":"2026-03-01T10:00:00Z","sourceIPAddress":"192.0.2.7","userAgent":"aws-cli/2","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/ann","userName":"ann"},"requestParameters":{"bucketName":"b","key":"k"}}"#,
        6003,
        &[
            "ip source 192.0.2.7",
            "user_agent source aws-cli/2",
            "user actor arn:aws:iam::1:user/ann",
            "user actor ann",
            "resource target b",
            "file target k",
        ],
    ),
    (
        r#"{"eventVersion":"1.08","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","eventTime":"2026-03-01T10:00:00Z","sourceIPAddress":"cloudformation.amazonaws.com"}"#,
        3002,
        &["domain source cloudformation.amazonaws.com"],
    ),
    (
        r#"{"_path":"http","ts":1772359200.0,"uid":"C1","id.orig_h":"192.0.2.7","id.orig_p":5000,"id.resp_h":"198.51.100.1","id.resp_p":80,"host":"www.example.org","uri":"/a?b","user_agent":"curl/8"}"#,
        4002,
        &[
            "ip source 192.0.2.7",
            "port source 5000",
            "ip target 198.51.100.1",
            "port target 80",
            "domain target www.example.org",
            "user_agent source curl/8",
            "url target http://www.example.org/a?b",
        ],
    ),
    (
        r#"{"_path":"dns","ts":1772359200.0,"uid":"C1","id.orig_h":"192.0.2.7","id.orig_p":5000,"id.resp_h":"198.51.100.1","id.resp_p":53,"query":"www.example.org","answers":["edge.example.org","192.0.2.1"]}"#,
        4003,
        &[
            "ip source 192.0.2.7",
            "port source 5000",
            "ip target 198.51.100.1",
            "port target 53",
            "domain target www.example.org",
            "domain target edge.example.org",
            "ip target 192.0.2.1",
        ],
    ),
    (
        "<38>Mar  1 10:00:00 web1 sshd[7]: Failed password for invalid user x from ::ffff:192.0.2.7 port 5000 ssh2",
        3002,
        &[
            "host device web1",
            "user actor x",
            "ip source 192.0.2.7",
            "port source 5000",
        ],
    ),
    (
        "Mar  1 10:00:00 h sudo:  ann : TTY=pts/4 ; PWD=/ ; USER=root ; COMMAND=/bin/cat /etc/shadow",
        1007,
        &[
            "host device h",
            "user actor ann",
            "user target root",
            "process target /bin/cat",
        ],
    ),
    (
        "192.0.2.7 - ann [01/Mar/2026:10:00:00 +0000] \"GET /x HTTP/1.1\" 200 5 \"https://www.example.org/\" \"curl/8\"",
        4002,
        &[
            "ip source 192.0.2.7",
            "user actor ann",
            "url source https://www.example.org/",
            "user_agent source curl/8",
        ],
    ),
    (
        "Mar  1 10:00:00 m postfix/smtpd[5]: NOQUEUE: reject: RCPT from a.example[192.0.2.7]: 554 5.7.1 no; from=<a@b.example> to=<b@c.example> proto=ESMTP helo=<x>",
        4009,
        &[
            "host device m",
            "ip source 192.0.2.7",
            "host source a.example",
            "email source a@b.example",
            "email target b@c.example",
        ],
    ),
    (
        "Mar  1 10:00:00 h kernel: [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.7 DST=198.51.100.1 PROTO=TCP SPT=5000 DPT=22",
        4001,
        &[
            "host device h",
            "ip source 192.0.2.7",
            "ip target 198.51.100.1",
            "port source 5000",
            "port target 22",
        ],
    ),
    (
        "type=EXECVE msg=audit(1772359200.250:7): argc=2 a0=\"/bin/sh\" a1=\"-c\"",
        1007,
        &["process target /bin/sh"],
    ),
    (
        "type=USER_LOGIN msg=audit(1772359200.250:7): pid=9 uid=0 auid=4294967295 msg='op=login acct=\"ann\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed'",
        3002,
        &[
            "user target ann",
            "process actor /usr/sbin/sshd",
            "ip source 192.0.2.7",
        ],
    ),
    (
        "<166>Mar  1 10:00:00 fw %ASA-4-106023: Deny tcp src outside:192.0.2.7/5000 dst inside:198.51.100.1/22 by access-group \"x\"",
        4001,
        &[
            "host device fw",
            "ip source 192.0.2.7",
            "port source 5000",
            "ip target 198.51.100.1",
            "port target 22",
        ],
    ),
];

#[test]
fn extract_class_and_observables() {
    for (frame, class, expected) in CASES {
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        let got = ocsf_class(&event).map(|class| class.uid);
        assert_eq!(got, Some(class), "class of {}", event_json(&event));
        assert_eq!(
            rendered_observables(&event),
            expected,
            "{}",
            event_json(&event)
        );
    }
}

#[test]
fn print_class_and_observables() {
    let event = decode(CASES[5].0.as_bytes(), &context(Format::Auto));
    let json: serde_json::Value = serde_json::from_str(&event_json(&event)).unwrap();
    assert_eq!(json["class"]["uid"], 1007);
    assert_eq!(json["class"]["name"], "Process Activity");
    let first = &json["observables"][0];
    let parts = ["kind", "role", "value", "field"].map(|name| first[name].as_str().unwrap());
    assert_eq!(parts, ["user", "actor", "ann", "SubjectUserName"]);
}

const NAMES: [&str; 14] = [
    "EventID",
    "Channel",
    "Hashes",
    "QueryResults",
    "ObjectName",
    "ObjectType",
    "host",
    "uri",
    "answers",
    "src_ip",
    "url",
    "a0",
    "sourceIPAddress",
    "type",
];
const SOURCES: [(Option<&str>, Option<&str>); 6] = [
    (Some("windows"), None),
    (Some("zeek"), Some("http")),
    (Some("aws"), Some("cloudtrail")),
    (Some("linux"), Some("auditd")),
    (Some("linux"), Some("sshd")),
    (None, None),
];

fn value() -> impl Strategy<Value = Value<'static>> {
    let text = prop_oneof![
        ".{0,40}",
        "[0-9a-fA-F:.=,; %\\[\\]]{0,80}",
        "(MD5|SHA256|x)=[0-9A-F]{30,66}",
        Just("x.example:".repeat(900)),
    ];
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        text.prop_map(|text| Value::Text(text.into())),
    ];
    plain.prop_recursive(3, 200, 150, |inner| {
        prop::collection::vec(inner, 0..150).prop_map(Value::List)
    })
}

proptest! {
    #[test]
    fn observables_are_bounded_typed_and_unique(
        source in prop::sample::select(SOURCES.to_vec()),
        fields in prop::collection::vec((prop::sample::select(NAMES.to_vec()), value()), 0..12),
    ) {
        let event = Event {
            time: EventTime(0),
            stated: None,
            logsource: LogSource {
                category: None,
                product: source.0.map(str::to_owned),
                service: source.1.map(str::to_owned),
            },
            fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            message: "".into(),
            problems: Vec::new(),
            weight: weir_schema::Weight::ONE,
        };
        let found = observables(&event);
        prop_assert!(found.len() <= OBSERVABLES_MAX);
        for (n, observable) in found.iter().enumerate() {
            prop_assert!(!observable.value.is_empty());
            prop_assert_eq!(observable.kind.name() == "hash", observable.algorithm.is_some());
            if observable.kind.name() == "ip" {
                prop_assert!(observable.value.parse::<std::net::IpAddr>().is_ok(), "{observable:?}");
            }
            prop_assert!(event.get(observable.field).is_some());
            for other in &found[..n] {
                let same = (other.kind, other.role, &other.value) == (observable.kind, observable.role, &observable.value);
                prop_assert!(!same || other.algorithm != observable.algorithm, "{observable:?} twice");
            }
        }
        let _ = ocsf_class(&event);
        let _ = event_json(&event);
    }
}

/// Files of public events, and the percentages that must have a class and an observable.
const PUBLIC: [(&str, usize, usize); 9] = [
    ("windows/evtx_attack_samples.jsonl.zst", 75, 100),
    ("windows/evtx_to_mitre.jsonl.zst", 66, 100),
    ("cloud/stratus_detonations.jsonl", 100, 100),
    ("cloud/invictus_aws_cloudtrail.jsonl", 100, 100),
    ("network/zeek_wrccdc2018/json/dns.json.zst", 100, 100),
    ("network/zeek_wrccdc2018/json/kerberos.json.zst", 100, 100),
    ("network/zeek_wrccdc2018/json/ntlm.json.zst", 100, 100),
    ("network/zeek_wrccdc2018/json/smb_files.json.zst", 100, 100),
    ("network/zeek_wrccdc2018/json/ssh.json.zst", 100, 100),
];

#[test]
fn public_events_have_class_and_observables() {
    for (path, class_percent, observable_percent) in PUBLIC {
        let Some(lines) = lines("public_events_have_class_and_observables", path) else {
            continue;
        };
        let (mut with_class, mut with_observables, mut most) = (0, 0, 0);
        let mut without_class: BTreeMap<String, usize> = BTreeMap::new();
        for line in &lines {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let frame = row
                .get("event")
                .map_or(line.clone(), |event| event.to_string());
            let event = decode(frame.as_bytes(), &context(Format::Auto));
            let found = observables(&event).len();
            match ocsf_class(&event) {
                Some(_) => with_class += 1,
                None => {
                    let id = format!("{} {}", row["Channel"], row["EventID"]);
                    *without_class.entry(id).or_default() += 1;
                }
            }
            with_observables += usize::from(found > 0);
            most = most.max(found);
        }
        let mut without_class: Vec<_> = without_class.into_iter().map(|(id, n)| (n, id)).collect();
        without_class.sort_unstable_by(|a, b| b.cmp(a));
        without_class.truncate(25);
        let events = lines.len();
        println!(
            "{path}: {events} events, {with_class} with a class, {with_observables} with observables, {most} at most"
        );
        println!("  without a class: {without_class:?}");
        assert!(
            with_class * 100 >= events * class_percent,
            "{path}: {with_class}"
        );
        assert!(
            with_observables * 100 >= events * observable_percent,
            "{path}: {with_observables}"
        );
    }
}
