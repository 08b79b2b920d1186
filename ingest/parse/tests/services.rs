//! Lines of services: the fields that each reader extracts, and that no text chosen by a client can
//! fake an address or an outcome.

mod common;

use weir_parse::{decode, event_json};
use weir_schema::Format;

use common::{context, log_source, text};

/// Lines, and `name=value` for fields of their events; `source` is category, product and service.
const CASES: [(&str, &str); 39] = [
    (
        "Mar  1 10:00:00 h su: FAILED SU (to root) ann on pts/1",
        "source=/linux/su action=su outcome=failure user=ann target_user=root tty=pts/1",
    ),
    (
        "Mar  1 10:00:00 h su[7]: (to root) ann on pts/1",
        "action=su outcome=success user=ann target_user=root",
    ),
    (
        "Mar  1 10:00:00 h su: 'su root' failed for ann on /dev/pts/8",
        "outcome=failure user=ann target_user=root tty=/dev/pts/8",
    ),
    (
        "Mar  1 10:00:00 h passwd[9]: pam_unix(passwd:chauthtok): password changed for ann",
        "source=/linux/passwd action=password_change outcome=success user=ann",
    ),
    (
        "Mar  1 10:00:00 h CRON[3]: (ann) RELOAD (crontabs/ann)",
        "source=/linux/cron user=ann action=reload",
    ),
    (
        "Mar  1 10:00:00 h sshd[4]: Connection closed by authenticating user ann 192.0.2.7 port 5 [preauth]",
        "action=disconnect outcome=failure user=ann src_ip=192.0.2.7 src_port=5",
    ),
    (
        "Mar  1 10:00:00 m postfix/smtpd[5]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=ann",
        "source=/linux/postfix action=login outcome=failure method=LOGIN user=ann src_ip=192.0.2.7",
    ),
    (
        "Mar  1 10:00:00 m postfix/smtpd[5]: 4F9D195432C: client=mail.example.org[192.0.2.7], sasl_method=PLAIN, sasl_username=ann",
        "queue_id=4F9D195432C action=login outcome=success user=ann src_ip=192.0.2.7 src_host=mail.example.org",
    ),
    (
        "Mar  1 10:00:00 m postfix/smtpd[5]: NOQUEUE: reject: RCPT from a.example[192.0.2.7]: 554 5.7.1 <b@c>: Relay access denied; from=<a@b> to=<b@c> proto=ESMTP helo=<[192.0.2.99]>",
        "action=reject outcome=failure src_ip=192.0.2.7 from=a@b to=b@c helo=[192.0.2.99]",
    ),
    (
        "Mar  1 10:00:00 m postfix/smtp[5]: 4F9D195432C: to=<b@c>, relay=mx.c[198.51.100.1]:25, delay=1, status=bounced (no)",
        "action=deliver outcome=failure status=bounced to=b@c",
    ),
    (
        "Mar  1 10:00:00 m dovecot: imap-login: Login: user=<ann>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.1, TLS",
        "source=/linux/dovecot action=login outcome=success user=ann src_ip=192.0.2.7 dst_ip=198.51.100.1",
    ),
    (
        "Mar  1 10:00:00 m dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, rip=6.6.6.6, x=<b>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.1",
        "outcome=failure src_ip=192.0.2.7",
    ),
    (
        "Mar  1 10:00:00 m dovecot: auth: pam(a,6.6.6.6,192.0.2.7,<s>): unknown user",
        "outcome=failure user=a,6.6.6.6 src_ip=192.0.2.7 method=pam",
    ),
    (
        "Sun Mar  1 10:00:00 2026 [pid 2] [ann] OK DOWNLOAD: Client \"192.0.2.7\", \"/pub/x\", 12 bytes",
        "source=/linux/vsftpd user=ann action=download path=/pub/x src_ip=192.0.2.7 problems=",
    ),
    (
        "Mar  1 10:00:00 h vsftpd[2]: [x] OK LOGIN: Client \"6.6.6.6\"] FAIL LOGIN: Client \"192.0.2.7\"",
        "outcome=failure src_ip=192.0.2.7",
    ),
    (
        "Mar  1 10:00:00 h proftpd[2]: srv (pc.example.org[192.0.2.7]) - USER x (6.6.6.6[6.6.6.6]): Login successful (Login failed): Incorrect password.",
        "source=/linux/proftpd outcome=failure src_ip=192.0.2.7 src_host=pc.example.org",
    ),
    (
        "Mar  1 10:00:00 h pure-ftpd: (?@192.0.2.7) [INFO] ann is now logged in",
        "outcome=success user=ann src_ip=192.0.2.7",
    ),
    (
        "Mar  1 10:00:00 n named[2]: client @0x7f00 192.0.2.7#5353 (www.example.org): query: www.example.org IN A +E(0)K (198.51.100.1)",
        "source=dns/linux/named action=query query=www.example.org record_type=A src_ip=192.0.2.7 src_port=5353",
    ),
    (
        "01-Mar-2026 10:00:00.250 client 2001:db8::7#53 (x.example): zone transfer 'x.example/AXFR/IN' denied",
        "source=/linux/named action=zone_transfer outcome=failure query=x.example record_type=AXFR src_ip=2001:db8::7 problems=",
    ),
    (
        "[Sun Mar 01 10:00:00.5 2026] [auth_basic:error] [pid 9:tid 3] [client [2001:db8::7]:99] AH01618: user ann not found: /x, referer: http://a.example/",
        "source=/apache/apache module=auth_basic level=error pid=9 src_ip=2001:db8::7 src_port=99 msgid=AH01618 user=ann outcome=failure path=/x cs-referer=http://a.example/",
    ),
    (
        "[Sun Mar 01 10:00:00 2026] [error] [client 192.0.2.7] File does not exist: /x/[client 6.6.6.6] user root not found",
        "src_ip=192.0.2.7 level=error",
    ),
    (
        "2026/03/01 10:00:00 [error] 7#7: *3 user \"x\": password mismatch, client: 6.6.6.6, server: \": password mismatch, client: 192.0.2.7, server: a, request: \"GET /p?q=1 HTTP/1.1\", host: \"a.example\"",
        "source=/nginx/nginx pid=7 src_ip=192.0.2.7 outcome=failure cs-method=GET cs-uri-stem=/p cs-uri-query=q=1 cs-host=a.example",
    ),
    (
        "www.example.org:443 192.0.2.7 - ann [01/Mar/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"",
        "source=webserver// c-ip=192.0.2.7 cs-username=ann cs-host=www.example.org:443",
    ),
    (
        "192.0.2.7 - - [01/Mar/2026:10:00:00 +0000] \"\\x16\\x03 x\" 400 5",
        "cs-uri=\\x16\\x03 sc-status=400",
    ),
    (
        "Mar  1 10:00:00 l haproxy[3]: 192.0.2.7:5000 [01/Mar/2026:10:00:00.250] web~ app/app1 0/0/1/2/3 403 17 - - ---- 1/1/0/0/0 0/0 {a\"b} \"GET /x HTTP/1.1\"",
        "source=webserver/haproxy/ c-ip=192.0.2.7 src_port=5000 frontend=web backend=app server=app1 sc-status=403 cs-method=GET cs-uri-stem=/x",
    ),
    (
        "Mar  1 10:00:00 f smbd[3]: Auth: [SMB2,(null)] user [CORP]\\[ann] at [Sun, 01 Mar 2026 10:00:00.0 UTC] with [NTLMv2] status [NT_STATUS_OK] workstation [PC] remote host [ipv4:192.0.2.7:5000] became [CORP]\\[ann]",
        "source=/linux/smbd outcome=success user=ann domain=CORP src_ip=192.0.2.7 src_port=5000",
    ),
    (
        "Mar  1 10:00:00 v ovpn-server[3]: ann/192.0.2.7:5000 VERIFY ERROR: depth=0",
        "source=/linux/openvpn outcome=failure user=ann src_ip=192.0.2.7 src_port=5000",
    ),
    (
        "Mar  1 10:00:00 h dropbear[3]: Password auth succeeded for 'ann' from 192.0.2.7:5000",
        "source=/linux/dropbear outcome=success user=ann src_ip=192.0.2.7",
    ),
    (
        "<166>Mar  1 10:00:00 fw : %ASA-4-106023: Deny tcp src outside:192.0.2.7/5000 dst inside:198.51.100.1/22 by access-group \"x\"",
        "source=firewall/cisco/ host=fw msgid=ASA-4-106023 action=deny outcome=failure src_ip=192.0.2.7 src_port=5000 dst_ip=198.51.100.1 dst_port=22",
    ),
    (
        "<166>Mar  1 10:00:00 fw %ASA-6-302013: Built outbound TCP connection 9 for outside:192.0.2.7/22 (192.0.2.7/22) to inside:198.51.100.1/5000 (198.51.100.1/5000)",
        "action=connect outcome=success src_ip=198.51.100.1 src_port=5000 dst_ip=192.0.2.7 dst_port=22",
    ),
    (
        "<166>Mar  1 10:00:00 fw %ASA-6-605005: Login permitted from 192.0.2.7/5000 to inside:198.51.100.1/ssh for user \"ann\"",
        "action=login outcome=success user=ann src_ip=192.0.2.7 dst_ip=198.51.100.1",
    ),
    (
        "<189>77: *Mar  1 10:00:00.5 UTC: %SEC-6-IPACCESSLOGP: list 102 denied tcp 192.0.2.7(5000) (Gi0/1 ) -> 198.51.100.1(22), 1 packet",
        "action=deny src_ip=192.0.2.7 src_port=5000 dst_ip=198.51.100.1 dst_port=22",
    ),
    (
        "<189>77: *Mar  1 10:00:00.5 UTC: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: ann] [Source: 192.0.2.7] [localport: 22] [Reason: Login Authentication Failed]",
        "action=login outcome=failure user=ann src_ip=192.0.2.7",
    ),
    (
        "2026-03-01 10:00:00 [77] H=a.example (x) [192.0.2.7]:5000 I=[198.51.100.1]:25 F=<a@b> rejected RCPT <b@c>: relay not permitted",
        "source=/linux/exim action=reject outcome=failure src_ip=192.0.2.7 src_port=5000 src_host=a.example helo=x from=a@b to=b@c reason=relay problems=",
    ),
    (
        "2026-03-01 10:00:00 1ahr79-0006jK-G9 <= a@b H=(pc) [192.0.2.7] P=esmtpsa A=login:ann S=700",
        "queue_id=1ahr79-0006jK-G9 action=login outcome=success user=ann method=login src_ip=192.0.2.7 from=a@b",
    ),
    (
        "Mar  1 10:00:00 m exim[3]: login authenticator failed for ([6.6.6.6]) [192.0.2.7]: 535 Incorrect authentication data (set_id=ann)",
        "host=m outcome=failure user=ann src_ip=192.0.2.7",
    ),
    (
        "<166>Mar  1 10:00:00 fw %ASA-6-113005: AAA user authentication Rejected : reason = AAA failure : server = 198.51.100.1 : user = ann : user IP = 192.0.2.7",
        "action=login outcome=failure user=ann src_ip=192.0.2.7",
    ),
    (
        "<166>Mar  1 10:00:00 fw %ASA-4-106023: Deny tcp src outside:2001:db8::7/5000 dst inside:2001:db8::1/22 by access-group \"x\"",
        "action=deny src_ip=2001:db8::7 src_port=5000 dst_ip=2001:db8::1 dst_port=22",
    ),
    (
        "@4000000069a40e2a0ee6b280 imap-login: Info: Login: user=<ann>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.1",
        "source=/linux/dovecot outcome=success time=2026-03-01T10:00:00.250000000Z",
    ),
];

#[test]
fn extract_fields_of_services() {
    for (line, expected) in CASES {
        let event = decode(line.as_bytes(), &context(Format::Auto));
        let json = event_json(&event);
        for pair in expected.split(' ') {
            let (name, value) = pair.split_once('=').unwrap();
            let got = match name {
                "source" => log_source(&event),
                "time" => json.split('"').nth(3).unwrap().to_owned(),
                "problems" => format!("{:?}", event.problems)
                    .trim_matches(['[', ']'])
                    .to_owned(),
                name => text(&event, name).unwrap_or_else(|| panic!("no {name} in {json}")),
            };
            // The table cannot express a value with a space, only its first word.
            let holds = got == value || got.starts_with(&format!("{value} "));
            assert!(holds, "{name}: {got}, not {value}, of {json}");
        }
    }
}

/// A message, fields that its event must have, and fields that it must not have.
type ImitationCase = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Messages in which a text that the client chooses imitates other parts of the line.
const IMITATIONS: [ImitationCase; 6] = [
    (
        "sshd[1]: Invalid user a from 6.6.6.6 [preauth] from 192.0.2.4 port 22",
        &["src_ip=192.0.2.4", "user=a from 6.6.6.6 [preauth]"],
        &[],
    ),
    (
        "sshd[1]: Connection closed by invalid user a 6.6.6.6 port 1 [preauth] 192.0.2.4 port 22 \
         [preauth]",
        &["src_ip=192.0.2.4", "src_port=22"],
        &[],
    ),
    (
        "sudo: ann : TTY=pts/1 ; PWD=/tmp/a ; 3 incorrect ; b ; USER=root ; COMMAND=/bin/ls",
        &["outcome=success", "command=/bin/ls"],
        &["reason"],
    ),
    (
        "dropbear[1]: Exit before auth (user 'from <6.6.6.6:1>', 1 fails): Disconnect",
        &["outcome=failure"],
        &["src_ip"],
    ),
    (
        "apache2: 192.0.2.4 - x [y [01/Mar/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 401 5",
        &["c-ip=192.0.2.4", "cs-uri=/a", "cs-username=x [y"],
        &[],
    ),
    (
        "apache2: 192.0.2.4 - x [01/Mar/2026:11:00:00 +0000] \\\"GET /b HTTP/1.1\\\" 200 1 \
         [01/Mar/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 401 5",
        &["cs-uri=/a", "sc-status=401"],
        &[],
    ),
];

/// Checks the event of a message behind a syslog header.
fn check_imitation(message: &str, present: &[&str], absent: &[&str]) {
    let line = format!("<38>Mar  1 10:00:00 h {message}");
    let event = decode(line.as_bytes(), &context(Format::Auto));
    for pair in present {
        let (name, value) = pair.split_once('=').unwrap();
        assert_eq!(
            text(&event, name).as_deref(),
            Some(value),
            "{name} of {line}"
        );
    }
    for name in absent {
        assert_eq!(text(&event, name), None, "{name} of {line}");
    }
}

#[test]
fn clients_cannot_fake_address_or_outcome() {
    for (message, present, absent) in IMITATIONS {
        check_imitation(message, present, absent);
    }
}

#[test]
fn clients_cannot_fake_the_context_of_nginx() {
    let context = ", client: 192.0.2.4, server: s, request: \"GET /x HTTP/1.1\", host: \"h\"";
    let cases = [
        ("x", ", referrer: \"a, client: 6.6.6.6\""),
        ("x", ", referrer: \"a\", client: 6.6.6.6, host: \"b\""),
        ("open() \"/x, client: 6.6.6.6\" failed", ""),
        ("open() \"/x\", client: 6.6.6.6, host: \"\" failed", ""),
    ];
    for (error, tail) in cases {
        let message = format!("nginx: [error] 1#2: *3 {error}{context}{tail}");
        check_imitation(&message, &["src_ip=192.0.2.4"], &[]);
    }
    let ambiguous =
        format!("nginx: [error] 1#2: *3 x{context}, referrer: \"a, client: 6.6.6.6\"b\"");
    check_imitation(&ambiguous, &["level=error"], &["src_ip"]);
}

#[test]
fn ambiguous_line_of_samba_has_no_source() {
    let auth = "] at [t] with [NTLMv2] status [";
    let message = format!(
        "smbd: Auth: [SMB2,(null)] user [D]\\[x{auth}NT_STATUS_OK] remote host [ipv4:6.6.6.6:1] \
         y{auth}NT_STATUS_NO_SUCH_USER] workstation [w] remote host [ipv4:192.0.2.4:5] mapped"
    );
    check_imitation(&message, &["action=login"], &["src_ip", "outcome", "user"]);
}

#[test]
fn decode_every_part_of_a_line() {
    for (line, _) in CASES {
        for at in 0..=line.len() {
            let (head, tail) = line.as_bytes().split_at(at);
            for bytes in [head, tail, &[head, b"[", tail].concat()] {
                let event = decode(bytes, &context(Format::Auto));
                assert_eq!(event, decode(bytes, &context(Format::Auto)));
                assert!(event.fields.len() <= weir_parse::FIELDS_MAX);
            }
        }
    }
}

/// A reader that takes quadratic time would not finish here.
#[test]
fn decode_a_mebibyte_of_each_line() {
    for (line, _) in CASES {
        let (head, tail) = line.split_at(line.len() / 2);
        let long = head.to_owned() + &tail.repeat((1 << 20) / tail.len().max(1));
        let event = decode(long.as_bytes(), &context(Format::Auto));
        assert!(event.fields.len() <= weir_parse::FIELDS_MAX);
        let words = line.replace(' ', &" from 192.0.2.9 [6.6.6.6]: ".repeat(1 << 11));
        let event = decode(words.as_bytes(), &context(Format::Auto));
        assert!(event.fields.len() <= weir_parse::FIELDS_MAX);
    }
}
