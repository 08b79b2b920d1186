//! The lines of the matrix: what a program, a device or a recorder writes.

/// A line, and its parts if it has a syslog header.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The program or product.
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A message of a program on the host `web1`, at 10:00:00 on 1 March 2026.
    Message {
        program: &'static str,
        pid: Option<&'static str>,
        text: &'static str,
    },
    /// A line of a device with a header of its own.
    Device(&'static str),
    /// A JSON object.
    Object(&'static str),
}

const fn message(program: &'static str, pid: &'static str, text: &'static str) -> Line {
    Line {
        name: program,
        kind: Kind::Message {
            program,
            pid: if pid.is_empty() { None } else { Some(pid) },
            text,
        },
    }
}

const fn device(name: &'static str, line: &'static str) -> Line {
    Line {
        name,
        kind: Kind::Device(line),
    }
}

const fn object(name: &'static str, line: &'static str) -> Line {
    Line {
        name,
        kind: Kind::Object(line),
    }
}

pub const LINES: [Line; 38] = [
    message(
        "sshd",
        "77",
        "message repeated 5 times: [ Failed password for root from 192.0.2.9 port 4022 ssh2]",
    ),
    message(
        "sudo",
        "",
        "message repeated 2 times: [     ann : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/ls]",
    ),
    message(
        "sshd",
        "77",
        "Failed password for root from 192.0.2.9 port 4022 ssh2",
    ),
    message(
        "sshd",
        "77",
        "Failed password for invalid user ann from 2001:db8::9 port 4022 ssh2",
    ),
    message(
        "sshd",
        "77",
        "Accepted publickey for ann from 192.0.2.9 port 4022 ssh2: ED25519 SHA256:abc",
    ),
    message(
        "sshd-session",
        "78",
        "Invalid user ann from 192.0.2.9 port 4022",
    ),
    message(
        "sudo",
        "",
        "     ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/cat /etc/shadow",
    ),
    message(
        "sudo",
        "",
        "pam_unix(sudo:session): session opened for user root by ann(uid=0)",
    ),
    message("su", "9", "FAILED SU (to root) ann on pts/1"),
    message(
        "login",
        "5",
        "pam_unix(login:auth): authentication failure; logname= uid=0 euid=0 tty=tty1 ruser= rhost=192.0.2.9  user=ann",
    ),
    message("CRON", "12", "(root) CMD (/usr/lib/backup --all)"),
    message(
        "useradd",
        "13",
        "new user: name=eve, UID=1001, GID=1001, home=/home/eve, shell=/bin/bash, from=/dev/pts/0",
    ),
    message(
        "kernel",
        "",
        "[ 12.345678] [UFW BLOCK] IN=eth0 OUT= MAC=00:00 SRC=192.0.2.9 DST=198.51.100.1 LEN=40 PROTO=TCP SPT=4022 DPT=22",
    ),
    message(
        "nginx",
        "",
        "192.0.2.9 - ann [01/Mar/2026:10:00:00 +0000] \"GET /admin.php?a=1 HTTP/1.1\" 404 12 \"-\" \"curl/8\"",
    ),
    message(
        "postfix/smtpd",
        "14",
        "warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x, sasl_username=ann",
    ),
    message(
        "dovecot",
        "",
        "imap-login: Login: user=<ann>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS",
    ),
    message(
        "dropbear",
        "15",
        "Bad password attempt for 'ann' from 192.0.2.9:4022",
    ),
    message(
        "named",
        "16",
        "client @0x7f 192.0.2.9#4022 (www.example.org): query: www.example.org IN A +E(0)K (198.51.100.1)",
    ),
    message(
        "audispd",
        "",
        "node=web1 type=USER_LOGIN msg=audit(1772359200.250:7): pid=9 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=\"ann\" exe=\"/usr/sbin/sshd\" hostname=192.0.2.9 addr=192.0.2.9 terminal=ssh res=failed'",
    ),
    device(
        "cisco asa",
        "<164>Mar  1 2026 10:00:00 fw1 : %ASA-4-106023: Deny tcp src outside:192.0.2.9/4022 dst inside:198.51.100.1/22 by access-group \"x\" [0x0, 0x0]",
    ),
    device(
        "cisco asa",
        "<166>Mar  1 2026 10:00:00 fw1 : %ASA-6-302013: Built outbound TCP connection 1 for outside:203.0.113.5/443 (203.0.113.5/443) to inside:10.0.0.7/50000 (198.51.100.1/50000)",
    ),
    device(
        "cisco ftd",
        "<113>Mar  1 2026 10:00:00 ftd1 : %FTD-1-430003: AccessControlRuleAction: Block, SrcIP: 192.0.2.9, DstIP: 198.51.100.1, SrcPort: 4022, DstPort: 22, Protocol: tcp",
    ),
    device(
        "cisco ios",
        "<189>237: sw1: 238: Mar  1 10:00:00.250 UTC: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: ann] [Source: 192.0.2.9] [localport: 22] [Reason: Login Authentication Failed] at 10:00:00 UTC Sun Mar 1 2026",
    ),
    device(
        "fortigate",
        "<189>date=2026-03-01 time=10:00:00 devname=\"FW02\" devid=\"FG1\" eventtime=1772359200250000000 tz=\"+0000\" logid=\"0100032002\" type=\"event\" subtype=\"system\" level=\"alert\" user=\"ann\" srcip=192.0.2.9 dstip=198.51.100.1 action=\"login\" status=\"failed\" msg=\"Administrator ann login failed\"",
    ),
    device(
        "pan-os",
        "<14>Mar  1 10:00:00 pa1 1,2026/03/01 10:00:00,0123,TRAFFIC,drop,2561,2026/03/01 10:00:00,192.0.2.9,198.51.100.1,0.0.0.0,0.0.0.0,block,example\\ann,,ssh,vsys1,untrust,trust,ae1,ae2,fwd,2026/03/01 10:00:00,1,1,4022,22,0,0,0x0,tcp,deny,60,60,0,1",
    ),
    device(
        "cef",
        "<134>Mar  1 10:00:00 av1 CEF:0|Vendor|Product|1|100|Login failed|5|src=192.0.2.9 spt=4022 dst=198.51.100.1 dpt=22 suser=ann act=blocked",
    ),
    device(
        "leef",
        "<134>Mar  1 10:00:00 qr1 LEEF:1.0|Vendor|Product|1|41|src=192.0.2.9\tdst=198.51.100.1\tusrName=ann",
    ),
    device(
        "check point",
        "<134>1 2026-03-01T10:00:00Z cp1 CheckPoint 7459 - [action:\"Drop\"; flags:\"400644\"; ifdir:\"inbound\"; s_port:\"4022\"; service:\"22\"; src:\"192.0.2.9\"; dst:\"198.51.100.1\"; ]",
    ),
    device(
        "filterlog",
        "<134>Mar  1 10:00:00 pf1 filterlog[35553]: 97,,,1000000101,em0,match,block,in,4,0x0,,243,734,0,none,6,tcp,40,192.0.2.9,198.51.100.1,4022,22,0,S,1395699778,,1024,,",
    ),
    device(
        "mikrotik",
        "<131>Mar  1 10:00:00 rtr1 system,error,critical login failure for user ann from 192.0.2.9 via ssh",
    ),
    object(
        "windows security",
        "{\"EventID\":4625,\"Channel\":\"Security\",\"Provider_Name\":\"Microsoft-Windows-Security-Auditing\",\"Computer\":\"dc1.example\",\"TimeCreated\":\"2026-03-01T10:00:00.25Z\",\"TargetUserName\":\"ann\",\"IpAddress\":\"192.0.2.9\",\"IpPort\":\"4022\",\"LogonType\":3}",
    ),
    object(
        "sysmon",
        "{\"EventID\":1,\"Channel\":\"Microsoft-Windows-Sysmon/Operational\",\"Provider_Name\":\"Microsoft-Windows-Sysmon\",\"Computer\":\"pc1\",\"TimeCreated\":\"2026-03-01T10:00:00.25Z\",\"Image\":\"C:\\\\Windows\\\\cmd.exe\",\"CommandLine\":\"cmd /c whoami\",\"User\":\"CORP\\\\ann\",\"ParentImage\":\"C:\\\\a.exe\"}",
    ),
    object(
        "suricata",
        "{\"timestamp\":\"2026-03-01T10:00:00.250000+0000\",\"flow_id\":1,\"event_type\":\"alert\",\"src_ip\":\"192.0.2.9\",\"src_port\":4022,\"dest_ip\":\"198.51.100.1\",\"dest_port\":22,\"proto\":\"TCP\",\"alert\":{\"action\":\"allowed\",\"signature_id\":2260003,\"signature\":\"ET SCAN SSH\",\"severity\":3}}",
    ),
    object(
        "cloudtrail",
        "{\"eventVersion\":\"1.08\",\"eventSource\":\"signin.amazonaws.com\",\"eventName\":\"ConsoleLogin\",\"eventTime\":\"2026-03-01T10:00:00Z\",\"sourceIPAddress\":\"192.0.2.9\",\"userAgent\":\"curl/8\",\"userIdentity\":{\"type\":\"IAMUser\",\"userName\":\"ann\"}}",
    ),
    object(
        "okta",
        "{\"uuid\":\"u1\",\"published\":\"2026-03-01T10:00:00.250Z\",\"eventType\":\"user.session.start\",\"actor\":{\"id\":\"00u1\",\"type\":\"User\",\"alternateId\":\"ann@example.org\"},\"client\":{\"ipAddress\":\"192.0.2.9\"},\"outcome\":{\"result\":\"FAILURE\"}}",
    ),
    object(
        "zeek",
        "{\"_path\":\"ssh\",\"ts\":1772359200.25,\"uid\":\"C1\",\"id.orig_h\":\"192.0.2.9\",\"id.orig_p\":4022,\"id.resp_h\":\"198.51.100.1\",\"id.resp_p\":22,\"auth_success\":false}",
    ),
    object(
        "kubernetes",
        "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"stage\":\"ResponseComplete\",\"verb\":\"create\",\"user\":{\"username\":\"ann\"},\"sourceIPs\":[\"192.0.2.9\"],\"stageTimestamp\":\"2026-03-01T10:00:00.250000Z\"}",
    ),
    object(
        "app",
        "{\"time\":\"2026-03-01T10:00:00.25Z\",\"user\":\"ann\",\"src_ip\":\"192.0.2.9\",\"action\":\"login\",\"outcome\":\"failure\"}",
    ),
];

impl Kind {
    /// The line as its writer sends it without a collector.
    pub fn plain(self) -> String {
        match self {
            Self::Message { .. } => {
                format!(
                    "<38>Mar  1 10:00:00 web1 {}",
                    self.tagged().expect("a message")
                )
            }
            Self::Device(line) | Self::Object(line) => line.to_owned(),
        }
    }

    /// `program[pid]: message`
    pub fn tagged(self) -> Option<String> {
        let Self::Message { program, text, .. } = self else {
            return None;
        };
        Some(format!("{program}{}: {text}", self.pid_in_brackets()))
    }

    pub fn pid_in_brackets(self) -> String {
        match self {
            Self::Message { pid: Some(pid), .. } => format!("[{pid}]"),
            _ => String::new(),
        }
    }
}
