//! What-ifs over the API.

use serde_json::Value;

use super::support::http::Request;
use super::support::until;
use super::{CHAIN, LOOKS, RULES, Site, counts, many};

/// Users of the alerts in a page of a what-if's results.
fn users(page: &Value) -> Vec<String> {
    let alerts = page["alerts"].as_array().expect("a list").iter();
    let user = |alert: &Value| {
        alert["group"]["user"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    alerts.map(user).collect()
}

#[test]
fn a_what_if_reports_gained_lost_and_changed_alerts() {
    let mut site = Site::new(RULES);
    let before = site.alerts();
    assert_eq!(before, ["\"u4\"=4", "\"u5\"=5", "\"u6\"=6"]);

    // A lower threshold gains two alerts, and three begin earlier. A higher one loses two.
    let lower = site.begin("", &many(2));
    let higher = site.begin("", &many(6));
    let removed = site.begin("?remove=many", "");
    let page = site.what_if(&lower);
    let about = &page["what_if"];
    assert_eq!(counts(about), [2, 0, 3, 0], "{page}");
    assert_eq!(about["from"], "facts");
    assert_eq!(about["changes"][0]["rule"], "many");
    assert_eq!(about["changes"][0]["change"], "put");
    assert_eq!(counts(&site.what_if(&higher)["what_if"]), [0, 2, 1, 0]);
    // A rule that only the removed correlation reads raises alerts of its own.
    let about = site.what_if(&removed)["what_if"].clone();
    assert_eq!((&about["lost"], &about["gained"]), (&3.into(), &1.into()));
    assert_eq!(about["changes"][0]["change"], "remove");

    let gained = site.what_if(&format!("{lower}?kind=gained"));
    let mut names = users(&gained);
    names.sort();
    assert_eq!(names, ["u2", "u3"]);
    let row = &gained["alerts"][0];
    assert_eq!(
        (&row["live"], &row["kind"]),
        (&Value::Null, &"gained".into())
    );
    assert_eq!(
        (&row["level"], &row["rule"]),
        (&"high".into(), &"many".into())
    );
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = site.what_if(&format!("{lower}?limit=2{after}"));
        paged.extend(users(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    paged.sort();
    assert_eq!(paged, ["u2", "u3", "u4", "u5", "u6"]);

    // A what-if follows new events and leaves the live alerts alone.
    site.post(&[(3, "fail", 1)]);
    until("the what-if follows", || {
        (site.what_if(&lower)["what_if"]["gained"] == 3).then_some(())
    });
    assert_eq!(site.alerts(), before);
    assert_eq!(site.list().len(), 3);
    site.weir.stop();
}

#[test]
fn a_promotion_applies_the_change_and_overtakes_other_what_ifs() {
    let mut site = Site::new(RULES);
    let lower = site.begin("", &many(2));
    let higher = site.begin("", &many(6));
    let removed = site.begin("?remove=many", "");
    site.post(&[(3, "fail", 1)]);
    let reply = site.request(&format!("POST /api/v1/what-if/{lower}/promote"), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["done"], "promoted");
    site.settle();
    let lowered = [
        "\"u1\"=2", "\"u2\"=2", "\"u3\"=3", "\"u4\"=4", "\"u5\"=5", "\"u6\"=6",
    ];
    until("the promotion", || (site.alerts() == lowered).then_some(()));
    let reply = site.request(&format!("GET /api/v1/what-if/{lower}"), "");
    assert_eq!(reply.status, 404);

    // The other what-ifs compare with a rule that has changed since.
    let overtaken = |id: &str| site.what_if(id)["what_if"]["state"] == "overtaken";
    until("both are overtaken", || {
        (overtaken(&higher) && overtaken(&removed)).then_some(())
    });
    let reply = site.request(&format!("POST /api/v1/what-if/{higher}/promote"), "");
    assert_eq!(reply.status, 422);
    let message = reply.json()["diagnostics"][0]["message"].clone();
    assert_eq!(message, "the what-if is overtaken, not running");
    for id in [&higher, &removed] {
        let reply = site.request(&format!("DELETE /api/v1/what-if/{id}"), "");
        assert_eq!(
            (reply.status, &reply.json()["done"]),
            (200, &"dropped".into())
        );
    }
    until("no what-if", || site.list().is_empty().then_some(()));
    assert_eq!(site.alerts(), lowered);
    site.weir.stop();
}

/// Request, body, status, and a part of the reply. `NONE` stands for an id that no what-if has.
const REFUSALS: &[(&str, &str, u16, &str)] = &[
    ("POST /api/v1/what-if", "", 422, "there is no change to try"),
    ("POST /api/v1/what-if", "title: [", 422, "not valid YAML"),
    (
        "POST /api/v1/what-if?remove=nobody",
        "",
        422,
        "no rule has the id",
    ),
    (
        "POST /api/v1/what-if?backfill=soon",
        LOOKS,
        400,
        "a span such as",
    ),
    (
        "POST /api/v1/what-if?backfill=-1h",
        LOOKS,
        400,
        "a span such as",
    ),
    ("POST /api/v1/what-if?back=1h", LOOKS, 400, "back"),
    (
        "POST /api/v1/what-if?backfill=1h&backfill=2h",
        LOOKS,
        400,
        "backfill",
    ),
    (
        "GET /api/v1/what-if/nonsense",
        "",
        400,
        "16 hexadecimal digits",
    ),
    (
        "GET /api/v1/what-if/NONE?kind=all",
        "",
        400,
        "one of gained",
    ),
    (
        "GET /api/v1/what-if/NONE?limit=0",
        "",
        400,
        "from 1 to 1000",
    ),
    ("GET /api/v1/what-if/NONE?after=1", "", 400, "an alert id"),
    ("GET /api/v1/what-if/NONE", "", 404, NONE),
    ("POST /api/v1/what-if/NONE/promote", "", 404, NONE),
    ("DELETE /api/v1/what-if/NONE", "", 404, NONE),
    ("PUT /api/v1/what-if", "", 405, ""),
    (
        "POST /api/v1/what-if",
        CHAIN,
        422,
        "reads, or is read by, another one",
    ),
];

const NONE: &str = "0123456789abcdef";

#[test]
fn refused_what_ifs_name_the_reason() {
    let site = Site::new(RULES);
    let large = format!("title: x\n#{}\n", "x".repeat(1 << 20));
    let bad_span = many(2).replace("60s", "60 moons");
    let begin = "POST /api/v1/what-if";
    let more = [
        (begin, &*bad_span, 422, "timespan"),
        (begin, &*large, 413, "too-large"),
    ];
    for (request, body, status, reason) in REFUSALS.iter().chain(&more) {
        let reply = site.request(&request.replace("NONE", NONE), body);
        let text = reply.text();
        assert_eq!(reply.status, *status, "{request}: {text}");
        assert!(text.contains(reason), "{request}: {text}");
    }
    let bytes = Request::new("POST", "/api/v1/what-if").body(b"title: \xff");
    assert_eq!(site.weir.send(bytes).status, 400);
    let stranger = Request::new("GET", "/api/v1/what-if").send(site.weir.http);
    assert_eq!(stranger.expect("a reply").status, 401);
    assert!(site.list().is_empty());
    site.weir.assert_well();
    site.weir.stop();
}
