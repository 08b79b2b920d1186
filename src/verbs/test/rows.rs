//! Answers the questions of stories with rows of standing alerts.

use weir_schema::{AlertRecord, EventTime};
use weir_story::TENANT;
use weir_web::rfc3339;

/// Answers a question of a story about its standing alerts.
///
/// `alerts` lists them in order of rule, group and start. `rows` lists them with all columns that
/// must be equal in every way of running the story, events included.
pub fn rows(query: &str, mut standing: Vec<AlertRecord>) -> Vec<String> {
    match query.trim() {
        "alerts" => {}
        "rows" => return exact_rows(&standing),
        _ => return vec!["no such question; ask for `alerts` or `rows`".to_owned()],
    }
    standing.sort_by(|a, b| {
        let key = |record: &AlertRecord| {
            let group = (record.group.clone(), record.tenant.clone());
            (record.title.clone(), group, record.first)
        };
        key(a).cmp(&key(b))
    });
    let row = |record: &AlertRecord| {
        let fields = record.group.iter();
        let fields = fields.map(|field| format!("{}={}", field.name, field.value));
        let mut fields: Vec<String> = fields.collect();
        if record.tenant != TENANT {
            fields.push(format!("of {}", record.tenant));
        }
        format!(
            "{}: {} {} {}, {} from {} to {}{}",
            record.title,
            fields.join(" "),
            record.level.name(),
            record.state.name(),
            record.count,
            rfc3339(record.first),
            rfc3339(record.last),
            marked(record),
        )
    };
    standing.iter().map(row).collect()
}

/// The mark of an alert, with both times of the first event that has it.
fn marked(record: &AlertRecord) -> String {
    record.marked.map_or_else(String::new, |marked| {
        let stated = marked.stated.map_or_else(|| "no time".to_owned(), rfc3339);
        let received = rfc3339(EventTime(marked.received.0));
        format!(
            ", {}: stated {stated}, received {received}",
            marked.mark.name()
        )
    })
}

fn exact_rows(standing: &[AlertRecord]) -> Vec<String> {
    let row = |record: &AlertRecord| {
        let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
        let events: Vec<String> = evidence.map(|item| item.event.to_string()).collect();
        format!(
            "{} {} {} {} {} {} {} {} {}{}",
            record.key,
            record.rule,
            record.version,
            record.state.name(),
            record.level.name(),
            rfc3339(record.first),
            rfc3339(record.last),
            record.count,
            events.join(","),
            marked(record),
        )
    };
    let mut rows: Vec<String> = standing.iter().map(row).collect();
    rows.sort();
    rows
}
