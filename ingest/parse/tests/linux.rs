//! Linux hosts: recordings, messages of pairs, and robustness against corrupted and long frames.

mod common;

use weir_parse::{decode, event_json};
use weir_schema::{Format, Problem, Value};

use common::{check_fields, context, field_text, lines};

#[test]
fn only_messages_of_pairs_become_fields() {
    let table: [(&str, Option<&[&str]>); 14] = [
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
        ("a=1,b=2,c=3", Some(&["a=1", "b=2", "c=3"])),
        // A comma in a value starts no pair, if a space separates the others.
        ("a=1 b=2,x=6 c=3", Some(&["a=1", "b=2,x=6", "c=3"])),
        // A quote that the device did not escape stays in its value.
        (
            "a=1 b=\"say \"x\" twice\" c=3",
            Some(&["a=1", "b=say \"x\" twice", "c=3"]),
        ),
    ];
    for (message, fields) in table {
        for line in [
            message.to_owned(),
            format!("<13>Mar  1 10:00:00 h app: {message}"),
        ] {
            check_fields(&line, fields.unwrap_or(&["a=-", "b=-", "c=-"]));
        }
    }
    let bare = decode(table[4].0.as_bytes(), &context(Format::Auto));
    assert_eq!(bare.time.0, 1_614_675_600_000_000_000);
}

#[test]
fn decode_recordings_of_linux_hosts() {
    let test = "decode_recordings_of_linux_hosts";
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
    for (file, count, service, expected_truncated) in table {
        let Some(lines) = lines(test, file) else {
            return;
        };
        assert_eq!(lines.len(), count, "{file}");
        let mut truncated = 0;
        for line in lines {
            let event = decode(line.as_bytes(), &context(Format::Auto));
            let json = event_json(&event);
            // The host's syslog daemon truncated these at 2,048 bytes, inside the XML.
            if event.problems == [Problem::Truncated] {
                truncated += 1;
            } else {
                assert_eq!(event.problems, [], "{json}");
            }
            assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{json}");
            assert_eq!(event.logsource.service.as_deref(), service, "{json}");
            if service.is_none() {
                assert_eq!(
                    field_text(&event, "Channel"),
                    "Linux-Sysmon/Operational",
                    "{json}"
                );
                assert!(
                    matches!(event.get("EventID"), Some(Value::Int(_))),
                    "{json}"
                );
                assert_eq!(field_text(&event, "host"), "UBUNTU5", "{json}");
            }
        }
        assert_eq!(truncated, expected_truncated, "{file}");
    }
}

/// One frame of each form, including Zeek's.
const FORMS: [&str; 5] = [
    "type=USER_CMD msg=audit(1700000000.5:9): pid=4 msg='cwd=\"/r\" cmd=6C73 key=6101 a=[\"x\",\"y\"] res=ok'",
    "type=EXECVE msg=audit(1700000000.5:9): argc=2 a0=\"c\" a1_len=8 a1[0]=6161 a1[1]=62",
    "<?xml version='1.0'?><Event><System><EventID Qualifiers=\"1\">4</EventID><Computer>c</Computer>\
     </System><EventData><Data Name='A'>&lt;&#x41;</Data><Data><![CDATA[x]]></Data></EventData></Event>",
    "a=1 b=\"x \\\" y\" c=, d=4",
    "#separator \\x7c\n#path|p\n#fields|ts|s|l\n#types|time|string|set[count]\n1700000000.5|\\x41\\\\|1,-",
];

#[test]
fn decode_every_prefix_and_every_corrupted_byte() {
    let mut without_problems = 0;
    for form in FORMS {
        let bytes = form.as_bytes();
        without_problems += usize::from(decode(bytes, &context(Format::Auto)).problems.is_empty());
        for end in 0..bytes.len() {
            let event = decode(&bytes[..end], &context(Format::Auto));
            assert!(event.fields.len() < 30);
        }
        for at in 0..bytes.len() {
            for byte in b"\"'<>&\\[]=#\t\n \x1d\x80\xff0" {
                let mut corrupted = bytes.to_vec();
                corrupted[at] = *byte;
                let event = decode(&corrupted, &context(Format::Auto));
                assert!(event.fields.len() < 30);
            }
        }
    }
    // The pairs and the XML have no time.
    assert_eq!(without_problems, FORMS.len() - 2);
}

#[test]
fn decode_a_mebibyte_of_each_form_in_linear_time() {
    let xml = "<Event><System><EventID>1</EventID><Computer>c</Computer></System><EventData>";
    let record = "type=EXECVE msg=audit(1700000000.5:9): ";
    for (start, unit) in [
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
        let frame = start.to_owned() + &unit.repeat((1 << 20) / unit.len());
        let event = decode(frame.as_bytes(), &context(Format::Auto));
        assert!(
            event.fields.len() <= weir_parse::FIELDS_MAX,
            "{start}{unit}"
        );
    }
}
