//! Linux audit records, and events inside other frames.

mod common;

use weir_parse::decode;
use weir_schema::Format;

use common::{check_fields, context};

const HEAD: &str = "msg=audit(1605005292.123:456):";

/// Records, in which `{}` is [`HEAD`], and their fields.
const RECORDS: [(&str, &[&str]); 16] = [
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
    // The number means another call on other architectures.
    (
        "type=SYSCALL {} arch=40000003 syscall=59",
        &["SYSCALL=-", "syscall=59"],
    ),
    // The daemon's own `SYSCALL` stays.
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
    // The arguments of a call are numbers, whatever they look like.
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

#[test]
fn decode_audit_records() {
    for (line, fields) in RECORDS {
        let line = line.replace("{}", HEAD);
        check_fields(&line, fields);
        let event = decode(line.as_bytes(), &context(Format::Auto));
        assert_eq!(event.time.0, 1_605_005_292_123_000_000, "{line}");
        assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{line}");
        assert_eq!(event.logsource.service.as_deref(), Some("auditd"), "{line}");
        assert_eq!((event.problems, &*event.message), (vec![], &*line));
    }
}

#[test]
fn inner_event_replaces_its_carrier() {
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
    for (inner, fields, inner_host) in [(xml, xml_fields, "u5"), (record, record_fields, "-")] {
        let json = serde_json::to_string(inner).unwrap();
        let carriers = [
            (inner.to_owned(), inner_host, "-"),
            (
                format!("<14>May 11 18:10:21 relay sysmon[99]: {inner}"),
                if inner_host == "-" {
                    "relay"
                } else {
                    inner_host
                },
                if inner_host == "-" { "-" } else { "relay" },
            ),
            (
                format!(
                    "{{\"Computer\":\"c\",\"EventTime\":\"2022-05-11T18:10:21Z\",\"SyslogMessage\":{json}}}"
                ),
                inner_host,
                "-",
            ),
            (
                format!("{{\"host\":\"c\",\"MESSAGE\":{json}}}"),
                if inner_host == "-" { "c" } else { inner_host },
                if inner_host == "-" { "-" } else { "c" },
            ),
        ];
        for (line, host, relay) in carriers {
            check_fields(&line, fields);
            check_fields(
                &line,
                &[&format!("host={host}"), &format!("relay_host={relay}")],
            );
            let event = decode(line.as_bytes(), &context(Format::Auto));
            assert_eq!(event.time.0, 1_652_292_620_500_000_000, "{line}");
            assert_eq!(event.logsource.product.as_deref(), Some("linux"), "{line}");
            assert_eq!(event.problems, [], "{line}");
        }
    }
}
