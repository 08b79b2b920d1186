//! Background traffic, which stays within the budgets of every rule.

use rand::Rng;

use crate::company::LENGTH_SECONDS;
use crate::lines::{BROWSERS, FirewallPacket, WebRequest, rfc3164, rfc5424};
use crate::random::pick;
use crate::scenario::DeliveryTransport;
use crate::script::{AUTOMATION, AgentReport, BlockedPacket, CronJob, LoginMethod, Script};

const PAGES: [&str; 8] = [
    "/",
    "/index.html",
    "/assets/app.css",
    "/assets/app.js",
    "/api/orders?page=2",
    "/api/customers/4711",
    "/help/contact",
    "/health",
];

const JOBS: [CronJob<'static>; 4] = [
    CronJob {
        user: "root",
        command: "test -x /usr/sbin/anacron || run-parts --report /etc/cron.hourly",
    },
    CronJob {
        user: "www-data",
        command: "/usr/bin/php /srv/shop/cron.php",
    },
    CronJob {
        user: "root",
        command: "/usr/lib/sysstat/debian-sa1 1 1",
    },
    CronJob {
        user: "backup",
        command: "/usr/local/bin/snapshot --daily /srv",
    },
];

const HARMLESS_COMMANDS: [&str; 5] = [
    "/usr/bin/less /var/log/syslog",
    "/usr/bin/systemctl status nginx",
    "/usr/bin/apt-cache policy openssl",
    "/usr/bin/journalctl -u nginx",
    "/usr/sbin/ss -tlnp",
];

/// Writes `lines` lines, spread evenly over the scenario.
pub(crate) fn write(script: &mut Script<'_>, lines: usize) {
    for n in 0..lines {
        // Scenarios have too few lines for an overflow.
        let second = (n as i64).saturating_mul(LENGTH_SECONDS) / lines as i64;
        match script.rng.random_range(0..100_u32) {
            0..=29 => page(script, second),
            30..=44 => session(script, second),
            45..=54 => packet(script, second),
            55..=62 => job(script, second),
            63..=69 => login(script, second),
            70..=72 => refusal(script, second),
            73..=77 => command(script, second),
            78..=80 => process(script, second),
            81..=90 => service(script, second),
            _ => structured(script, second),
        }
    }
}

/// Picks UDP or TCP, for a line that no alert depends on.
fn any_transport(script: &mut Script<'_>) -> DeliveryTransport {
    if script.rng.random_bool(0.4) {
        DeliveryTransport::Udp
    } else {
        DeliveryTransport::Tcp
    }
}

fn person(script: &mut Script<'_>) -> usize {
    script.rng.random_range(0..script.company.people.len())
}

fn server(script: &mut Script<'_>) -> String {
    let servers = script.company.servers();
    pick(&mut script.rng, &servers).name.clone()
}

fn page(script: &mut Script<'_>, second: i64) {
    let company = script.company;
    let client = format!(
        "198.18.{}.{}",
        script.rng.random_range(0..4),
        script.rng.random_range(1..255)
    );
    let web = &pick(&mut script.rng, &company.web).name;
    let target = *pick(&mut script.rng, &PAGES);
    let agent = *pick(&mut script.rng, &BROWSERS);
    let mut request = WebRequest {
        client: &client,
        method: "GET",
        target,
        status: 200,
        bytes: script.rng.random_range(200..90_000),
        agent,
    };
    let kind = script.rng.random_range(0..100);
    if kind < 4 && script.afford("web_missing_page", &client, 12) {
        (request.target, request.status, request.bytes) = ("/favicon.png", 404, 162);
        script.request(
            DeliveryTransport::Tcp,
            second,
            web,
            &request,
            &["web_missing_page"],
        );
    } else if kind < 6 && script.afford("web_login_failure", &client, 6) {
        (request.method, request.target, request.status) = ("POST", "/login", 401);
        script.request(
            DeliveryTransport::Tcp,
            second,
            web,
            &request,
            &["web_login_failure"],
        );
    } else {
        let transport = any_transport(script);
        script.request(transport, second, web, &request, &[]);
    }
}

fn session(script: &mut Script<'_>, second: i64) {
    let (user, host) = (person(script), server(script));
    let name = &script.company.people[user];
    let address = &script.company.workstation(user).address;
    let port = script.port();
    let text = match script.rng.random_range(0..3) {
        0 => format!(
            "pam_unix(sshd:session): session opened for user {name}(uid={}) by {name}(uid=0)",
            1_000 + user
        ),
        1 => format!("pam_unix(sshd:session): session closed for user {name}"),
        _ => format!("Received disconnect from {address} port {port}:11: disconnected by user"),
    };
    let tag = format!("sshd[{}]", script.process());
    let line = rfc3164(38, script.time(second), &host, &tag, &text);
    let transport = any_transport(script);
    script.line(transport, second, &host, line, Vec::new());
}

fn packet(script: &mut Script<'_>, second: i64) {
    let company = script.company;
    let servers = company.servers();
    let to = pick(&mut script.rng, &servers);
    let source = format!(
        "198.18.{}.{}",
        script.rng.random_range(8..24),
        script.rng.random_range(1..255)
    );
    let pair = format!("{source} {}", to.address);
    if script.rng.random_bool(0.4) && script.afford("firewall_block", &pair, 15) {
        let port = *pick(&mut script.rng, &[22, 23, 445, 3389, 8080]);
        let blocked = BlockedPacket {
            incoming: true,
            source: &source,
            destination: &to.address,
            port,
        };
        script.blocked(second, &to.name, &blocked);
        return;
    }
    let packet = FirewallPacket {
        incoming: true,
        source: &source,
        destination: &to.address,
        source_port: script.port(),
        destination_port: 443,
        id: script.rng.random(),
    };
    let line = script.kernel(second, &to.name, "UFW ALLOW", &packet);
    let transport = any_transport(script);
    script.line(transport, second, &to.name, line, Vec::new());
}

fn job(script: &mut Script<'_>, second: i64) {
    let host = server(script);
    let job = *pick(&mut script.rng, &JOBS);
    let transport = any_transport(script);
    script.cron(transport, second, &host, job, &[]);
}

fn login(script: &mut Script<'_>, second: i64) {
    let (user, host) = (person(script), server(script));
    let company = script.company;
    let (name, address) = (&company.people[user], &company.workstation(user).address);
    let pair = format!("{address} {name}");
    if script.rng.random_bool(0.7) || !script.afford("ssh_login_by_person", &pair, 4) {
        // Roll-outs exceed any threshold; the rule filters them.
        let address = &company.applications[1].address;
        script.ssh_accepted(second, &host, AUTOMATION, address, LoginMethod::PublicKey);
    } else {
        script.ssh_accepted(second, &host, name, address, LoginMethod::PublicKey);
    }
}

fn refusal(script: &mut Script<'_>, second: i64) {
    let host = server(script);
    if script.rng.random_bool(0.3) {
        // A person mistypes a password. The people of the intrusion are left out: they have used up
        // their budgets.
        let user = script.rng.random_range(30..script.company.people.len());
        let name = &script.company.people[user];
        let address = &script.company.workstation(user).address;
        if script.afford("ssh_login_failure by user", name, 6)
            && script.afford("ssh_login_failure by address", address, 6)
        {
            script.ssh_refused(second, &host, name, true, address);
            return;
        }
    }
    let source = format!(
        "198.18.{}.{}",
        script.rng.random_range(32..64),
        script.rng.random_range(1..255)
    );
    let user = format!(
        "{}{}",
        pick(&mut script.rng, &["dev", "ftp", "mail", "pi", "web"]),
        script.rng.random_range(0..999)
    );
    if script.afford("ssh_login_failure by user", &user, 6)
        && script.afford("ssh_login_failure by address", &source, 6)
    {
        script.ssh_refused(second, &host, &user, false, &source);
    } else {
        session(script, second);
    }
}

fn command(script: &mut Script<'_>, second: i64) {
    let (user, host) = (person(script), server(script));
    let name = &script.company.people[user];
    let command = *pick(&mut script.rng, &HARMLESS_COMMANDS);
    let pair = format!("{name} {host}");
    // Person 60 has near misses, so no more refusals are added.
    if user != 60 && script.rng.random_bool(0.05) && script.afford("sudo_refusal", &pair, 2) {
        script.sudo_refused(second, &host, name, command);
    } else {
        script.sudo(second, &host, name, command, &[]);
    }
}

fn process(script: &mut Script<'_>, second: i64) {
    let company = script.company;
    let host = &pick(&mut script.rng, &company.applications[..4]).name;
    let order = format!(
        "python3 /srv/shop/worker.py --order {}",
        script.rng.random_range(1_000..99_999)
    );
    script.report(&AgentReport {
        second,
        sent: second,
        host,
        kind: "process_creation",
        logsource: "category=process_creation,product=linux",
        fields: &[
            ("Image", "/usr/bin/python3"),
            ("CommandLine", &order),
            ("ParentImage", "/usr/lib/systemd/systemd"),
            ("User", "shop"),
        ],
        members: &[],
    });
}

fn service(script: &mut Script<'_>, second: i64) {
    let (user, host) = (person(script), server(script));
    let name = &script.company.people[user];
    let number = script.rng.random_range(100..9_999);
    let text = match script.rng.random_range(0..3) {
        0 => format!("Started session-{number}.scope - Session {number} of User {name}."),
        1 => "Starting logrotate.service - Rotate log files...".to_owned(),
        _ => format!("session-{number}.scope: Deactivated successfully."),
    };
    let line = rfc3164(30, script.time(second), &host, "systemd[1]", &text);
    let transport = any_transport(script);
    script.line(transport, second, &host, line, Vec::new());
}

fn structured(script: &mut Script<'_>, second: i64) {
    let host = pick(&mut script.rng, &script.company.applications)
        .name
        .clone();
    let (process, invoice) = (script.process(), script.rng.random_range(10_000..99_999));
    let data = format!(
        "[meta sequenceId=\"{}\"][shop@32473 tenant=\"north\"]",
        script.rng.random::<u16>()
    );
    let text = format!("invoice {invoice} posted");
    let line = rfc5424(
        134,
        script.time(second),
        &host,
        "billing",
        process,
        &data,
        &text,
    );
    let transport = any_transport(script);
    script.line(transport, second, &host, line, Vec::new());
}
