//! What-ifs of a running server: over the API and on the command line.

mod support;

#[path = "what_if_served/api.rs"]
mod api;
#[path = "what_if_served/verbs.rs"]
mod verbs;

use serde_json::Value;
use support::command::Finished;
use support::files::write;
use support::http::{Reply, Request};
use support::{Weir, config, until};

const RULES: &str = "title: Failed\nname: failed\nid: failed\nlogsource: {product: shop}\n\
     detection: {selection: {action: fail}, condition: selection}\n\
     ---\n\
     title: Many fail\nname: many\nid: many\nlevel: high\ncorrelation: {type: event_count, \
     rules: [failed], group-by: [user], timespan: 60s, condition: {gte: 4}}\n";

/// The correlation of [`RULES`] with another threshold.
fn many(least: u32) -> String {
    let (_, text) = RULES.split_once("---\n").expect("two documents");
    text.replace("gte: 4", &format!("gte: {least}"))
}

/// A correlation of a correlation, which a what-if cannot try.
const CHAIN: &str = "title: Again\nid: again\ncorrelation: {type: event_count, rules: [many], \
     group-by: [user], timespan: 1h, condition: {gte: 2}}\n";

const LOOKS: &str = "title: Looks\nid: looks\nlevel: low\nlogsource: {product: shop}\n\
     detection: {selection: {action: look}, condition: selection}\nweir: {group-by: [user]}\n";

/// A server in which the user `u1` has failed once, `u2` twice, and so on up to `u6`.
struct Site {
    folder: tempfile::TempDir,
    weir: Weir,
    sent: u64,
}

impl Site {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = write(folder.path(), "rules.yml", rules);
        let config = config(&format!(
            "[time]\nlateness = \"30s\"\n[rules]\nbuiltin = false\npaths = [{path:?}]\n\
             [[source]]\nname = \"s\"\ntransport = \"http\"\nlogsource = \"product=shop\"\n"
        ));
        let weir = Weir::start(&folder.path().join("data"), &config);
        let mut site = Self {
            folder,
            weir,
            sent: 0,
        };
        for user in 1..=6 {
            site.post(&(0..user).map(|n| (n, "fail", user)).collect::<Vec<_>>());
        }
        site
    }

    /// Posts events of one minute as (second, action, user), and waits until they are evaluated.
    fn post(&mut self, events: &[(u32, &str, u32)]) {
        let line = |(second, action, user): &(u32, &str, u32)| {
            format!(
                "{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"action\":\"{action}\",\
                 \"user\":\"u{user}\",\"n\":{second}}}\n"
            )
        };
        let lines: String = events.iter().map(line).collect();
        let request = Request::new("POST", "/api/v1/events?source=s").body(lines.as_bytes());
        assert_eq!(self.weir.send(request).status, 200);
        self.sent += events.len() as u64;
        self.settle();
    }

    /// Waits until all posted events are evaluated.
    fn settle(&self) {
        self.weir
            .await_metric("weir_events_decoded_total", "", self.sent);
    }

    /// Sends a request such as `GET /healthz`.
    fn request(&self, request: &str, body: &str) -> Reply {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        self.weir
            .send(Request::new(method, path).body(body.as_bytes()))
    }

    /// Begins a what-if, waits for its first result, and returns its id.
    fn begin(&self, query: &str, body: &str) -> String {
        let reply = self.request(&format!("POST /api/v1/what-if{query}"), body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["what_if"]["id"].as_str().map(str::to_owned);
        let id = id.expect("it has an id");
        until("a result", || {
            let page = self.what_if(&id);
            (page["what_if"]["state"] == "running").then_some(())
        });
        id
    }

    /// Ids and states of all what-ifs.
    fn list(&self) -> Vec<Value> {
        let page = self.request("GET /api/v1/what-if", "").json();
        page["what_ifs"].as_array().expect("a list").clone()
    }

    /// A page of a what-if's results; `id` may carry a query.
    fn what_if(&self, id: &str) -> Value {
        self.request(&format!("GET /api/v1/what-if/{id}"), "")
            .json()
    }

    /// The standing alerts as `"user"=count`.
    fn alerts(&self) -> Vec<String> {
        let page = self.weir.get("/api/v1/alerts?limit=1000").json();
        let mut all: Vec<String> = page["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|alert| alert["standing"] != false)
            .map(|alert| format!("{}={}", alert["group"]["user"], alert["count"]))
            .collect();
        all.sort();
        all
    }

    fn file(&self, name: &str, text: &str) -> String {
        write(self.folder.path(), name, text)
    }

    /// Runs a verb that queries this server.
    fn run(&self, args: &[&str]) -> Finished {
        self.weir.run(args)
    }
}

/// Gained, lost, changed and unchanged alerts of a what-if.
fn counts(what_if: &Value) -> [u64; 4] {
    let count = |name: &str| what_if[name].as_u64().expect("a count");
    ["gained", "lost", "changed", "same"].map(count)
}
