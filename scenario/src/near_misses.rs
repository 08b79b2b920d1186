//! Near misses: events that stay just below the conditions of a rule.

use rand::Rng;

use crate::company::ADMINISTRATORS_CAST;
use crate::lines::{BROWSERS, WebRequest};
use crate::random::pick;
use crate::scenario::DeliveryTransport;
use crate::script::{BlockedPacket, Script, Ticket};

/// Writes all near misses, and one alert that is just inside its window.
pub(crate) fn write(script: &mut Script<'_>) {
    passwords(script);
    scans(script);
    web_logins(script);
    refused_commands(script);
    tickets(script);
}

fn passwords(script: &mut Script<'_>) {
    let company = script.company;
    let app = |n: usize| company.applications[n].name.as_str();

    // Ten refusals over exactly five minutes. A window includes both ends, so this is an alert.
    let (patient, slower) = ("192.0.2.77", "192.0.2.78");
    let spread = |n: i64| 33 * n + i64::from(n == 9) * 3;
    for n in 0..10 {
        let user = format!("guest{n:02}");
        script.ssh_refused(420 + spread(n), app(3), &user, false, patient);
        // The same, but the last one is a second later: no window holds ten.
        let user = format!("visitor{n:02}");
        script.ssh_refused(
            420 + spread(n) + i64::from(n == 9),
            app(4),
            &user,
            false,
            slower,
        );
    }
    script.expect("ssh_password_guessing", &[patient], 420, 720, 10);

    // Fourteen refusals of one account from fourteen addresses; the next comes when the first has
    // left the window.
    for n in 0..14 {
        let source = format!("198.51.100.{}", 10 + n);
        script.ssh_refused(200 + 40 * n, app(5), "reporting", true, &source);
    }
    script.ssh_refused(801, app(5), "reporting", true, "198.51.100.99");
}

/// Nineteen blocked ports and nineteen missing pages within a minute, twice, a minute apart.
fn scans(script: &mut Script<'_>) {
    let company = script.company;
    for n in (0..19).chain(79..98) {
        let packet = BlockedPacket {
            incoming: true,
            source: "198.51.100.200",
            destination: &company.jump.address,
            port: 1_000,
        };
        script.blocked(500 + n, &company.jump.name, &packet);
        let request = WebRequest {
            client: "198.51.100.201",
            method: "GET",
            target: "/old/catalogue.html",
            status: 404,
            bytes: 162,
            agent: BROWSERS[0],
        };
        let web = &company.web[0].name;
        script.request(
            DeliveryTransport::Tcp,
            500 + n,
            web,
            &request,
            &["web_missing_page"],
        );
    }
}

/// Nine refused web logins, then the right password.
fn web_logins(script: &mut Script<'_>) {
    let company = script.company;
    for n in 0..10 {
        let (status, members): (u16, &[&'static str]) = if n < 9 {
            (401, &["web_login_failure"])
        } else {
            (302, &[])
        };
        let request = WebRequest {
            client: "198.51.100.202",
            method: "POST",
            target: "/login",
            status,
            bytes: 312,
            agent: BROWSERS[1],
        };
        script.request(
            DeliveryTransport::Tcp,
            640 + 9 * n,
            &company.web[1].name,
            &request,
            members,
        );
    }
}

/// Two refused commands, and a third when the first has left the window.
fn refused_commands(script: &mut Script<'_>) {
    let company = script.company;
    let (host, user) = (&company.applications[6].name, &company.people[60]);
    for second in [100, 160, 701] {
        script.sudo_refused(second, host, user, "/usr/bin/id");
    }
}

/// Maintenance with tickets; one ticket was granted exactly ten minutes before.
fn tickets(script: &mut Script<'_>) {
    let company = script.company;
    let people = company.people.iter().take(company.administrators);
    // The people of the intrusion, and those whose passwords it guesses, are left out.
    for (n, user) in (0_i64..).zip(people.skip(ADMINISTRATORS_CAST + 6)) {
        let granted = 30 + 40 * n;
        let begin = if n == 0 {
            granted + 600
        } else {
            granted + script.rng.random_range(120..480)
        };
        let host = &pick(&mut script.rng, &company.applications).name;
        script.ticket(&Ticket {
            granted,
            sent: granted,
            user,
            number: 48_000 + n.unsigned_abs() as u32,
        });
        let command = "/usr/bin/systemctl restart shop-api";
        script.sudo(begin, host, user, command, &["sudo_maintenance"]);
    }
}
