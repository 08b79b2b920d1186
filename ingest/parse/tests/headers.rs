//! Headers as daemons, devices and relays bend them: host, program, process, time and relay.

mod common;

use weir_parse::{Context, Zone, decode};
use weir_schema::Format;

use common::{check, context};

/// Lines, and parts of their events in the form `name=value`, which two spaces separate.
const LINES: &[(&str, &str)] = &[
    // A level between host and tag, as F5 and BusyBox write it; AIX names a facility twice.
    (
        "<86>Mar  1 10:00:00 lb1 notice sshd[77]: Failed password for ann from 192.0.2.9 port 4 ssh2",
        "host=lb1  program=sshd  pid=77  user=ann  severity=info  SOURCE=/linux/sshd",
    ),
    (
        "Mar  1 10:00:00 ap1 authpriv.warn dropbear[8]: Bad password attempt for 'ann' from 192.0.2.9:5",
        "host=ap1  program=dropbear  severity=warning  facility=authpriv  src_ip=192.0.2.9",
    ),
    (
        "Mar  1 10:00:00 auth.info sshd[7]: Invalid user x from 192.0.2.9",
        "host=  program=sshd  user=x",
    ),
    (
        "<38>Mar  1 10:00:00 aix1 auth|security:info sshd[7]: Invalid user x from 192.0.2.9",
        "host=aix1  program=sshd  user=x",
    ),
    (
        "<38>Mar  1 10:00:00 relay1 Message forwarded from aix1: sshd[7]: Invalid user x from 192.0.2.9",
        "host=aix1  relay_host=relay1  program=sshd  user=x",
    ),
    // Without a tag behind it, a level is a word of the message.
    (
        "<14>Mar  1 10:00:00 web1 error while reading",
        "host=web1  program=  MESSAGE=error while reading",
    ),
    // UniFi's device word, with and without host and time.
    (
        "<14>Mar  1 10:00:00 ap-2 00005e005301,U6-LR-6.5.62+14788: dropbear[9]: Bad password attempt for 'ann' from 192.0.2.9:5",
        "host=ap-2  program=dropbear  device_mac=00005e005301  device_model=U6-LR-6.5.62+14788  user=ann",
    ),
    (
        "<14>Mar  1 10:00:00 (\"US8,00005e005301,v5.0.16\") switch: TRAPMGR: Link Up: 3",
        "host=  program=switch  device_model=US8  MESSAGE=TRAPMGR: Link Up: 3",
    ),
    (
        "<14>flex 00005e005301,USW_FLEX-2.1.0: NETDEV: up",
        "host=flex  program=NETDEV  MESSAGE=up  PROBLEMS=time_missing",
    ),
    // A host has no comma, quote or bracket.
    (
        "<14>Mar  1 10:00:00 1,2026/03/01 10:00:00,0123,SYSTEM,general,0",
        "host=  MESSAGE=1,2026/03/01 10:00:00,0123,SYSTEM,general,0",
    ),
    (
        "Mar  1 10:00:00 web1 syslogd 1.5.0: restart.",
        "host=web1  program=syslogd  MESSAGE=restart.",
    ),
    (
        "Mar  1 10:00:00 syslogd 1.4.1: restart.",
        "host=  program=syslogd",
    ),
    // RFC 3164 times.
    (
        "<38>Mar  1 2026 10:00:00.25 web1 sshd[7]: m",
        "host=web1  TIME=2026-03-01T10:00:00.250000000Z",
    ),
    (
        "<38>Mar  1 10:00:00 2026 web1 sshd[7]: m",
        "host=web1  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>Sun Mar  1 10:00:00 2026 web1 sshd[7]: m",
        "host=web1  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>1 Mar 2026 10:00:00 web1 sshd[7]: m",
        "host=web1  program=sshd  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>2026:03:01-10:00:00 utm1 sshd[7]: m",
        "host=utm1  program=sshd  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<135> 03/01/2026:10:00:00 GMT ns1 0-PPE-0 : default TCP",
        "host=ns1  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>Mar  1 10:00:00 CEST web1 sshd[7]: m",
        "host=web1  TIME=2026-03-01T08:00:00.000000000Z",
    ),
    // A name with several meanings: the zone of the source applies.
    (
        "<38>Mar  1 10:00:00 CST web1 sshd[7]: m",
        "host=web1  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    // ISO without an offset, and with a comma.
    (
        "2026-03-01T10:00:00.912134 web1 sudo: pam_unix(sudo:session): session opened for user root by ann(uid=0)",
        "host=web1  program=sudo  user=ann  TIME=2026-03-01T10:00:00.912134000Z  PROBLEMS=",
    ),
    (
        "2026-03-01 10:00:00,250 web1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  user=x  TIME=2026-03-01T10:00:00.250000000Z",
    ),
    // RFC 5424, nearly.
    (
        "<38>1 2026-03-01T10:00:00Z web1 sshd 77 - Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  pid=77  user=x  PROBLEMS=unparsed  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>1 2026-03-01T10:00:00+0100 web1 sshd 77 - - Invalid user x from 192.0.2.9",
        "host=web1  user=x  PROBLEMS=  TIME=2026-03-01T09:00:00.000000000Z",
    ),
    (
        "<38>1  2026-03-01T10:00:00Z  web1 sshd  77 - -  Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  user=x  PROBLEMS=",
    ),
    (
        "<38>1 2026-03-01T10:00:00 web1 sshd 77 - - Invalid user x from 192.0.2.9",
        "host=web1  user=x  PROBLEMS=  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<38>2026-03-01T10:00:00Z web1 sshd 77 - - Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  pid=77  user=x  PROBLEMS=",
    ),
    (
        "1 2026-03-01T10:00:00Z web1 sshd 77 ID1 [a@1 b=\"c\"] Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  msgid=ID1  a@1.b=c  user=x  PROBLEMS=",
    ),
    (
        "<14>1 2026-03-01T10:00:00Z web1 app 1 - [unclosed data",
        "host=web1  program=app  pid=1  PROBLEMS=unparsed  MESSAGE=[unclosed data",
    ),
    (
        "<38>1 Mar  1 10:00:00 web1 sshd[77]: Invalid user x from 192.0.2.9",
        "host=web1  program=sshd  user=x  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    // Headers in headers: the innermost says host, program and time.
    (
        "<13>Mar  1 10:00:01 r1 <38>Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  relay_host=r1  program=sshd  severity=info  facility=auth  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<13>1 2026-03-01T10:00:01Z r1 - - - - <38>1 2026-03-01T10:00:00.5Z web1 sshd 7 - - Invalid user x from 192.0.2.9",
        "host=web1  relay_host=r1  pid=7  user=x  TIME=2026-03-01T10:00:00.500000000Z",
    ),
    (
        "<13>Mar  1 10:00:02 r2 <13>Mar  1 10:00:01 r1 <38>Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  relay_host=r2  program=sshd  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "2026-03-01T10:00:01Z 198.51.100.5 Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  relay_host=198.51.100.5  user=x  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    // A local line has no host; that of the forwarder stays.
    (
        "<13>Mar  1 10:00:01 web1 <38>Mar  1 10:00:00 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  relay_host=  program=sshd  user=x  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<13>Mar  1 10:00:01 web1 <38>sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  user=x",
    ),
    (
        "<14>Mar  1 10:00:00 gw1 gw1 gw1 app[3]: m",
        "host=gw1  program=app  relay_host=",
    ),
    // Behind a tag it is text that anyone may have typed.
    (
        "<13>Mar  1 10:00:01 web1 ann: <38>Mar  1 10:00:00 dc1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  program=ann  user=  src_ip=  relay_host=",
    ),
    (
        "<13>1 2026-03-01T10:00:01Z web1 logger - - - <38>Mar  1 10:00:00 dc1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  program=logger  user=",
    ),
    // A fifth header stays text.
    (
        "<1>Mar 01 10:00:00 a <1>Mar 01 10:00:00 b <1>Mar 01 10:00:00 c <1>Mar 01 10:00:00 d <1>Mar 01 10:00:00 e app: m",
        "host=d  program=  MESSAGE=<1>Mar 01 10:00:00 e app: m",
    ),
    // A time in a message is no header without a tag behind it.
    (
        "Mar  1 10:00:01 web1 2026-03-01T10:00:00Z something went wrong",
        "host=web1  MESSAGE=2026-03-01T10:00:00Z something went wrong",
    ),
    // Container runtimes.
    (
        "2026-03-01T10:00:00.5+01:00 stderr F Mar  1 09:00:00 web1 sshd[7]: Invalid user x from 192.0.2.9",
        "host=web1  stream=stderr  user=x  TIME=2026-03-01T09:00:00.000000000Z",
    ),
    (
        "2026-03-01T10:00:00.5Z stdout F 192.0.2.9 - ann [01/Mar/2026:10:00:00 +0000] \"GET /x HTTP/1.1\" 200 5",
        "host=  src_ip=192.0.2.9  cs-method=GET  SOURCE=webserver//",
    ),
    (
        "2026-03-01T10:00:00.5Z stdout P half a li",
        "host=  MESSAGE=half a li  PROBLEMS=truncated  TIME=2026-03-01T10:00:00.500000000Z",
    ),
    (
        "2026-03-01T10:00:00.5Z stdout F plain words",
        "host=  MESSAGE=plain words  PROBLEMS=",
    ),
    // Meraki.
    (
        "<134>1 1772359200.25 mx1 flows src=192.0.2.9 dst=198.51.100.4 protocol=tcp sport=5 dport=443 pattern: deny all",
        "host=mx1  src_ip=192.0.2.9  dst_port=443  action=deny  TIME=2026-03-01T10:00:00.250000000Z  SOURCE=firewall/meraki/",
    ),
];

#[test]
fn read_bent_headers() {
    check_all(LINES);
}

/// Headers of Cisco devices: counters, hosts, marks, years, zones and nodes in any order.
const CISCO: &[(&str, &str)] = &[
    (
        "<189>8: 00:20:10: %SYS-5-X: m",
        "seq=8  host=  PROBLEMS=time_missing",
    ),
    (
        "<189>8: 2w3d: %SYS-5-X: m",
        "seq=8  host=  PROBLEMS=time_missing",
    ),
    (
        "<189>8: *Mar  1 2026 10:00:00.25 UTC: %SYS-5-X: m",
        "TIME=2026-03-01T10:00:00.250000000Z",
    ),
    (
        "<189>8: sw1: .Mar  1 10:00:00.25 GMT: %SYS-5-X: m",
        "host=sw1  TIME=2026-03-01T10:00:00.250000000Z",
    ),
    (
        "<189>8: sw1: 9: Mar  1 2026 10:00:00 CET: %SYS-5-X: m",
        "host=sw1  seq=8  TIME=2026-03-01T09:00:00.000000000Z",
    ),
    (
        "<189>: 2026 Mar  1 10:00:00 UTC: %ETHPORT-5-IF_UP: m",
        "SOURCE=/cisco/  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<189>: nx1: 2026 Mar  1 10:00:00.5 UTC: %ETHPORT-5-IF_UP: m",
        "host=nx1  msgid=ETHPORT-5-IF_UP",
    ),
    (
        "<189>9: xr1 RP/0/RSP0/CPU0:Mar  1 10:00:00.25 : pim[12]: %ROUTING-IPV4_PIM-5-NBRCHG : m",
        "host=xr1  program=pim  pid=12  TIME=2026-03-01T10:00:00.250000000Z  msgid=ROUTING-IPV4_PIM-5-NBRCHG",
    ),
    (
        "<166>Mar  1 2026 10:00:00 fw1: %ASA-4-106023: m",
        "host=fw1  program=  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<166>:Mar 01 10:00:00 EDT: %ASA-session-6-605004: m",
        "host=  program=  TIME=2026-03-01T14:00:00.000000000Z",
    ),
    (
        "<164>Mar  1 10:00:00 UTC fp1 : %FTD-4-106023: m",
        "host=fp1",
    ),
    (
        "Mar  1 10:00:01 192.0.2.2 585917: Mar  1 10:00:00.272: %SEC-6-X: m",
        "host=192.0.2.2  program=  TIME=2026-03-01T10:00:00.272000000Z",
    ),
    (
        "<13>Mar  1 10:00:01 r1 <189>585917: sw1: Mar  1 10:00:00: %SEC-6-X: m",
        "host=sw1  relay_host=r1  severity=notice  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "2026-03-01T10:00:01Z r1 sw1: Mar  1 10:00:00: %SEC-6-X: m",
        "host=sw1  relay_host=r1",
    ),
    // A program that quotes a message id names no host.
    (
        "<13>Mar  1 10:00:01 web1 dc1: %ASA-4-106023: m",
        "host=web1  program=dc1",
    ),
    // A percent sign in prose is no message id.
    (
        "<13>Mar  1 10:00:01 web1 app: 90 %used of A-B-C",
        "host=web1  program=app  SOURCE=//",
    ),
];

#[test]
fn read_headers_of_cisco_devices() {
    check_all(CISCO);
}

fn check_all(lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let expected: Vec<_> = expected
            .split("  ")
            .filter_map(|pair| pair.split_once('='))
            .collect();
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}

/// A local time without an offset takes the zone of the source in every form of header.
#[test]
fn bent_times_take_the_zone_of_the_source() {
    let berlin = Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..context(Format::Auto)
    };
    for start in [
        "<13>2026-03-01T10:00:00",
        "<13>Mar  1 10:00:00",
        "<13>Mar  1 2026 10:00:00 CST",
        "<13>2026:03:01-10:00:00",
        "<13>1 2026-03-01T10:00:00",
    ] {
        let line = format!("{start} web1 app 1 - - m");
        let event = decode(line.as_bytes(), &berlin);
        assert_eq!(event.time.0, 1_772_355_600_000_000_000, "{line}");
    }
}

/// A datagram with several lines is one event, and says so.
#[test]
fn several_lines_in_a_frame_are_a_problem() {
    let frame = "<14>Mar  1 10:00:00 h app: one\n<14>Mar  1 10:00:00 h app: two";
    let expected = [("program", "app"), ("PROBLEMS", "unparsed")];
    check(frame.as_bytes(), &context(Format::Auto), &expected);
    let frame = "2026-03-01T10:00:00Z h app: one\n2026-03-01T10:00:00Z h app: two";
    check(frame.as_bytes(), &context(Format::Auto), &expected);
    // A trace of several lines is one message.
    let frame = "<14>Mar  1 10:00:00 h app: one\n  at two\nthree";
    check(
        frame.as_bytes(),
        &context(Format::Auto),
        &[("PROBLEMS", "")],
    );
}
