//! Linux's own security records as events: auditd's, Sysmon's, and messages that are nothing but
//! pairs.

use std::io::Write;
use std::path::PathBuf;

use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, Problem, ReceiveTime, Span, Value};

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

/// The lines of a file of recordings; where it is absent that is said, and there is nothing to
/// test.
fn lines(test: &str, file: &str) -> Option<Vec<String>> {
    let folder = match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
        // Straight to standard error, since libtest hides what a test that passes prints.
        let absent = format!("SKIPPED: {test}: no {file} in the data folder (WEIR_DATA)\n");
        let _ = std::io::stderr().write_all(absent.as_bytes());
        return None;
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    Some(lines.map(str::to_owned).collect())
}

fn text(event: &Event<'_>, name: &str) -> String {
    match event.get(name) {
        None => "-".into(),
        Some(Value::List(values)) => {
            let texts = values
                .iter()
                .map(|value| value.as_text().unwrap_or_default());
            texts.collect::<Vec<_>>().join("|")
        }
        Some(value) => value.as_text().unwrap_or_default().into_owned(),
    }
}

/// That the line reads as a record with these fields, each `name=value`; `-` is for one that is
/// absent.
fn check(line: &str, fields: &[&str]) {
    let event = decode(line.as_bytes(), &context());
    for field in fields {
        let (name, wanted) = field.split_once('=').unwrap();
        assert_eq!(
            text(&event, name),
            wanted,
            "{name} of {line}\n{}",
            event_json(&event)
        );
    }
}

#[test]
fn audit_records_have_the_fields_that_rules_ask_for() {
    let head = "msg=audit(1605005292.123:456):";
    let table: [(&str, &[&str]); 16] = [
        (
            "type=SYSCALL {} arch=c000003e syscall=59 pid=7 tty=(none) comm=\"arp\" exe=\"/usr/sbin/arp\" key=(null)",
            &[
                "type=SYSCALL",
                "audit_id=1605005292.123:456",
                "serial=456",
                "pid=7",
                "SYSCALL=execve",
                "tty=(none)",
                "comm=arp",
                "key=(null)",
            ],
        ),
        (
            "type=SYSCALL {} arch=c000003e syscall=1 exe=2F746D702F61206220C3A9 key=61756F6D730164656C657465",
            &["exe=/tmp/a b é", "key=auoms|delete", "SYSCALL=-"],
        ),
        // The same number is another call elsewhere.
        (
            "type=SYSCALL {} arch=40000003 syscall=59",
            &["SYSCALL=-", "syscall=59"],
        ),
        // What the daemon says itself stands.
        (
            "type=SYSCALL {} arch=c000003e syscall=59 exe=\"/x\"\u{1d}ARCH=x86_64 SYSCALL=execve AUID=\"root\"",
            &["SYSCALL=execve", "AUID=root", "exe=/x"],
        ),
        (
            "type=EXECVE {} argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F206869",
            &["argc=3", "a0=sh", "a1=-c", "a2=echo hi"],
        ),
        (
            "type=EXECVE {} argc=2 a0=\"cat\" a1_len=8 a1[0]=61616161 a1[1]=62622063",
            &["a1=aaaabb c", "a1_len=8"],
        ),
        (
            "type=PROCTITLE {} proctitle=617270002D61",
            &["proctitle=arp -a"],
        ),
        ("type=CWD {} cwd=\"/home/me\"", &["cwd=/home/me"]),
        // Arguments of a call are numbers, whatever they look like.
        ("type=SYSCALL {} a0=41 a1=BEEF", &["a0=41", "a1=BEEF"]),
        (
            "type=USER_CMD {} user pid=4 uid=0 auid=1000 ses=2 msg='cwd=\"/root\" cmd=6C73202D6C terminal=pts/0 res=success'",
            &[
                "cwd=/root",
                "cmd=ls -l",
                "terminal=pts/0",
                "res=success",
                "pid=4",
                "msg=-",
            ],
        ),
        (
            "type=ANOM_EXEC {} user pid=1 msg='op=PAM:unix_chkpwd acct=\"snap\" exe=\"/sbin/x\" (hostname=?, addr=?, terminal=pts/0 res=failed)'",
            &[
                "op=PAM:unix_chkpwd",
                "acct=snap",
                "hostname=?",
                "addr=?",
                "res=failed",
            ],
        ),
        (
            "type=AVC {} avc:  denied  { write } for  pid=13349 comm=\"certwatch\" name=\"cache\" tclass=dir",
            &["pid=13349", "comm=certwatch", "name=cache", "tclass=dir"],
        ),
        (
            "type=SYSCALL {} exe=\"/x\" key=(null)\\u001DARCH=x86_64 UID=\"a\"\\u001DGID=\"b\"",
            &["key=(null)", "ARCH=x86_64", "UID=a", "GID=b"],
        ),
        (
            "type=AUOMS_EXECVE audit(1605005292.123:456): proctitle=java -Da=b c redactors= cmdline=\"x y\" n=[\"1\",\"2\"]",
            &[
                "proctitle=java -Da=b c",
                "redactors=",
                "cmdline=x y",
                "n=1|2",
                "serial=456",
            ],
        ),
        (
            "node=web1 type=CWD {} cwd=\"/\"",
            &["host=web1", "type=CWD", "cwd=/"],
        ),
        (
            "audit: type=1309 audit(1605005292.123:456): argc=1 a0=\"id\"",
            &["type=EXECVE", "a0=id", "serial=456"],
        ),
    ];
    for (line, fields) in table {
        let line = line.replace("{}", head);
        check(&line, fields);
        let event = decode(line.as_bytes(), &context());
        assert_eq!(event.time.0, 1_605_005_292_123_000_000, "{line}");
        assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{line}");
        assert_eq!(event.logsource.service.as_deref(), Some("auditd"), "{line}");
        assert_eq!((event.problems, &*event.message), (vec![], &*line));
    }
}

#[test]
fn what_carries_an_event_gives_way_to_it() {
    let xml = "<Event><System><Provider Name=\"Linux-Sysmon\"/><EventID>1</EventID>\
        <TimeCreated SystemTime=\"2022-05-11T18:10:20.5Z\"/><Channel>Linux-Sysmon/Operational</Channel>\
        <Computer>u5</Computer></System><EventData><Data Name=\"CommandLine\">a &amp; b</Data>\
        </EventData></Event>";
    let xml_fields: &[&str] = &[
        "EventID=1",
        "Computer=u5",
        "CommandLine=a & b",
        "Channel=Linux-Sysmon/Operational",
    ];
    let record = "type=EXECVE msg=audit(1652292620.5:1): a0=\"id\"";
    let record_fields: &[&str] = &["type=EXECVE", "a0=id"];
    for (inner, fields, own) in [(xml, xml_fields, "u5"), (record, record_fields, "-")] {
        let json = serde_json::to_string(inner).unwrap();
        let carriers = [
            (inner.to_owned(), own, "-"),
            (
                format!("<14>May 11 18:10:21 relay sysmon[99]: {inner}"),
                if own == "-" { "relay" } else { own },
                if own == "-" { "-" } else { "relay" },
            ),
            (
                format!(
                    "{{\"Computer\":\"c\",\"EventTime\":\"2022-05-11T18:10:21Z\",\"SyslogMessage\":{json}}}"
                ),
                own,
                "-",
            ),
            (
                format!("{{\"host\":\"c\",\"MESSAGE\":{json}}}"),
                if own == "-" { "c" } else { own },
                if own == "-" { "-" } else { "c" },
            ),
        ];
        for (line, host, relay) in carriers {
            check(&line, fields);
            check(
                &line,
                &[&format!("host={host}"), &format!("relay_host={relay}")],
            );
            let event = decode(line.as_bytes(), &context());
            assert_eq!(event.time.0, 1_652_292_620_500_000_000, "{line}");
            assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{line}");
            assert_eq!(event.problems, [], "{line}");
        }
    }
}

#[test]
fn event_xml_reads_as_the_flat_form() {
    let system = "<System><Provider Name='P' Guid='{1}'/><EventID Qualifiers='16384'>4625</EventID>\
        <Level>0</Level><Keywords>0x8010000000000000</Keywords><EventRecordID>9</EventRecordID>\
        <Correlation ActivityID='{2}'/><Execution ProcessID='7' ThreadID='8'/><Channel>Security</Channel>\
        <Computer>pc.corp</Computer><Security UserID='S-1-5-18'/></System>";
    let event = |rest: &str| format!("<Event xmlns='http://x'>{system}{rest}</Event>");
    let table: [(&str, &[&str]); 7] = [
        (
            "<EventData/>",
            &[
                "EventID=4625",
                "Qualifiers=16384",
                "Provider_Name=P",
                "Provider_Guid={1}",
                "Level=0",
                "Execution_ProcessID=7",
                "Execution_ThreadID=8",
                "Correlation_ActivityID={2}",
                "Security_UserID=S-1-5-18",
                "host=pc.corp",
            ],
        ),
        (
            "<EventData><Data Name='Threat Name'>x</Data><Data Name='E'></Data><Data Name='N'/></EventData>",
            &["ThreatName=x", "E=", "N=-"],
        ),
        (
            "<EventData><Data>a</Data><Data>b</Data></EventData>",
            &["Data=a|b"],
        ),
        (
            "<EventData><Data Name='Channel'>c</Data><Data Name='A'>&#x41;&#66;<![CDATA[<&>]]>&lt u&gt &nbsp;&#xd800;&</Data></EventData>",
            &[
                "EventData_Channel=c",
                "Channel=Security",
                "A=AB<&>< u> &nbsp;&#xd800;&",
            ],
        ),
        (
            "<UserData><X xmlns='y'><Param>v</Param></X></UserData>",
            &["Param=v"],
        ),
        (
            "<EventData><Data Name='q>'>a > b</Data></EventData><!-- no --> - ",
            &["q>=a > b"],
        ),
        (
            "<RenderingInfo Culture='en'><Message>Said.</Message><Level>Information</Level></RenderingInfo>",
            &["Message=Said.", "Level=0"],
        ),
    ];
    for (rest, fields) in table {
        check(&event(rest), fields);
        check(&format!("- {}", event(rest)), fields);
    }
    let said = event(table[6].0);
    assert_eq!(decode(said.as_bytes(), &context()).message, "Said.");
    let cut = event("<EventData><Data Name='A'>1</Data><Data Name='B'>2 &amp; 3</Data>");
    for end in cut.find("B'>").unwrap()..cut.find("</Data></Event>").unwrap() {
        let event = decode(&cut.as_bytes()[..end], &context());
        assert_eq!(event.problems, [Problem::Truncated, Problem::TimeMissing]);
        assert_eq!(
            (text(&event, "A"), text(&event, "B")),
            ("1".into(), "-".into())
        );
        assert_eq!(event.message, cut[..end]);
    }
    let deep = |levels: usize| event(&("<a>".repeat(levels) + &"</a>".repeat(levels)));
    check(&deep(15), &["EventID=4625"]);
    for broken in [
        deep(16),
        event("<EventData><Data Name=x/></EventData>"),
        event("<!DOCTYPE a>"),
        event("</System>"),
        "<Event></Event>".to_owned(),
        // Cut before the event says where it was.
        event("")[..90].to_owned(),
    ] {
        let event = decode(broken.as_bytes(), &context());
        assert_eq!(
            event.problems,
            [Problem::Unparsed, Problem::TimeMissing],
            "{broken}"
        );
        assert_eq!(event.message, broken);
    }
}

#[test]
fn only_messages_that_are_all_pairs_become_fields() {
    let table: [(&str, Option<&[&str]>); 12] = [
        ("a=1 b=\"x y\" c=", Some(&["a=1", "b=x y", "c="])),
        ("a=1, b=2, c=\"3\"", Some(&["a=1", "b=2", "c=3"])),
        ("a=1  b=2 c=3 ", Some(&["a=1", "b=2", "c=3"])),
        (
            r#"a="q \" \\ \n" b=x=y c=3"#,
            Some(&[r#"a=q " \ \n"#, "b=x=y", "c=3"]),
        ),
        (
            "date=2021-03-02 time=10:00:00 tz=\"+0100\" type=\"traffic\"",
            Some(&["type=traffic", "tz=+0100"]),
        ),
        ("a=1 b=2", None),
        ("a=1 b=2 c", None),
        ("a=1 b=\"2 c=3", None),
        ("a=1 b=\"2\"x c=3", None),
        ("see a=1 b=2 c=3", None),
        ("a=1 1b=2 c=3", None),
        ("a=1,b=2,c=3", None),
    ];
    for (message, fields) in table {
        for line in [
            message.to_owned(),
            format!("<13>Mar  1 10:00:00 h app: {message}"),
        ] {
            check(&line, fields.unwrap_or(&["a=-", "b=-", "c=-"]));
        }
    }
    let bare = decode(table[4].0.as_bytes(), &context());
    assert_eq!(bare.time.0, 1_614_675_600_000_000_000);
}

#[test]
fn recordings_of_linux_hosts_read_without_a_problem() {
    let test = "recordings_of_linux_hosts_read_without_a_problem";
    let table = [
        (
            "linux/auditd_sh_arp_cache_2020-11-10074812.log",
            12,
            Some("auditd"),
            0,
        ),
        (
            "linux/auditd_sh_binary_padding_dd_2020-11-10081941.log",
            6,
            Some("auditd"),
            0,
        ),
        (
            "linux/otrf_log4shell_syslog_auoms_auditd.jsonl",
            50,
            Some("auditd"),
            0,
        ),
        ("linux/otrf_log4shell_syslog_sysmon.jsonl", 93, None, 1),
    ];
    for (file, count, service, expected_cut) in table {
        let Some(lines) = lines(test, file) else {
            return;
        };
        assert_eq!(lines.len(), count, "{file}");
        let mut cut = 0;
        for line in lines {
            let event = decode(line.as_bytes(), &context());
            let told = event_json(&event);
            // The host's syslog daemon cut these at 2,048 bytes, in the middle of the XML.
            if event.problems == [Problem::Truncated] {
                cut += 1;
            } else {
                assert_eq!(event.problems, [], "{told}");
            }
            assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{told}");
            assert_eq!(event.logsource.service.as_deref(), service, "{told}");
            if service.is_none() {
                assert_eq!(
                    text(&event, "Channel"),
                    "Linux-Sysmon/Operational",
                    "{told}"
                );
                assert!(
                    matches!(event.get("EventID"), Some(Value::Int(_))),
                    "{told}"
                );
                assert_eq!(text(&event, "host"), "UBUNTU5", "{told}");
            }
        }
        assert_eq!(cut, expected_cut, "{file}");
    }
}

/// One of each form that is read here, and of Zeek's, which shares the way in.
const FORMS: [&str; 5] = [
    "type=USER_CMD msg=audit(1.5:9): pid=4 msg='cwd=\"/r\" cmd=6C73 key=6101 a=[\"x\",\"y\"] res=ok'",
    "type=EXECVE msg=audit(1.5:9): argc=2 a0=\"c\" a1_len=8 a1[0]=6161 a1[1]=62",
    "<?xml version='1.0'?><Event><System><EventID Qualifiers=\"1\">4</EventID><Computer>c</Computer>\
     </System><EventData><Data Name='A'>&lt;&#x41;</Data><Data><![CDATA[x]]></Data></EventData></Event>",
    "a=1 b=\"x \\\" y\" c=, d=4",
    "#separator \\x7c\n#path|p\n#fields|ts|s|l\n#types|time|string|set[count]\n1.5|\\x41\\\\|1,-",
];

#[test]
fn every_beginning_and_every_spoilt_byte_is_an_event() {
    let mut whole = 0;
    for form in FORMS {
        let bytes = form.as_bytes();
        whole += usize::from(decode(bytes, &context()).problems.is_empty());
        for end in 0..bytes.len() {
            let event = decode(&bytes[..end], &context());
            assert!(event.fields.len() < 30);
        }
        for at in 0..bytes.len() {
            for mark in b"\"'<>&\\[]=#\t\n \x1d\x80\xff0" {
                let mut spoilt = bytes.to_vec();
                spoilt[at] = *mark;
                let event = decode(&spoilt, &context());
                assert!(event.fields.len() < 30);
            }
        }
    }
    // Neither the pairs nor the XML say when they were.
    assert_eq!(whole, FORMS.len() - 2);
}

#[test]
fn a_mebibyte_of_any_form_ends() {
    let xml = "<Event><System><EventID>1</EventID><Computer>c</Computer></System><EventData>";
    let record = "type=EXECVE msg=audit(1.5:9): ";
    for (start, again) in [
        (xml, "<Data>x</Data>"),
        (xml, "<Data Name='a"),
        (xml, "<a>"),
        (xml, "<!--"),
        (xml, "&"),
        (xml, "&lt"),
        (xml, "x=\""),
        ("<Event ", "a='b' "),
        (record, "a=\"b "),
        (record, "a=[b "),
        (record, "a0[1]=41 "),
        (record, "(x "),
        ("", "a=\"b\" "),
        ("", "a=\"\\"),
        ("", "a=b, "),
        ("#fields\ta\n", "\t"),
        ("#fields\ta\n", "\\x"),
        ("#fields", "\ta"),
        ("", "#fields\ta\n"),
        ("#fields\ta\n#types\tset[int]\n", "1,"),
    ] {
        let frame = start.to_owned() + &again.repeat((1 << 20) / again.len());
        let event = decode(frame.as_bytes(), &context());
        assert!(
            event.fields.len() <= weir_parse::FIELDS_MAX,
            "{start}{again}"
        );
    }
}
