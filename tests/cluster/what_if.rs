//! What-ifs of process 0 over the groups of both processes.

use super::support::http::Request;
use super::support::rules::shop_rules;
use super::support::{Weir, until};
use super::{LOOKS, OTHER, Site, alerts, await_all, event, post_lines, stop};

/// One event of each `step`th of the users `u0`, `u1` and so on.
fn events(second: u32, kind: &str, step: usize, users: u32) -> String {
    let users = (0..users).step_by(step);
    users
        .map(|user| event(second, kind, &format!("u{user}")))
        .collect()
}

/// Forty users look at least twice, through both processes. Every other user looks a third time.
/// Ten users do something that no rule reads.
fn post_looks(lead: &Weir, follow: &Weir) {
    post_lines(lead, &events(20, "c", 1, 40));
    post_lines(follow, &events(21, "c", 1, 40));
    post_lines(follow, &events(22, "c", 2, 40));
    post_lines(follow, &events(23, "e", 1, 10));
}

/// Begins a what-if and returns its id.
fn begin(lead: &Weir, path: &str, rule: &str) -> String {
    let reply = lead.send(Request::new("POST", path).body(rule.as_bytes()));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["what_if"]["id"].as_str().map(str::to_owned);
    id.expect("it has an id")
}

/// Gained, lost and changed alerts of a what-if, and the number of its results.
fn counts(lead: &Weir, id: &str) -> [u64; 4] {
    until("the what-if runs", || {
        let page = lead.get(&format!("/api/v1/what-if/{id}?limit=1000")).json();
        let running = page["what_if"]["state"] == "running";
        let count = |name: &str| page["what_if"][name].as_u64().unwrap_or_default();
        let rows = page["alerts"].as_array().map_or(0, Vec::len) as u64;
        running.then(|| [count("gained"), count("lost"), count("changed"), rows])
    })
}

/// Standing alerts of the two rules.
fn standing(lead: &Weir) -> [usize; 2] {
    ["many", "other"].map(|rule| alerts(lead, rule).len())
}

#[test]
fn a_what_if_counts_the_groups_of_all_processes_and_is_promoted_in_all() {
    let site = Site::new(2);
    let weirs = site.start();
    let [lead, follow] = &weirs[..] else {
        panic!("two were started")
    };
    post_looks(lead, follow);
    await_all(&weirs, &[40, 70]);
    let rules = shop_rules(LOOKS - 1);
    let (_, many) = rules.rsplit_once("---\n").expect("several rules");
    let lower = begin(lead, "/api/v1/what-if", many);
    let other = begin(lead, "/api/v1/what-if?backfill=1h", OTHER);
    // Twenty alerts more, and twenty that begin earlier.
    assert_eq!(counts(lead, &lower), [20, 0, 20, 40]);
    assert_eq!(counts(lead, &other), [10, 0, 0, 10]);
    assert_eq!(standing(lead), [20, 0]);

    // The what-if follows new events of either process.
    post_lines(follow, &event(24, "e", "u77"));
    await_all(&weirs, &[40, 71]);
    until("the what-if follows", || {
        (counts(lead, &other)[0] == 11).then_some(())
    });
    for id in [&lower, &other] {
        let path = format!("/api/v1/what-if/{id}/promote");
        let reply = lead.send(Request::new("POST", &path));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    until("both promotions", || {
        (standing(lead) == [40, 11]).then_some(())
    });
    for (method, path) in [
        ("POST", "/api/v1/what-if"),
        ("GET", "/api/v1/what-if"),
        ("GET", &*format!("/api/v1/what-if/{lower}")),
        ("DELETE", &*format!("/api/v1/what-if/{lower}")),
        ("POST", &*format!("/api/v1/what-if/{lower}/promote")),
    ] {
        let reply = follow.send(Request::new(method, path).body(OTHER.as_bytes()));
        assert_eq!(reply.status, 421, "{method} {path}: {}", reply.text());
    }
    stop(weirs);
    // A restart derives the same alerts from the two journals.
    let standing = site.standing();
    let weirs = site.start();
    stop(weirs);
    assert_eq!(site.standing(), standing);
}
