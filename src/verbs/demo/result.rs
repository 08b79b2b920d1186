//! Compares the alerts of a demo with those that its scenario planned without running a rule.

use anyhow::Result;
use serde_json::{Value, json};
use weir_scenario::ExpectedAlert;
use weir_schema::{AlertRecord, Cause, Change, ChangeKind};
use weir_store::ledger::{Ledger, PAGE_MAX};
use weir_web::rfc3339;

use crate::text::{group_text, printable};
use crate::verbs::demo::counter::LineCounts;

/// The alerts of a demo, and how they differ from the plan.
pub struct DemoResult {
    /// Alerts that were raised and stand.
    pub standing: Vec<ExpectedAlert>,
    /// Alerts that were raised and retracted, with the name of the cause.
    pub retracted: Vec<(ExpectedAlert, &'static str)>,
    /// Planned alerts that were not found.
    pub missing: Vec<ExpectedAlert>,
    /// Alerts that were not planned, or planned otherwise, as text.
    pub unexpected: Vec<String>,
}

impl DemoResult {
    /// Compares every alert of the ledger with the plan.
    pub fn compare(ledger: &Ledger, expected: &[ExpectedAlert]) -> Result<Self> {
        let mut result = Self {
            standing: Vec::new(),
            retracted: Vec::new(),
            missing: expected.to_vec(),
            unexpected: Vec::new(),
        };
        let mut after = None;
        loop {
            let records = ledger.records(after, PAGE_MAX)?;
            let Some(last) = records.last() else {
                return Ok(result);
            };
            after = Some(last.alert);
            for record in &records {
                result.add(record, &ledger.history(record.alert)?);
            }
        }
    }

    /// Adds an alert with its changes.
    fn add(&mut self, record: &AlertRecord, history: &[Change]) {
        let found = as_planned(record);
        let kinds: Vec<ChangeKind> = history.iter().map(|change| change.kind).collect();
        let retractions = kinds
            .iter()
            .filter(|kind| **kind == ChangeKind::Retracted)
            .count();
        let raised = kinds.first() == Some(&ChangeKind::Raised);
        let as_expected = raised && retractions == usize::from(found.retracted);
        let place = self.missing.iter().position(|expected| *expected == found);
        match place {
            Some(place) if as_expected => drop(self.missing.remove(place)),
            Some(_) => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                self.unexpected
                    .push(format!("{}: {}", summary_line(&found), names.join(", ")));
            }
            None => self.unexpected.push(summary_line(&found)),
        }
        if found.retracted {
            let because = record.cause.name();
            if !matches!(record.cause, Cause::LateEvent(_)) {
                self.unexpected
                    .push(format!("{}: because of {because}", summary_line(&found)));
            }
            self.retracted.push((found, because));
        } else {
            self.standing.push(found);
        }
    }

    /// Whether the alerts are as planned.
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    /// The summary as one JSON object.
    pub fn summary(&self, seed: u64, sent: LineCounts, journaled: LineCounts) -> Value {
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

/// A record in the form of the plan.
fn as_planned(record: &AlertRecord) -> ExpectedAlert {
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

/// An alert in one line.
pub fn summary_line(alert: &ExpectedAlert) -> String {
    let group = alert.group.iter();
    let group = group_text(group.map(|(name, value)| (&**name, &**value)));
    format!("\"{}\" for {group}", printable(&alert.title))
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
