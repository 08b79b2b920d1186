//! Messages of firewalls, switches and other appliances: the fields that each reader extracts, and
//! that no text chosen by a client can fake an address or a user.

mod common;

use weir_schema::Format;

use common::{check, context};

/// Lines, and parts of their events in the form `name=value`, which two spaces separate.
const CISCO: &[(&str, &str)] = &[
    // Outbound, the second end began the connection.
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-302013: Built outbound TCP connection 1 for outside:203.0.113.5/443 (203.0.113.5/443) to inside:10.0.0.7/50000 (198.51.100.1/50000)",
        "src_ip=10.0.0.7  src_port=50000  dst_ip=203.0.113.5  dst_port=443  action=connect  SOURCE=firewall/cisco/",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-302015: Built inbound UDP connection 1 for outside:203.0.113.5/53 (203.0.113.5/53)(LOCAL\\ann) to inside:10.0.0.7/50000 (198.51.100.1/50000)",
        "src_ip=203.0.113.5  src_port=53  dst_ip=10.0.0.7  dst_port=50000  user=ann",
    ),
    (
        "<165>Mar 01 2026 10:00:00 fw1 : %ASA-5-106100: access-list in denied tcp inside/10.0.0.7(2241) -> outside/203.0.113.5(22) hit-cnt 1 first hit [0x0, 0x0]",
        "src_ip=10.0.0.7  src_port=2241  dst_ip=203.0.113.5  dst_port=22  action=deny  outcome=failure",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-302020: Built inbound ICMP connection for faddr 203.0.113.5/0 gaddr 198.51.100.1/0 laddr 10.0.0.7/0",
        "src_ip=203.0.113.5  dst_ip=10.0.0.7  src_port=  dst_port=",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-302020: Built outbound ICMP connection for faddr 203.0.113.5/0 gaddr 198.51.100.1/0 laddr 10.0.0.7/0",
        "src_ip=10.0.0.7  dst_ip=203.0.113.5",
    ),
    (
        "<162>Mar 01 2026 10:00:00 fw1 : %ASA-2-106016: Deny IP spoof from (203.0.113.5) to 10.0.0.7 on interface outside",
        "src_ip=203.0.113.5  dst_ip=10.0.0.7  action=deny",
    ),
    (
        "<164>Mar 01 2026 10:00:00 fw1 : %ASA-4-313004: Denied ICMP type=0, from laddr 10.0.0.7 on interface inside to 203.0.113.5: no matching session",
        "src_ip=10.0.0.7  dst_ip=203.0.113.5",
    ),
    (
        "<165>Mar 01 2026 10:00:00 fw1 : %ASA-5-304001: ann@10.0.0.7 Accessed URL 203.0.113.5:http://www.example.org/x",
        "src_ip=10.0.0.7  dst_ip=203.0.113.5  user=ann  url=http://www.example.org/x  action=access",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-113039: Group VPN User ann IP 203.0.113.5 AnyConnect parent session started.",
        "user=ann  src_ip=203.0.113.5  action=login  outcome=success",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-113039: Group <VPN> User <ann> IP <203.0.113.5> AnyConnect parent session started.",
        "user=ann  src_ip=203.0.113.5  action=login  outcome=success",
    ),
    (
        "<166>Mar 01 2026 10:00:00 fw1 : %ASA-6-611102: User authentication failed: IP address: 203.0.113.5, Uname: ann",
        "user=ann  src_ip=203.0.113.5  action=login  outcome=failure",
    ),
    (
        "<113>Mar 01 2026 10:00:00 ftd1 : %FTD-1-430003: AccessControlRuleAction: Block, SrcIP: 203.0.113.5, DstIP: 10.0.0.7, SrcPort: 4000, DstPort: 22, User: ann, URL: http://x/, SrcIP: 6.6.6.6",
        "src_ip=203.0.113.5  dst_ip=10.0.0.7  src_port=4000  dst_port=22  user=ann  action=block  outcome=failure  SOURCE=firewall/cisco/",
    ),
    (
        "<113>Mar 01 2026 10:00:00 ftd1 : %NGIPS-1-430002: AccessControlRuleAction: Allow, SrcIP: 203.0.113.5, DstIP: 10.0.0.7, User: No Authentication Required",
        "action=allow  outcome=success  user=",
    ),
    (
        "<189>236: sw1: Mar 01 10:00:00.861: %SYS-5-CONFIG_I: Configured from console by ann on vty0 (203.0.113.5)",
        "host=sw1  user=ann  src_ip=203.0.113.5  action=configure",
    ),
    (
        "<190>237: sw1: Mar 01 10:00:00.861: %SYS-6-LOGOUT: User ann has exited tty session 1(203.0.113.5)",
        "user=ann  src_ip=203.0.113.5  action=session_close",
    ),
    (
        "<189>: 2026 Mar 01 10:00:00 UTC: %VSHD-5-VSHD_SYSLOG_CONFIG_I: Configured from vty by ann on 203.0.113.5@pts/0",
        "user=ann  src_ip=203.0.113.5  action=configure",
    ),
    (
        "<187>: 2026 Mar 01 10:00:00 UTC: %DAEMON-3-SYSTEM_MSG: error: PAM: Authentication failure for illegal user ann from 203.0.113.5 - dcos_sshd[12]",
        "user=ann  src_ip=203.0.113.5  action=login  outcome=failure",
    ),
    (
        "<188>9: RP/0/RSP0/CPU0:Mar 01 10:00:00.1 : exec[12]: %SECURITY-LOGIN-4-AUTHEN_FAILED : Failed authentication attempt by user 'ann' from '203.0.113.5' on 'vty0'",
        "user=ann  src_ip=203.0.113.5  action=login  outcome=failure  program=exec",
    ),
    (
        "<189>9: sw1: Mar 01 10:00:00: %SSH-5-SSH2_USERAUTH: User 'ann' authentication for SSH2 Session from 203.0.113.5 (tty = 0) using crypto cipher 'a', hmac 'b' Failed",
        "user=ann  src_ip=203.0.113.5  outcome=failure",
    ),
    (
        "<189>9: sw1: Mar 01 10:00:00: %PARSER-5-CFGLOG_LOGGEDCMD: User:ann  logged command:no logging on",
        "user=ann  action=command  command=no logging on",
    ),
    (
        "<190>9: sw1: Mar 01 10:00:00: %SEC-6-IPACCESSLOGS: list 10 denied 203.0.113.5 1 packet",
        "src_ip=203.0.113.5  action=deny  SOURCE=firewall/cisco/",
    ),
];

const OTHERS: &[(&str, &str)] = &[
    (
        "<14>Mar 01 10:00:00 pa1 1,2026/03/01 10:00:00,0123,THREAT,url,2561,2026/03/01 10:00:00,203.0.113.5,10.0.0.7,0.0.0.0,0.0.0.0,block,example\\ann,,web-browsing,vsys1,untrust,trust,ae1,ae2,fwd,2026/03/01 10:00:00,1,1,4022,80,0,0,0x0,tcp,block-url,\"www.example.org/a,b\",(9999),malware,high,client-to-server",
        "SOURCE=firewall/paloalto/  src_ip=203.0.113.5  dst_port=80  user=example\\ann  action=block-url  outcome=failure  misc=www.example.org/a,b  threat_severity=high",
    ),
    (
        "1,2026/03/01 10:00:00,0123,SYSTEM,auth,0,2026/03/01 10:00:00,,auth-fail,,0,0,general,medium,\"failed authentication for user 'ann'.  Reason: Invalid username/password. From: 203.0.113.5.\",1,0x0",
        "SOURCE=/paloalto/  host=  user=ann  src_ip=203.0.113.5  action=login  outcome=failure  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    (
        "<14>Mar 01 10:00:00 pa1 1,2026/03/01 10:00:00,0123,GLOBALPROTECT,0,2561,2026/03/01 10:00:00,vsys1,gateway-auth,login,LDAP,,ann,DE,pc1,203.0.113.5,0.0.0.0,10.0.0.7,0.0.0.0,h,s,6.0,Windows,11,1,,,,failure,,1",
        "SOURCE=/paloalto/globalprotect  user=ann  src_ip=203.0.113.5  src_host=pc1  action=login  outcome=failure",
    ),
    (
        "<134>1 2026-03-01T10:00:00Z cp1 CheckPoint 7 - [action:\"Drop\"; product:\"VPN-1 & FireWall-1\"; s_port:\"4022\"; service:\"22\"; src:\"203.0.113.5\"; dst:\"10.0.0.7\"; ]",
        "host=cp1  program=CheckPoint  src_ip=203.0.113.5  dst_ip=10.0.0.7  src_port=4022  dst_port=22  outcome=failure  PROBLEMS=",
    ),
    (
        "<134>Mar 01 10:00:00 pf1 filterlog[3]: 5,,,1000000103,igb0,match,block,in,6,0x00,0x00000,255,UDP,17,32,2001:db8::1,2001:db8::2,53,4022,12",
        "src_ip=2001:db8::1  dst_ip=2001:db8::2  src_port=53  dst_port=4022  action=block  SOURCE=firewall//filterlog",
    ),
    (
        "<134>Mar 01 10:00:00 pf1 filterlog[3]: 97,,,1,em0,match,pass,in,4,0x0,,243,734,0,none,1,icmp,40,203.0.113.5,10.0.0.7,request,1,2",
        "src_ip=203.0.113.5  dst_ip=10.0.0.7  src_port=  proto=icmp  outcome=success",
    ),
    (
        "<30>Mar 01 10:00:00 r1 system,info,account user ann logged in from 203.0.113.5 via winbox",
        "SOURCE=/mikrotik/  user=ann  src_ip=203.0.113.5  action=login  outcome=success",
    ),
    // The name of a user imitates the rest of the line.
    (
        "<30>Mar 01 10:00:00 r1 system,error,critical login failure for user x from 6.6.6.6 via ssh from 203.0.113.5 via ssh",
        "user=x from 6.6.6.6 via ssh  src_ip=203.0.113.5  outcome=failure",
    ),
    (
        "<30>Mar 01 10:00:00 r1 firewall,info drop-all forward: in:ether1 out:bridge, src-mac 00:00:5e:00:53:01, proto TCP (SYN), 203.0.113.5:4022->10.0.0.7:22, len 44",
        "SOURCE=firewall/mikrotik/  src_ip=203.0.113.5  dst_ip=10.0.0.7  dst_port=22  action=drop  proto=TCP",
    ),
    (
        "<14>Mar 01 10:00:00 srx1 RT_FLOW: RT_FLOW_SESSION_CREATE: session created 203.0.113.5/4022->10.0.0.7/22 0x0 junos-ssh 203.0.113.5/4022->10.0.0.7/22 0x0 N/A",
        "SOURCE=firewall/juniper/  src_ip=203.0.113.5  dst_ip=10.0.0.7  dst_port=22  action=connect",
    ),
    (
        "<135> 03/01/2026:10:00:00 GMT ns1 0-PPE-1 : default AAA LOGIN_FAILED 9 0 :  User ann - Client_ip 203.0.113.5 - Failure_reason \"External auth server denied access\" - Browser curl",
        "SOURCE=/citrix/  host=ns1  user=ann  src_ip=203.0.113.5  action=login  outcome=failure",
    ),
    (
        "<14>Mar 01 10:00:00 dc1 MSWinEventLog\t1\tSecurity\t6\tSun Mar 01 10:00:00 2026\t4624\tMicrosoft-Windows-Security-Auditing\tEXAMPLE\\ann\tN/A\tSuccess Audit\tdc1\tLogon\t\tAn account was successfully logged on.    Subject:   Account Name:  DC1$   Logon Type:  3   New Logon:   Account Name:  ann   Account Domain:  EXAMPLE   Network Information:   Source Network Address: 203.0.113.5   Source Port:  51234\t9",
        "SOURCE=/windows/  EventID=4624  Channel=Security  SubjectUserName=DC1$  TargetUserName=ann  IpAddress=203.0.113.5  LogonType=3  host=dc1  relay_host=",
    ),
    (
        "1772359200.250    123 203.0.113.5 TCP_MISS/200 4512 GET http://www.example.org/x ann HIER_DIRECT/198.51.100.1 text/html",
        "SOURCE=proxy/squid/  src_ip=203.0.113.5  cs-method=GET  cs-username=ann  sc-status=200  dst_ip=198.51.100.1  TIME=2026-03-01T10:00:00.250000000Z",
    ),
    // Times among pairs, with the zone that the line states.
    (
        "<30>device=\"SFW\" date=2026-03-01 time=11:00:00 timezone=\"CET\" device_name=\"XG01\" user_name=\"ann\" src_ip=203.0.113.5",
        "TIME=2026-03-01T10:00:00.000000000Z  host=XG01  PROBLEMS=",
    ),
    (
        "<134>id=firewall sn=0017 time=\"2026-03-01 10:00:00 UTC\" fw=198.51.100.1 usr=\"ann\" src=203.0.113.5:0:X1",
        "TIME=2026-03-01T10:00:00.000000000Z  PROBLEMS=",
    ),
    (
        "<134>a=1 b=2 ts=1772359200.25",
        "TIME=2026-03-01T10:00:00.250000000Z",
    ),
    (
        "<134>Mar 01 10:00:05 h a=1 b=2 timestamp=2026-03-01T10:00:00Z",
        "TIME=2026-03-01T10:00:00.000000000Z",
    ),
    // A number that counts something else is no time.
    ("<134>a=1 b=2 ts=17", "PROBLEMS=time_missing"),
    // CEF: a key is a word behind a space; the damage of a bare `=` stays within its value.
    (
        "CEF:0|V|P|1|1|n|5|rt=Mar 01 2026 12:00:00 GMT+02:00 src=203.0.113.5 pub=Zm9vYmFy= psk=YmF6cXV4==",
        "TIME=2026-03-01T10:00:00.000000000Z  src=203.0.113.5  pub=Zm9vYmFy=  psk=YmF6cXV4==",
    ),
    (
        "CEF:0|V|P|1|1|n|5|request=http://x/?src=6.6.6.6&b=1 src=203.0.113.5 rt=1772359200250",
        "src=203.0.113.5  request=http://x/?src=6.6.6.6&b=1  TIME=2026-03-01T10:00:00.250000000Z",
    ),
    (
        "<13>Mar 01 10:00:05 av1 CEF:0|V|P|1|1|n|5|rt=2026-03-01T10:00:00Z src=203.0.113.5",
        "TIME=2026-03-01T10:00:00.000000000Z  host=av1",
    ),
    ("CEF:0|V|P|1|1|n|5|dvchost=av2 src=203.0.113.5", "host=av2"),
    (
        "LEEF:1.0|Palo Alto Networks|PAN-OS Syslog Integration|8.1|x|src=203.0.113.5|dst=10.0.0.7|usrName=ann",
        "src=203.0.113.5  dst=10.0.0.7  usrName=ann",
    ),
    (
        "LEEF:1.0|V|P|1|1|src=203.0.113.5#011devTime=Mar 01 2026 10:00:00#011usrName=ann",
        "src=203.0.113.5  usrName=ann  TIME=2026-03-01T10:00:00.000000000Z",
    ),
    // The packet that an ICMP error answers is not the packet.
    (
        "Mar 01 10:00:00 fw kernel: DROP IN=eth0 OUT= SRC=203.0.113.5 DST=10.0.0.7 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.0.0.7 DST=203.0.113.5 PROTO=UDP SPT=21458 DPT=53 ]",
        "src_ip=203.0.113.5  dst_ip=10.0.0.7  src_port=  dst_port=  PROTO=ICMP",
    ),
    (
        "Mar 01 10:00:00 web1 sshd[77]: Disconnected from user ann 203.0.113.7 port 44708",
        "user=ann  src_ip=203.0.113.7  src_port=44708  outcome=",
    ),
    (
        "Mar 01 10:00:00 web1 useradd[77]: new user: name=eve, UID=0, GID=0, home=/home/eve, shell=/bin/sh, from=none",
        "user=eve  uid=0  action=user_add  outcome=success",
    ),
    (
        "Mar 01 10:00:00 web1 usermod[7]: add 'ann' to group 'wheel'",
        "user=ann  group=wheel  action=group_member_add",
    ),
];

#[test]
fn read_appliances() {
    for (line, expected) in CISCO.iter().chain(OTHERS) {
        let expected: Vec<_> = expected
            .split("  ")
            .filter_map(|pair| pair.split_once('='))
            .collect();
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}
