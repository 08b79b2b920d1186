//! A live plan: a plan of the graph, with the detections and fields that produce its facts.

use std::borrow::Cow;
use std::sync::Arc;

use weir_schema::{
    Bound, Chain, GroupKey, GroupLink, Plan, PlanId, PlanKind, PlanOutput, RuleId, Span, TenantKey,
};

use crate::book::group::MissingField;
use crate::book::period::Period;
use crate::book::{facts, group};
use crate::sigma::detection::Detection;
use crate::sigma::document::RuleDocument;
use crate::sigma::grouping::Grouping;

/// Timespan of a rule that is not a correlation: closer matches belong to one alert.
const RULE_TIMESPAN: Span = Span::seconds(600);

/// A plan, with everything needed to produce its facts.
#[derive(Clone, Debug)]
pub(crate) struct LivePlan {
    pub plan: Plan,
    /// In order of member. A member that is a correlation has a plan of its own instead.
    pub sources: Vec<PlanSource>,
    /// The sources of the plans of its members, with this plan's fields to group by.
    pub upstream_sources: Vec<PlanSource>,
    /// For a member's plan: the plan that reads it.
    pub downstream: Option<Arc<DownstreamPlan>>,
    /// The result if an event lacks a field to group by.
    pub missing: MissingField,
}

/// A detection that a plan reads, with the field names of its events.
#[derive(Clone, Debug)]
pub(crate) struct PlanSource {
    pub rule: RuleId,
    pub member: u16,
    pub detection: Arc<Detection>,
    /// The plan's fields to group by, under the names that this rule's events use.
    pub group_by: Vec<String>,
    /// The fields that the plan computes with, under the names that this rule's events use.
    pub values: Vec<String>,
}

/// The plan that reads a member's plan, and how the member's groups map to its groups.
#[derive(Clone, Debug)]
pub(crate) struct DownstreamPlan {
    pub plan: PlanId,
    pub stage: u8,
    pub kind: PlanKind,
    /// The fields by which it groups.
    pub names: Vec<String>,
    /// Indexes of these fields among the member's fields to group by.
    pub group: Vec<usize>,
    /// Indexes, among the same, of the fields that it counts.
    pub values: Vec<usize>,
    pub next: Option<Arc<DownstreamPlan>>,
}

impl LivePlan {
    /// Maps a group of this plan to the group of the downstream plan, and so on down the chain.
    ///
    /// `values` are the texts of the group's fields.
    pub(crate) fn group_links(
        &self,
        tenant: TenantKey,
        group: GroupKey,
        values: &[Cow<'_, str>],
    ) -> Vec<GroupLink> {
        let mut links = Vec::new();
        let mut from = (self.plan.chain.stage, self.plan.id, group);
        let mut texts: Vec<Cow<'_, str>> = values.to_vec();
        let mut next = self.downstream.as_ref();
        while let Some(downstream) = next {
            let text = |index: &usize| texts.get(*index).cloned().unwrap_or_default();
            let names: Vec<Cow<'_, str>> = downstream.group.iter().map(text).collect();
            let counted: Vec<Cow<'_, str>> = downstream.values.iter().map(text).collect();
            let fields = downstream.names.iter().map(String::as_str);
            let to = group::key(fields, tenant, &names);
            let value = facts::group_value(&downstream.kind, counted.iter().map(|text| &**text));
            links.push(GroupLink {
                stage: from.0,
                plan: from.1,
                group: from.2,
                to,
                value: value.unwrap_or_default(),
            });
            from = (downstream.stage, downstream.plan, to);
            texts = names;
            next = downstream.next.as_ref();
        }
        links
    }
}

/// The plan of a rule that is not a correlation, for a period of one version.
pub(crate) fn rule_plan(
    document: &RuleDocument,
    detection: &Arc<Detection>,
    grouping: &Grouping,
    period: Period,
) -> LivePlan {
    let id = PlanId::of(&[
        document.id.as_bytes(),
        &period.since.0.to_le_bytes(),
        &document.shape.0.to_le_bytes(),
    ]);
    let kind = PlanKind::EventCount {
        bounds: vec![Bound::Gte(1)],
    };
    let plan = Plan {
        correlates: false,
        ..plan(document, id, kind, RULE_TIMESPAN, &grouping.fields, period)
    };
    let sources = vec![PlanSource {
        rule: document.id.clone(),
        member: 0,
        detection: detection.clone(),
        group_by: grouping.fields.clone(),
        values: Vec::new(),
    }];
    LivePlan {
        plan,
        sources,
        upstream_sources: Vec::new(),
        downstream: None,
        missing: match grouping.given {
            true => MissingField::Empty,
            false => MissingField::Fallback,
        },
    }
}

/// A plan of the document whose rows are alerts.
pub(crate) fn plan(
    document: &RuleDocument,
    id: PlanId,
    kind: PlanKind,
    timespan: Span,
    group_by: &[String],
    period: Period,
) -> Plan {
    Plan {
        id,
        rule: document.id.clone(),
        version: document.version,
        title: document.title.clone(),
        level: document.level,
        kind,
        correlates: true,
        timespan,
        group_by: group_by.to_vec(),
        since: period.since,
        until: period.until,
        output: PlanOutput::Alerts,
        chain: Chain::default(),
    }
}
