//! The limit on groups, and the report of a rule that reached it.

use serde_json::{Value, json};
use weir_schema::{GroupKey, TenantKey};

use super::support::{Weir, until};
use super::{Site, correlation, standing, time};

/// Groups of a rule in one of its 64 shards.
const SHARD: usize = (4 << 20) / 64;

/// Names of users whose groups all belong to the same shard.
fn users_of_one_shard(count: usize) -> Vec<String> {
    let tenant = TenantKey::of(&[b"default"]).0.to_le_bytes();
    let shard = |name: &str| {
        let key = GroupKey::of(&[&tenant, b"user", name.as_bytes()]);
        key.0[1] % 64
    };
    let names = (0_u32..).map(|n| format!("{n}"));
    names.filter(|name| shard(name) == 7).take(count).collect()
}

/// Ids of the rules that the API lists as incomplete.
fn incomplete(weir: &Weir) -> Option<Vec<String>> {
    let rules = weir.get("/api/v1/rules").json();
    let rules = rules["rules"].as_array()?.iter();
    let rules = rules.filter(|rule| rule["incomplete"] == true);
    let id = |rule: &Value| rule["id"].as_str().unwrap_or_default().to_owned();
    Some(rules.map(id).collect())
}

#[test]
fn a_rule_at_its_group_limit_is_listed_as_incomplete() {
    let other = correlation("rules: [other]")
        .replace("000009", "000007")
        .replace("name: me", "name: you");
    let site = Site::new(&[correlation(""), other], "");
    let weir = site.start();
    let event = |name: &String| json!({"time": time(36_000), "kind": "one", "user": name});
    let events: Vec<Value> = users_of_one_shard(SHARD + 3).iter().map(event).collect();
    let (full, rest) = events.split_at(SHARD);
    site.send(&weir, "h", full);
    weir.await_metric("weir_facts_total", "", SHARD as u64);
    assert_eq!(weir.metric("weir_facts_limited_total", ""), 0.0);
    assert_eq!(incomplete(&weir), Some(Vec::new()));

    // Three more groups are refused and counted. Existing groups and other rules go on.
    site.send(&weir, "h", rest);
    weir.await_metric("weir_facts_limited_total", "", 3);
    let me = ["00000000-0000-4000-8000-000000000009".to_owned()];
    until("it is listed", || (incomplete(&weir)? == me).then_some(()));
    assert_eq!(weir.metric("weir_rules_incomplete", ""), 1.0);
    site.send(&weir, "h", &full[..1]);
    assert_eq!(standing(&weir, 1).len(), 1);
    weir.stop();

    // A restart replays the same journal and so reaches the same limit.
    let weir = site.start();
    until("it is listed again", || {
        (incomplete(&weir)? == me).then_some(())
    });
    weir.stop();
}
