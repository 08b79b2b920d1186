//! Rules: add, disable, remove.

use crate::harness::{Memory, TestServer};

#[test]
fn add_disable_and_remove_rules() {
    let server = TestServer::start(&Memory::new());
    let refused = server.send("PUT /api/v1/rules", &[], b"title: x");
    assert_eq!(refused.problem(422).0, "rule-refused");
    assert_eq!(refused.json()["diagnostics"][0]["line"], 1);
    let added = server.send("PUT /api/v1/rules?origin=a.yml", &[], b"id: a rule/1\n");
    assert_eq!(added.json()["rules"][0]["origin"], "a.yml");
    assert_eq!(
        server.get("/api/v1/rules").json()["rules"][0]["id"],
        "a rule/1"
    );
    let disabled = server.send("POST /api/v1/rules/a%20rule%2F1/disable", &[], b"");
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    let removed = server.send("DELETE /api/v1/rules/a%20rule%2F1", &[], b"");
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(removed.json()["alerts_by_itself"][0], "base");
    server
        .send("DELETE /api/v1/rules/a%20rule%2F1", &[], b"")
        .problem(404);
    server
        .send("PUT /api/v1/rules", &[], b"id: \xff")
        .problem(400);
    server
        .send("PUT /api/v1/rules", &[], &vec![b'x'; (1 << 20) + 1])
        .problem(413);
}
