//! The rows of products that readers of their own read, and of gaps that are known.

use super::rows::Row;

/// A row whose name ends with `gap` states what Weir does not read, and why it must not guess.
pub const PRODUCTS: &[Row] = &[
    (
        "G03",
        "i31-json-in-syslog.log",
        &[3],
        "host=dc01.example  EventID=4625  Channel=Security  TargetUserName=jdoe  IpAddress=192.0.2.9  SOURCE=/windows/  PROBLEMS=",
    ),
    ("G03", "i31-json-in-syslog.log", &[1], "SOURCE=/suricata/"),
    (
        "G33",
        "i03-fortinet.log",
        &[4],
        "user=jdoe  src_ip=192.0.2.44  action=login  outcome=failure  SOURCE=/sophos/",
    ),
    (
        "G33",
        "i03-fortinet.log",
        &[3],
        "src_ip=192.0.2.44  dst_port=443  action=deny  outcome=failure  SOURCE=firewall/fortigate/traffic",
    ),
    (
        "G33",
        "i03b-forti-zone.log",
        &[3],
        "user=jdoe  src_ip=192.0.2.44  dst_ip=198.51.100.1  dst_port=443  outcome=failure  SOURCE=firewall/sonicwall/",
    ),
    (
        "G32",
        "i03b-forti-zone.log",
        &[1, 2],
        "host=FW02  user=jdoe  src_ip=192.0.2.44  outcome=failure  SOURCE=/fortigate/event",
    ),
    (
        "G34 gap",
        "i33-relays.log",
        &[5],
        "host=ls1  program=LOGSTASH  user=  SOURCE=//",
    ),
    (
        "G34 gap",
        "i33-relays.log",
        &[8],
        "host=vmx  program=tvcs  SOURCE=//",
    ),
    ("G05", "i12-containers.log", &[2], "host=  stream=stdout"),
    (
        "G39",
        "i34-checkpoint-rsa.log",
        &[5, 6, 7],
        "host!  program!",
    ),
    (
        "G39 gap",
        "i34-checkpoint-rsa.log",
        &[2],
        "host=  program=  SOURCE=//",
    ),
    (
        "Cisco ISE",
        "i02-cisco-ise.log",
        &[1, 2],
        "host=ise-1  user=jdoe  action=login  outcome=failure  SOURCE=/cisco/ise  PROBLEMS=",
    ),
    (
        "WatchGuard",
        "i35-quoted-pairs.log",
        &[4],
        "host=fw1  program=firewall  src_ip=192.0.2.9  dst_ip=198.51.100.7  src_port=44123  dst_port=22  action=deny",
    ),
    (
        "SonicWall",
        "i35-quoted-pairs.log",
        &[5],
        "src_ip=192.0.2.2  src_port=36701  dst_port=50000",
    ),
    (
        "Juniper",
        "i07-juniper.log",
        &[1],
        "src_ip=192.0.2.4  dst_ip=198.51.100.8  dst_port=2003  action=deny  outcome=failure  SOURCE=firewall/juniper/",
    ),
    (
        "Juniper",
        "i07-juniper.log",
        &[2],
        "src_ip=192.0.2.4  dst_ip=198.51.100.8  dst_port=22  action=deny  SOURCE=firewall/juniper/",
    ),
    (
        "G35",
        "i06-meraki.log",
        &[4],
        "src_ip=198.51.100.18  dst_ip=192.0.2.15",
    ),
];
