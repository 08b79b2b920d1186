//! Products whose messages are pairs, columns or short texts: log source, user, addresses, outcome.

mod common;

use weir_schema::Format;

use common::{check, context};

/// Lines, and parts of their events in the form `name=value`, which two spaces separate.
const PRODUCTS: &[(&str, &str)] = &[
    // FortiGate
    (
        "<189>date=2026-03-01 time=10:00:00 devname=\"FW1\" devid=\"FG1\" logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" srcip=192.0.2.9 srcport=4022 dstip=198.51.100.7 dstport=22 action=\"deny\"",
        "SOURCE=firewall/fortigate/traffic  host=FW1  src_ip=192.0.2.9  src_port=4022  dst_ip=198.51.100.7  dst_port=22  action=deny  outcome=failure",
    ),
    (
        "date=2026-03-01 time=10:00:00 devname=FW1 devid=FG1 logid=0100032002 type=event subtype=system user=\"ann\" ui=https(192.0.2.9) action=login status=failed msg=\"Administrator ann login failed from https(6.6.6.6)\"",
        "SOURCE=/fortigate/event  user=ann  src_ip=192.0.2.9  action=login  outcome=failure",
    ),
    (
        "date=2026-03-01 time=10:00:00 devname=FW1 devid=FG1 logid=0101039426 type=event subtype=vpn action=\"ssl-login-fail\" remip=192.0.2.9 user=\"ann\" msg=\"SSL user failed to logged in\"",
        "user=ann  src_ip=192.0.2.9  outcome=failure",
    ),
    // SonicWall
    (
        "<134>id=firewall sn=0017 time=\"2026-03-01 10:00:00 UTC\" fw=198.51.100.1 pri=1 c=32 m=30 msg=\"Administrator login denied due to bad credentials\" n=7 usr=\"ann\" src=192.0.2.9:4022:X1 dst=198.51.100.1:443:X1:fw.example.org",
        "SOURCE=firewall/sonicwall/  user=ann  src_ip=192.0.2.9  src_port=4022  dst_ip=198.51.100.1  dst_port=443  action=login  outcome=failure",
    ),
    (
        "id=firewall sn=0017 time=\"2026-03-01 10:00:00 UTC\" fw=198.51.100.1 pri=5 c=512 m=1233 msg=\"IPv6 packet dropped\" n=5 srcV6=2001:db8::9 src=:4022:X0 dstV6=2001:db8::7 dst=:5355 proto=udp/5355",
        "src_ip=2001:db8::9  src_port=4022  dst_ip=2001:db8::7  dst_port=5355  outcome=failure",
    ),
    // Sophos
    (
        "<30>device=\"SFW\" date=2026-03-01 time=10:00:00 timezone=\"UTC\" device_name=\"XG01\" device_id=S1 log_id=010102600002 log_type=\"Firewall\" log_component=\"Firewall Rule\" log_subtype=\"Denied\" status=\"Deny\" user_name=\"ann\" src_ip=192.0.2.9 dst_ip=198.51.100.7 protocol=\"TCP\" src_port=4022 dst_port=22",
        "SOURCE=firewall/sophos/  host=XG01  user=ann  src_ip=192.0.2.9  dst_ip=198.51.100.7  src_port=4022  dst_port=22  outcome=failure",
    ),
    // Cisco ISE
    (
        "<181>Mar  1 10:00:05 ise1 CISE_Failed_Attempts 0002315431 1 0 2026-03-01 10:00:00.232 +00:00 0003426523 5400 NOTICE Failed-Attempt: Authentication failed, ConfigVersionId=199, Device IP Address=198.51.100.2, UserName=ann\\, NAS-IP-Address=6.6.6.6, Calling-Station-ID=00-00-5E-00-53-01, NAS-IP-Address=198.51.100.2, Remote-Address=192.0.2.9",
        "SOURCE=/cisco/ise  host=ise1  user=ann, NAS-IP-Address=6.6.6.6  src_ip=192.0.2.9  dst_ip=198.51.100.2  src_mac=00-00-5E-00-53-01  action=login  outcome=failure  msgid=5400  TIME=2026-03-01T10:00:00.232000000Z  PROBLEMS=",
    ),
    (
        "<181>Mar  1 10:00:05 ise1 CISE_Passed_Authentications 0002315433 2 1 StepData=4, Response=x",
        "SOURCE=/cisco/ise  PROBLEMS=truncated  outcome=",
    ),
    // WatchGuard
    (
        "<134>Mar  1 10:00:05 fw1 (2026-03-01T10:00:00) firewall: msg_id=\"3000-0148\" Deny 0-External Firebox 36 tcp 20 117 192.0.2.9 198.51.100.7 44123 22 (Unhandled External Packet-00)",
        "SOURCE=firewall/watchguard/  host=fw1  program=firewall  src_ip=192.0.2.9  dst_ip=198.51.100.7  src_port=44123  dst_port=22  action=deny  outcome=failure  PROBLEMS=",
    ),
    (
        "<134>Mar  1 10:00:05 fw1 (2026-03-01T10:00:00) admd[12]: msg_id=\"1100-0005\" Authentication of Firewall user [x] from 6.6.6.6 was accepted@Firebox-DB] from 192.0.2.9 was rejected, password is incorrect",
        "program=admd  pid=12  src_ip=192.0.2.9  user=x] from 6.6.6.6 was accepted@Firebox-DB  action=login  outcome=failure",
    ),
    // Aruba
    (
        "<124>Mar  1 10:00:00 2026 mc1 authmgr[3456]: <522275> <3456> <WARN> |authmgr|  User Authentication failed. username=x userip=6.6.6.6 userip=192.0.2.9 usermac=00:00:5e:00:53:01 servername=rad1 serverip=198.51.100.2",
        "SOURCE=/aruba/  host=mc1  program=authmgr  user=x userip=6.6.6.6  src_ip=192.0.2.9  src_mac=00:00:5e:00:53:01  dst_ip=198.51.100.2  action=login  outcome=failure",
    ),
    (
        "<124>Mar  1 10:00:00 mc1 authmgr[3456]: <522008> <3456> <NOTI> |authmgr|  User Authentication Successful: username=x userip=6.6.6.6 MAC=00:00:5e:00:53:01 IP=192.0.2.9 role=staff",
        "user=x userip=6.6.6.6  src_ip=192.0.2.9  src_mac=00:00:5e:00:53:01  outcome=success",
    ),
    (
        "<14>Mar  1 10:00:00 sw1 00419 auth: Invalid user name/password on SSH session User 'ann' is trying to login from 192.0.2.9",
        "SOURCE=/aruba/  host=sw1  user=ann  src_ip=192.0.2.9  action=login  outcome=failure",
    ),
    (
        "<190>Mar  1 10:00:00 sw1 hpe-restd[77]: Event|4655|LOG_INFO|AMM|-|Session created for user ann from 192.0.2.9",
        "SOURCE=/aruba/  user=ann  src_ip=192.0.2.9  action=session_open  msgid=4655",
    ),
    // Umbrella
    (
        "\"2026-03-01 10:00:00\",\"ann\",\"ann,pc1\",\"10.0.0.7\",\"203.0.113.5\",\"Blocked\",\"1 (A)\",\"NOERROR\",\"www.example.org.\",\"Malware\",\"AD Users\",\"AD Users,Roaming Computers\",\"Malware\"",
        "SOURCE=dns/umbrella/  TIME=2026-03-01T10:00:00.000000000Z  src_ip=10.0.0.7  external_ip=203.0.113.5  query=www.example.org  record_type=A  action=block  outcome=failure  PROBLEMS=",
    ),
    (
        "\"2026-03-01 10:00:00\",\"ann\",\"10.0.0.7\",\"203.0.113.5\",\"198.51.100.7\",\"text/html\",\"ALLOWED\",\"http://www.example.org/x\",\"\",\"curl/8\",\"200\",\"90\",\"512\",\"512\"",
        "SOURCE=proxy/umbrella/  src_ip=10.0.0.7  dst_ip=198.51.100.7  url=http://www.example.org/x  sc-status=200  action=allow",
    ),
    // Web interfaces of firewalls
    (
        "<35>Mar  1 10:00:00 pf1 php-fpm[374]: /index.php: webConfigurator authentication error for user 'x' from: 6.6.6.6' from: 192.0.2.9",
        "SOURCE=/pfsense/  user=x' from: 6.6.6.6  src_ip=192.0.2.9  action=login  outcome=failure",
    ),
    (
        "<35>1 2026-03-01T10:00:00Z opn1 audit 24409 - [meta sequenceId=\"4\"] /index.php: Web GUI authentication error for 'ann' from 192.0.2.9",
        "SOURCE=/opnsense/  host=opn1  user=ann  src_ip=192.0.2.9  action=login  outcome=failure",
    ),
    // Check Point: a name with a colon of its own, and a value that imitates pairs.
    (
        "<134>1 2026-03-01T10:00:00Z cp1 CheckPoint 7 - [action:\"Reject\"; ike::\"Main Mode\"; src:\"192.0.2.9\"; dst:\"198.51.100.7\"; resource:\"x\"; src:\"6.6.6.6\"; ]",
        "SOURCE=firewall/checkpoint/  ike=Main Mode  src_ip=  src=  dst_ip=198.51.100.7  outcome=failure  PROBLEMS=unparsed",
    ),
    // Juniper with structured data
    (
        "<14>1 2026-03-01T10:00:00Z srx1 RT_FLOW - RT_FLOW_SESSION_DENY [junos@2636.1.1.1.2.39 source-address=\"192.0.2.9\" source-port=\"4022\" destination-address=\"198.51.100.7\" destination-port=\"22\" username=\"N/A\"]",
        "SOURCE=firewall/juniper/  host=srx1  src_ip=192.0.2.9  src_port=4022  dst_ip=198.51.100.7  dst_port=22  action=deny  outcome=failure",
    ),
    // A Windows event in structured data; the header says the host.
    (
        "<14>1 2026-03-01T10:00:00Z dc1 Microsoft-Windows-Security-Auditing 572 - [NXLOG@14506 EventID=\"4625\" Channel=\"Security\" Hostname=\"evil\" TargetUserName=\"ann\" IpAddress=\"192.0.2.9\"] An account failed to log on.",
        "SOURCE=/windows/  host=dc1  Computer=dc1  EventID=4625  Channel=Security  TargetUserName=ann  IpAddress=192.0.2.9  Provider_Name=Microsoft-Windows-Security-Auditing  relay_host=  PROBLEMS=",
    ),
];

#[test]
fn read_products() {
    for (line, expected) in PRODUCTS {
        let pairs = expected.split("  ").filter_map(|pair| pair.split_once('='));
        let expected: Vec<_> = pairs.collect();
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}
