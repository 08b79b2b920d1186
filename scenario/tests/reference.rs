//! Rules, parser and the reference implementation find the alerts that the generator expects.

mod common;

use std::collections::BTreeMap;

use weir_detect::{Detections, RuleBook};
use weir_operators::reference::{PlanStep, Reference, ReferenceClock};
use weir_parse::{Context, decode};
use weir_scenario::Company;
use weir_scenario::order::{Arrival, OrderExperiment, RULES};
use weir_scenario::{ExpectedAlert, PlannedDelivery};
use weir_schema::{
    EventId, EventTime, Fact, Format, GroupField, GroupKey, LogSource, PlanId, Position,
    ReceiveTime, TenantKey,
};

use common::{START, add, book, context, frame};

/// Facts of frames as in the graph, with the field values of their groups.
struct Facts<'b> {
    book: &'b RuleBook,
    facts: Vec<Fact>,
    groups: BTreeMap<(PlanId, GroupKey), Vec<GroupField>>,
    detected: Detections,
}

impl<'b> Facts<'b> {
    fn new(book: &'b RuleBook) -> Self {
        Self {
            book,
            facts: Vec::new(),
            groups: BTreeMap::new(),
            detected: Detections::default(),
        }
    }

    fn add(&mut self, frame: &[u8], context: &Context<'_>) {
        let tenant = TenantKey::of(&[b"default"]);
        let event = decode(frame, context);
        assert_eq!(event.problems, [], "{event:?}");
        self.detected.clear();
        self.book.detect(&event, tenant, None, &mut self.detected);
        let position = Position(self.facts.len() as u64);
        for fact in &self.detected.facts {
            let (plan, group) = (fact.plan, fact.group);
            self.groups.entry((plan, group)).or_insert_with(|| {
                let fields = self.book.group_fields(plan, &event, tenant, group);
                fields.expect("the event made the group")
            });
            self.facts.push(Fact {
                plan,
                tenant,
                group,
                time: event.time,
                event: EventId::of(&[frame]),
                position,
                members: fact.members,
                value: fact.value,
                weight: event.weight,
                received: ReceiveTime(event.time.0),
                time_mark: None,
            });
        }
    }

    /// The standing alerts once all facts have arrived and the watermark is behind them.
    fn standing(&self) -> Vec<ExpectedAlert> {
        let mut reference = Reference::default();
        let plans: Vec<PlanStep> = self.book.plans().cloned().map(PlanStep::Install).collect();
        let clock = ReferenceClock {
            tenant: TenantKey::of(&[b"default"]),
            watermark: EventTime::MAX,
            settled: EventTime::MIN,
        };
        reference.epoch(&plans, &self.facts, &[clock]);
        let alert = |row: weir_operators::reference::StandingAlert| {
            let plan = self.book.plan(row.plan).expect("the plan is in the book");
            let group = self.groups[&(row.plan, row.group)].iter();
            ExpectedAlert {
                rule: plan.rule.to_string(),
                title: plan.title.clone(),
                group: group
                    .map(|field| (field.name.clone(), field.value.clone()))
                    .collect(),
                first: row.first,
                last: row.last,
                count: row.count,
                retracted: false,
            }
        };
        let mut alerts: Vec<ExpectedAlert> = reference.standing().into_iter().map(alert).collect();
        alerts.sort();
        alerts
    }
}

#[test]
fn the_company_raises_its_expected_alerts() {
    let book = book();
    for seed in [1, 2, 42] {
        let scenario = Company::new(seed).plan(START);
        let standing = |wanted: fn(&PlannedDelivery) -> bool| {
            let mut facts = Facts::new(&book);
            for delivery in scenario
                .deliveries
                .iter()
                .filter(|delivery| wanted(delivery))
            {
                let (frame, format) = frame(delivery);
                facts.add(&frame, &context(format));
            }
            facts.standing()
        };
        let expected = |wanted: fn(&ExpectedAlert) -> bool| -> Vec<ExpectedAlert> {
            let alerts = scenario
                .expected
                .iter()
                .filter(|alert| wanted(alert))
                .cloned();
            let mut alerts: Vec<_> = alerts
                .map(|alert| ExpectedAlert {
                    retracted: false,
                    ..alert
                })
                .collect();
            alerts.sort();
            alerts
        };
        assert_eq!(
            standing(|delivery| !delivery.late),
            expected(|_| true),
            "seed {seed}"
        );
        assert_eq!(
            standing(|_| true),
            expected(|alert| !alert.retracted),
            "seed {seed}"
        );
    }
}

#[test]
fn the_order_experiment_raises_its_expected_alerts() {
    let mut book = RuleBook::new();
    add(&mut book, RULES, "order.yml");
    let logsource = LogSource {
        product: Some("order".to_owned()),
        ..LogSource::default()
    };
    let context = Context {
        logsource: Some(&logsource),
        time_field: Some("time"),
        ..context(Format::Json)
    };
    let order = OrderExperiment::new(3, START, 0);
    let mut facts = Facts::new(&book);
    for line in order.lines_in(Arrival::Shuffled) {
        let day_later = weir_schema::ReceiveTime(START.0 + 86_400_000_000_000);
        facts.add(
            line.as_bytes(),
            &Context {
                received: day_later,
                ..context
            },
        );
    }
    let found: Vec<_> = facts
        .standing()
        .into_iter()
        .map(|alert| {
            (
                alert.rule,
                alert.group[0].1.clone(),
                alert.first,
                alert.last,
                alert.count,
            )
        })
        .collect();
    let wanted: Vec<_> = order
        .standing
        .iter()
        .map(|row| {
            (
                row.rule.to_owned(),
                row.user.clone(),
                row.first,
                row.last,
                row.count,
            )
        })
        .collect();
    assert_eq!(found, wanted);
}
