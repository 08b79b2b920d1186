//! Writes a scenario: collects its deliveries, expected alerts and narration.
//!
//! **Budgets.** Background events may match a detection, but each group of each rule has a budget
//! for the whole scenario, below the threshold of the rule. So no window can hold enough of them.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{EventTime, Span};

use crate::catalogue::alerting_rule;
use crate::company::Company;
use crate::lines::rfc3164;
use crate::random::seeded;
use crate::scenario::{
    DeliveryPayload, DeliveryTransport, ExpectedAlert, ExpectedDetection, PlannedDelivery, Scenario,
};

mod events;
pub(crate) use events::{AUTOMATION, AgentReport, BlockedPacket, CronJob, LoginMethod, Ticket};

/// A scenario under construction. Times are whole seconds from its start.
pub(crate) struct Script<'a> {
    pub company: &'a Company,
    pub rng: ChaCha8Rng,
    start: EventTime,
    deliveries: Vec<PlannedDelivery>,
    expected: Vec<ExpectedAlert>,
    narration: Vec<(Span, String)>,
    spent: BTreeMap<(&'static str, String), u32>,
}

impl<'a> Script<'a> {
    pub fn new(company: &'a Company, start: EventTime) -> Self {
        Self {
            company,
            rng: seeded(company.seed, 2),
            start,
            deliveries: Vec::new(),
            expected: Vec::new(),
            narration: Vec::new(),
            spent: BTreeMap::new(),
        }
    }

    pub fn time(&self, second: i64) -> EventTime {
        self.start.plus(Span::seconds(second))
    }

    pub fn narrate(&mut self, second: i64, text: impl Into<String>) {
        self.narration.push((Span::seconds(second), text.into()));
    }

    /// Takes one event from the budget of a group. False if the budget is used up.
    pub fn afford(&mut self, group: &'static str, value: &str, budget: u32) -> bool {
        let spent = self.spent.entry((group, value.to_owned())).or_default();
        let affordable = *spent < budget;
        *spent += u32::from(affordable);
        affordable
    }

    /// Expects an alert over events between two seconds.
    pub fn expect(&mut self, rule: &str, group: &[&str], from: i64, to: i64, count: u64) {
        let rule = alerting_rule(rule).expect("scripts name rules of the catalogue");
        let names = rule.group_by.iter().map(|&name| name.to_owned());
        self.expected.push(ExpectedAlert {
            rule: rule.id.to_owned(),
            title: rule.title.to_owned(),
            group: names.zip(group.iter().map(|&v| v.to_owned())).collect(),
            first: self.time(from),
            last: self.time(to),
            count,
            retracted: false,
        });
    }

    /// Expects that a late event retracts the alert that was added last.
    pub fn expect_retraction(&mut self) {
        if let Some(alert) = self.expected.last_mut() {
            alert.retracted = true;
        }
    }

    pub fn finish(mut self, length: Span) -> Scenario {
        self.deliveries.sort_by_key(|delivery| delivery.at);
        self.expected.sort();
        self.narration.sort_by_key(|(at, _)| *at);
        Scenario {
            start: self.start,
            deliveries: self.deliveries,
            expected: self.expected,
            narration: self.narration,
            length,
        }
    }

    /// Draws a process id.
    pub fn process(&mut self) -> u32 {
        self.rng.random_range(700..64_000)
    }

    /// Draws a client port.
    pub fn port(&mut self) -> u16 {
        self.rng.random_range(32_768..61_000)
    }

    /// Adds a line, sent within a second of its event time.
    pub fn line(
        &mut self,
        transport: DeliveryTransport,
        second: i64,
        host: &str,
        line: Vec<u8>,
        detections: Vec<ExpectedDetection>,
    ) {
        let delay = self.rng.random_range(0..900_000_000);
        self.deliveries.push(PlannedDelivery {
            at: Span(Span::seconds(second).0.saturating_add(delay)),
            transport,
            host: host.to_owned(),
            payload: DeliveryPayload::Line(line),
            time: self.time(second),
            detections,
            late: false,
        });
    }

    fn tagged(&mut self, priority: u8, tag: &str, second: i64, host: &str, text: &str) -> Vec<u8> {
        let tag = format!("{tag}[{}]", self.process());
        rfc3164(priority, self.time(second), host, &tag, text)
    }
}
