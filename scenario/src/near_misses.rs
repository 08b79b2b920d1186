//! What comes within a hair of an alert: near misses just outside a rule.

use rand::Rng;

use crate::company::ADMINISTRATORS_CAST;
use crate::lines::{BROWSERS, Request};
use crate::random::pick;
use crate::scenario::DeliveryTransport;
use crate::script::Script;

/// What comes within a hair of an alert, and one that is an alert by the same hair.
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

    // Ten refusals over exactly five minutes: a window is closed at both ends, so this is an alert.
    let (patient, slower) = ("192.0.2.77", "192.0.2.78");
    let spread = |n: i64| 33 * n + i64::from(n == 9) * 3;
    for n in 0..10 {
        let user = format!("guest{n:02}");
        script.ssh_refused(420 + spread(n), app(3), &user, false, patient);
        // The same, one second slower at the end: no window holds ten.
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

    // Fourteen refusals of one account from fourteen addresses, and the next when the first is out.
    for n in 0..14 {
        let source = format!("198.51.100.{}", 10 + n);
        script.ssh_refused(200 + 40 * n, app(5), "reporting", true, &source);
    }
    script.ssh_refused(801, app(5), "reporting", true, "198.51.100.99");
}

/// Nineteen ports, and nineteen missing pages, within a minute; twice, a minute apart.
fn scans(script: &mut Script<'_>) {
    let company = script.company;
    for n in (0..19).chain(79..98) {
        let between = ("198.51.100.200", company.jump.address.as_str());
        script.blocked(500 + n, &company.jump.name, true, between, 1_000);
        let request = Request {
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

/// Nine web logins refused, then the right password.
fn web_logins(script: &mut Script<'_>) {
    let company = script.company;
    for n in 0..10 {
        let (status, members): (u16, &[&'static str]) = if n < 9 {
            (401, &["web_login_failure"])
        } else {
            (302, &[])
        };
        let request = Request {
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

/// Two commands refused, and a third when the first is out of the window.
fn refused_commands(script: &mut Script<'_>) {
    let company = script.company;
    let (host, user) = (&company.applications[6].name, &company.people[60]);
    for second in [100, 160, 701] {
        script.sudo_refused(second, host, user, "/usr/bin/id");
    }
}

/// Maintenance as it should be: each with a ticket, one of them granted exactly ten minutes before.
fn tickets(script: &mut Script<'_>) {
    let company = script.company;
    let people = company.people.iter().take(company.administrators);
    // The cast of the intrusion, and those whose passwords it guesses, are not among them.
    for (n, user) in (0_i64..).zip(people.skip(ADMINISTRATORS_CAST + 6)) {
        let granted = 30 + 40 * n;
        let begin = if n == 0 {
            granted + 600
        } else {
            granted + script.rng.random_range(120..480)
        };
        let host = &pick(&mut script.rng, &company.applications).name;
        script.ticket((granted, granted), user, 48_000 + n.unsigned_abs() as u32);
        let command = "/usr/bin/systemctl restart shop-api";
        script.sudo(begin, host, user, command, &["sudo_maintenance"]);
    }
}
