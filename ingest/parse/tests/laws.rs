//! Properties of decoding any bytes: no panic, deterministic, linear time, and JSON accepted as by
//! `serde_json`.

use std::io::BufReader;

use proptest::prelude::*;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, Problem, ReceiveTime, RecordsReader, Span, Value};

const FORMATS: [Format; 4] = [Format::Syslog, Format::Json, Format::Agent, Format::Auto];

/// Realistic lines, which the tests truncate, mix and corrupt.
const LINES: [&str; 36] = [
    "<13>Mar  1 10:00:01 r1 <38>Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.9",
    "<14>Mar  1 10:00:00 ap-2 00005e005301,U6-LR-6.5.62+14788: dropbear[9]: Bad password attempt",
    "<189>237: sw1: 238: *Mar  8 2026 19:46:03.295 UTC: %SYS-5-CONFIG_I: Configured by a on b (::1)",
    "<166>Mar  1 2026 10:00:00 fw1 : %ASA-6-302013: Built outbound TCP connection 1 for \
     outside:203.0.113.5/443 (203.0.113.5/443) to inside:10.0.0.7/50000 (198.51.100.1/50000)",
    "<113>Mar  1 2026 10:00:00 f : %FTD-1-430003: AccessControlRuleAction: Block, SrcIP: ::1, User: a",
    "<38>1 2026-03-01T10:00:00+0100 web1 sshd 77 - Invalid user x from 192.0.2.9",
    "2026-03-01T10:00:00.5+01:00 stderr F {\"user\":\"x\"}",
    "<134>1 1772359200.25 mx1 flows src=192.0.2.9 dst=198.51.100.4 radio='1' pattern: deny all",
    "<14>Mar 01 10:00:00 p 1,2026/03/01 10:00:00,0123,SYSTEM,auth,0,2026/03/01 10:00:00,,auth-fail,,0,0,\
     general,medium,\"failed authentication for user 'a'. From: 203.0.113.5.\",1",
    "<134>1 2026-03-01T10:00:00Z cp1 CheckPoint 7 - [action:\"Drop\"; src:\"203.0.113.5\"; service:\"22\"; ]",
    "<134>Mar 01 10:00:00 p filterlog[3]: 5,,,1,i,match,block,in,6,0x00,0x0,255,UDP,17,32,::1,::2,53,4,1",
    "<30>Mar 01 10:00:00 r system,error login failure for user x from 203.0.113.5 via ssh",
    "<135> 03/01/2026:10:00:00 GMT ns1 0-PPE-1 : default AAA LOGIN_FAILED 9 0 :  User a - Client_ip ::1",
    "<14>Mar 01 10:00:00 d MSWinEventLog\t1\tSecurity\t6\tSun\t4624\tP\tu\tN/A\tS\tdc1\tL\t\tm  Subject:  Account Name:  x",
    "{\"@timestamp\":\"2026-03-01T10:00:00Z\",\"tag\":\"sshd[7]:\",\"message\":\" Invalid user x from ::1\"}",
    "{\"MESSAGE\":[97,27,91,51,50,109,255],\"SYSLOG_IDENTIFIER\":\"a\",\"_PID\":\"7\"}",
    "<34>1 2003-10-11T22:14:15.003Z host su 12 ID47 [a@1 k=\"a\\\"b\" k=\"c\"][b@2] \u{feff}'su' \
     failed",
    "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    "<38>Feb 29 14:10:21 h sshd[16378]: Failed password for invalid user x from ::1 port 5 ssh2",
    "Jan  1 00:00:00 h sshd[1]: Connection closed by invalid user  192.0.2.68 port 34916 [preauth]",
    "Jan  1 00:00:00 h sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 tty=ssh \
     ruser= rhost=1.2.3.4  user=root",
    "<85>Sep 21 10:00:00 h sudo:   bob : TTY=pts/1 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls a=b",
    "<78>Sep 21 10:00:00 h CRON[12]: (root) CMD (run-parts /etc/cron.hourly)",
    "<4>Jun  1 12:00:00 gw kernel: [1.2] [UFW BLOCK] IN=eth0 OUT= SRC=1.2.3.4 DST=5.6.7.8 PROTO=TCP",
    "192.0.2.44 - f [10/Oct/2000:13:55:36 -0700] \"GET /a?b=\\\"c HTTP/1.0\" 200 2 \"r\" \"ua\\\"\"",
    "type=EXECVE msg=audit(1600000000.100:77): argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F206869",
    "CEF:0|security|t\\|m|1.0|100|detected a = in|10|src=10.0.0.1 act=blocked a \\= dst=1.1.1.1",
    "LEEF:2.0|Lancope|StealthWatch|1.0|41|x5E|src=10.0.1.8^dst=10.0.0.5",
    "<189>4522: *Mar  1 00:00:10.001 UTC: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
    "<30>2026-03-01T09:15:02.123456+01:00 web01 systemd[1]: Started Session 12 of user root.",
    "{\"time\":\"2026-01-01T00:00:00Z\",\"a\":{\"b\":[1,{\"c\":2.50}]},\"message\":\"\\u00fc\\n\"}",
    "{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"winlog\":{\"event_id\":\"1\",\"channel\":\"c\",\
     \"computer_name\":\"h\",\"event_data\":{\"param1\":\"a\",\"host\":\"b\",\"A B\":\"c\"}}}",
    "{\"Event\":{\"System\":{\"EventID\":{\"#text\":\"1\"},\"Provider\":{\"@Name\":\"p\"}},\"EventData\":\
     {\"Data\":[{\"@Name\":\"Level\",\"#text\":\"x\"},\"y\"]}}}",
    "{\"Id\":1,\"LogName\":\"c\",\"ProviderName\":\"p\",\"Keywords\":-1,\"Properties\":[{\"Value\":1}],\
     \"TimeCreated\":\"\\/Date(1772359200123)\\/\"}",
    "{\"EventID\":1,\"SourceName\":\"p\",\"Hostname\":\"h\",\"host\":\"r\",\"EventTime\":\"2026-01-01 00:00:00\"}",
    "srv [sshd]: User root from example.com not allowed because not listed in AllowUsers",
];

fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: ReceiveTime(1_772_409_600_000_000_000),
        zone: Zone::parse("Europe/Berlin").unwrap(),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Checks the properties of the event of a frame, in every format.
fn check(frame: &[u8], received: i64) {
    for format in FORMATS {
        let context = Context {
            received: ReceiveTime(received),
            ..context(format)
        };
        let event = decode(frame, &context);
        assert_eq!(event, decode(frame, &context));
        let without_time = [Problem::TimeMissing, Problem::TimeAbsurd];
        if event
            .problems
            .iter()
            .any(|problem| without_time.contains(problem))
        {
            assert_eq!(event.time.0, received);
        } else {
            assert!(event.time.0 >= 0, "{event:?}");
        }
        let mut names: Vec<_> = event.fields.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.len() <= weir_parse::FIELDS_MAX);
        assert!(event.problems.windows(2).all(|pair| pair[0] < pair[1]));
        let json: serde_json::Value = serde_json::from_str(&event_json(&event)).unwrap();
        assert_eq!(json["message"].as_str(), Some(event.message.as_ref()));
    }
}

#[test]
fn decode_every_prefix_of_a_line() {
    for line in LINES {
        for end in 0..=line.len() {
            check(&line.as_bytes()[..end], 1_772_409_600_000_000_000);
        }
    }
}

fn corrupted_line() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (
        prop::sample::select(LINES.to_vec()),
        edits,
        prop::sample::select(LINES.to_vec()),
    )
        .prop_map(|(line, edits, other)| {
            let mut bytes = line.as_bytes().to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                match byte % 4 {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b" :[]\"\\=|%<"[usize::from(byte / 4) % 10]),
                    _ => bytes
                        .splice(at..at, other.bytes().skip(at).take(20))
                        .for_each(drop),
                }
            }
            bytes
        })
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        "\"(\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fA-F]{4}|[a-z\\x00-\\x20]){0,5}\"",
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let pairs = prop::collection::vec(("\"[a-d]{1,2}\"", inner.clone()), 0..4);
        let object = pairs.prop_map(|pairs| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| format!("{name} : {value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        });
        let list = prop::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(" ,")));
        prop_oneof![object, list]
    });
    value.prop_map(|value| format!("{{\"x\":{value}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decode_any_bytes(
        frame in prop::collection::vec(any::<u8>(), 0..200),
        received in any::<i64>(),
    ) {
        check(&frame, received);
    }

    #[test]
    fn decode_any_corrupted_line(frame in corrupted_line()) {
        check(&frame, 1_772_409_600_000_000_000);
    }

    /// A record may contain any JSON; the reader still finds its end.
    #[test]
    fn split_documents_into_their_records(
        texts in prop::collection::vec(json_text(), 0..5),
        (between, tail) in ("[ \n\t]{0,3}", "(,\"a\":\\{\"]}\":\\[\"\\\\\"\"\\]\\}){0,2}"),
        buffer_bytes in 1..40usize,
    ) {
        let is_json = |text: &&String| serde_json::from_str::<serde_json::Value>(text).is_ok();
        let texts: Vec<_> = texts.iter().filter(is_json).collect();
        let list = texts.iter().map(|text| format!("{between}{text}{between}"));
        let list = list.collect::<Vec<_>>().join(",");
        let document = format!("{{{between}\"Records\"{between}:[{list}]{tail}}}");
        let parsed = serde_json::from_str::<serde_json::Value>(&document).unwrap();
        prop_assert_eq!(parsed["Records"].as_array().unwrap().len(), texts.len());
        let twice = format!("{document}\n{document}{{");
        let mut input = BufReader::with_capacity(buffer_bytes, twice.as_bytes());
        let (mut records, mut record) = (RecordsReader::default(), Vec::new());
        for text in texts.iter().chain(&texts) {
            let is_truncated = records.read(&mut input, &mut record, 1 << 20).unwrap();
            prop_assert_eq!(is_truncated, Some(false));
            prop_assert_eq!(std::str::from_utf8(&record).unwrap(), text.as_str());
        }
        prop_assert_eq!(records.read(&mut input, &mut record, 1 << 20).unwrap(), None);
        prop_assert_eq!(records.take_unmatched(), b"{");
    }

    #[test]
    fn json_is_accepted_as_by_serde_json(text in json_text()) {
        let parsed = serde_json::from_str::<serde_json::Value>(&text);
        let event = decode(text.as_bytes(), &context(Format::Json));
        let accepted = !event.problems.contains(&Problem::Unparsed);
        // `serde_json` rejects a float that is out of range; an event keeps it as written.
        let is_out_of_range = parsed.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(accepted == parsed.is_ok() || is_out_of_range, "{text}: {parsed:?}");
        if let (Ok(parsed), true) = (parsed, accepted) {
            let mut flat = Vec::new();
            flatten("", &parsed, &mut flat);
            for (name, value) in flat {
                // Both readers keep the last value of a duplicate key.
                let value_read = event.get(&name);
                let agrees = value_read.is_some_and(|read| same(read, &value));
                prop_assert!(agrees, "{text}: {name}: {value_read:?}, {value}");
            }
        }
    }
}

fn flatten(path: &str, value: &serde_json::Value, out: &mut Vec<(String, serde_json::Value)>) {
    if let serde_json::Value::Object(object) = value {
        for (key, value) in object {
            let name = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            flatten(&name, value, out);
        }
    } else {
        out.push((path.to_owned(), value.clone()));
    }
}

fn same(value: &Value<'_>, parsed: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (value, parsed) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Int(a), Json::Number(b)) => b.as_i64() == Some(*a),
        (Value::Number(a), Json::Number(b)) => {
            // The float of `serde_json` may differ in the last place.
            let (a, b) = (a.parse::<f64>().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= a.abs() * 1e-14
        }
        (Value::Text(a), Json::String(b)) => a == b,
        (Value::Text(a), Json::Object(_)) => {
            serde_json::from_str::<Json>(a).ok().as_ref() == Some(parsed)
        }
        (Value::List(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

fn problems(event: &Event<'_>) -> Vec<&'static str> {
    event
        .problems
        .iter()
        .map(|problem| problem.name())
        .collect()
}

#[test]
fn limit_deep_wide_and_long_frames() {
    let deep = format!("{{\"ok\":1,\"a\":{}", "[".repeat(100_000));
    let event = decode(deep.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);
    assert_eq!(event.get("ok"), Some(&Value::Int(1)));
    let deep = "{\"a\":".repeat(100_000);
    let event = decode(deep.as_bytes(), &context(Format::Auto));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);

    // Copying a path of half a mebibyte for each field would take tens of gigabytes.
    let keys = "\"k\":1,".repeat(70_000);
    let path = format!("{{\"ok\":1,\"{}\":{{{keys}\"z\":1}}}}", "p".repeat(500_000));
    let event = decode(path.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_deep"]);
    assert_eq!(event.get("ok"), Some(&Value::Int(1)));

    let wide: Vec<_> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let event = decode(wide.as_bytes(), &context(Format::Json));
    assert_eq!(event.fields.len(), weir_parse::FIELDS_MAX);
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);
    let list = format!("{{\"a\":[{}1]}}", "1,".repeat(50_000));
    let event = decode(list.as_bytes(), &context(Format::Json));
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);

    // Fields that are repeated become lists, which are limited together.
    let names: Vec<_> = (0..5_000).map(|n| format!("k{}=\"\"", n % 7)).collect();
    let data = format!("<13>1 - h a 1 m [x {}] text", names.join(" "));
    let event = decode(data.as_bytes(), &context(Format::Syslog));
    assert_eq!(problems(&event), ["time_missing", "too_many_fields"]);
    let values = event.fields.iter().map(|(_, value)| match value {
        Value::List(values) => values.len(),
        _ => 0,
    });
    assert_eq!(values.sum::<usize>(), weir_parse::FIELDS_MAX + 7);
}

/// Starts of lines, and what is repeated behind them.
const SHAPES: [(&str, &str); 49] = [
    ("", "[a x=\"]"),
    ("", " "),
    ("", "<"),
    ("", "a=b "),
    ("", "\\"),
    ("", "\""),
    ("", ": "),
    ("<34>1 2003-10-11T22:14:15Z h a - - ", "[a x=\"][a x=\" "),
    ("<34>1 2003-10-11T22:14:15Z h a - - ", "[a b=\"c\"]"),
    ("<34>1 2003-10-11T22:14:15Z h a - - [", "a"),
    ("<34>Oct 11 22:14:15 h a: ", "[a x=\"][a x=\" "),
    ("<34>Oct 11 22:14:15 h a: ", "[a x=\"y\"]"),
    (SSHD, "Failed password for  from a port 1 "),
    (SSHD, "["),
    (SSHD, "error: "),
    (
        "<38>Feb 28 14:10:21 h sshd[1]: Failed password for x",
        " from a",
    ),
    (
        "<38>Feb 28 14:10:21 h sshd[1]: Disconnected from invalid user x",
        " port 1 port",
    ),
    (
        "<38>Feb 28 14:10:21 h sshd[1]: Failed password for x from a from a",
        "    ",
    ),
    ("<38>Feb 28 14:10:21 h sudo: a : ", " ; TTY=x"),
    ("<4>Feb 28 14:10:21 h kernel: IN=a OUT= SRC=", " A=b"),
    ("type=A msg=audit(1.1:1): ", "a=\"b\" "),
    ("type=A msg=audit(1.1:1): ", "a='"),
    ("CEF:0|a|b|c|d|e|f|", "a=b "),
    ("CEF:0|a|b|c|d|e|f|", "a\\="),
    ("LEEF:1.0|a|b|c|d|", "a=b\t"),
    ("{\"a\":\"", "\\n"),
    ("{\"a\":[", "{},"),
    ("{\"a\":", "{\"a\":1}"),
    ("{", "\"a\":1,"),
    ("1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"", "\\\""),
    ("<1>Oct 11 22:14:15 h ", "<1>Oct 11 22:14:15 h "),
    ("<1>Oct 11 22:14:15 h ", "info "),
    ("<1>Oct 11 22:14:15 ", "1: "),
    ("<1>1: ", "%A-1"),
    ("<1>Oct 11 22:14:15 h : %FTD-1-430003: ", "A: b, "),
    ("<1>Oct 11 22:14:15 h : %FTD-1-430003: ", ": "),
    (
        "<1>Oct 11 22:14:15 h : %ASA-6-302013: Built ",
        " for 1.1.1.1/1 to ",
    ),
    ("<134>1 1795464210.3 mx-1 flows ", "a=b "),
    ("<134>1 1795464210.3 mx-1 flows ", "word "),
    ("1,2026/03/01 10:00:00,0123,TRAFFIC,", "\"a\"\","),
    ("<1>Oct 11 22:14:15 h [", "a:\"b\""),
    (
        "<1>Oct 11 22:14:15 h MSWinEventLog\t1\tS\t6\tx\t4625\tP\tu\tN/A\tF\tc\tL\t\t",
        "A:  b: c  ",
    ),
    ("<1>Oct 11 22:14:15 h x input: in:a proto ", ", 1.1.1.1:1->"),
    (
        "<1>Oct 11 22:14:15 h 0-PPE-0 : default A B 1 0 : ",
        "- User a ",
    ),
    ("a=\"", "b\" c "),
    ("a=1,", "b,c=d"),
    ("{\"message\":\"<1>Oct 11 22:14:15 h a: ", "{\\\"a\\\":"),
    ("{\"MESSAGE\":[", "27,91,"),
    (
        "2026-03-01T10:00:00Z stdout F ",
        "2026-03-01T10:00:00Z stdout F ",
    ),
];

const SSHD: &str = "<38>Feb 28 14:10:21 h sshd[1]: ";

/// A reader that takes quadratic time would not finish here.
#[test]
fn decode_a_mebibyte_of_each_shape_in_linear_time() {
    for (head, unit) in SHAPES {
        let line = format!("{head}{}", unit.repeat((1 << 20) / unit.len()));
        for format in FORMATS {
            let event = decode(line.as_bytes(), &context(format));
            assert!(event.fields.len() <= weir_parse::FIELDS_MAX);
        }
    }
}
