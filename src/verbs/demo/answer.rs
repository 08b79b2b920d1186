//! Compares what Weir concluded with what the plan says, which never saw a rule run.

use anyhow::Result;
use serde_json::{Value, json};
use weir_scenario::ExpectedAlert;
use weir_schema::{AlertRecord, Cause, Change, ChangeKind};
use weir_store::ledger::{Ledger, PAGE_MAX};
use weir_web::rfc3339;

use crate::demo::tally::Counts;

/// What was found, and what of it is not as planned.
pub struct Answer {
    /// Alerts that were raised and stand.
    pub standing: Vec<ExpectedAlert>,
    /// Those that were raised and taken back, with the name of the cause.
    pub retracted: Vec<(ExpectedAlert, &'static str)>,
    /// Planned, and not so.
    pub missing: Vec<ExpectedAlert>,
    /// Not planned, or otherwise; in words.
    pub unexpected: Vec<String>,
}

impl Answer {
    /// Looks at every alert that there ever was.
    pub fn of(ledger: &Ledger, expected: &[ExpectedAlert]) -> Result<Self> {
        let mut answer = Self {
            standing: Vec::new(),
            retracted: Vec::new(),
            missing: expected.to_vec(),
            unexpected: Vec::new(),
        };
        let mut after = None;
        loop {
            let records = ledger.records(after, PAGE_MAX)?;
            let Some(last) = records.last() else {
                return Ok(answer);
            };
            after = Some(last.alert);
            for record in &records {
                answer.judge(record, &ledger.history(record.alert)?);
            }
        }
    }

    fn judge(&mut self, record: &AlertRecord, history: &[Change]) {
        let found = found(record);
        let kinds: Vec<ChangeKind> = history.iter().map(|change| change.kind).collect();
        let withdrawn = kinds
            .iter()
            .filter(|kind| **kind == ChangeKind::Retracted)
            .count();
        let raised = kinds.first() == Some(&ChangeKind::Raised);
        let straight = raised && withdrawn == usize::from(found.retracted);
        let place = self.missing.iter().position(|expected| *expected == found);
        match place {
            Some(place) if straight => drop(self.missing.remove(place)),
            Some(_) => {
                let words: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                self.unexpected
                    .push(format!("{}: {}", said(&found), words.join(", ")));
            }
            None => self.unexpected.push(said(&found)),
        }
        if found.retracted {
            let because = record.cause.name();
            if !matches!(record.cause, Cause::LateEvent(_)) {
                self.unexpected
                    .push(format!("{}: because of {because}", said(&found)));
            }
            self.retracted.push((found, because));
        } else {
            self.standing.push(found);
        }
    }

    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    /// The summary: one object.
    pub fn summary(&self, seed: u64, sent: Counts, journaled: Counts) -> Value {
        let lost = sent.all().saturating_sub(journaled.all());
        let alerts: Vec<Value> = self.standing.iter().map(alert_json).collect();
        let retracted = self.retracted.iter().map(|(alert, because)| {
            let mut alert = alert_json(alert);
            alert["because"] = (*because).into();
            alert
        });
        json!({
            "seed": seed,
            "sent": sent,
            "journaled": journaled,
            "lost": lost,
            "alerts": alerts,
            "retracted": retracted.collect::<Vec<_>>(),
            "missing": self.missing.iter().map(alert_json).collect::<Vec<_>>(),
            "unexpected": self.unexpected,
            "ok": self.holds() && sent == journaled,
        })
    }
}

/// A record in the columns of the plan.
fn found(record: &AlertRecord) -> ExpectedAlert {
    let group = record.group.iter();
    ExpectedAlert {
        rule: record.rule.to_string(),
        title: record.title.clone(),
        group: group
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect(),
        first: record.first,
        last: record.last,
        count: record.count,
        retracted: !record.standing,
    }
}

/// An alert in a few words.
pub fn said(alert: &ExpectedAlert) -> String {
    let group = alert
        .group
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    format!(
        "\"{}\" for {}",
        alert.title,
        group.collect::<Vec<_>>().join(" ")
    )
}

fn alert_json(alert: &ExpectedAlert) -> Value {
    let group = alert.group.iter();
    let group: serde_json::Map<String, Value> = group
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    json!({
        "title": alert.title,
        "group": group,
        "first": rfc3339(alert.first),
        "last": rfc3339(alert.last),
        "count": alert.count,
    })
}
