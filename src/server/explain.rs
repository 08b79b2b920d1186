//! Explains an alert: its rule's text, its events' raw bytes, and the clauses that matched in them.

use std::sync::Arc;

use weir_dataflow::{BatchReader, PortFault};
use weir_detect::RuleBook;
use weir_manage::RuleRegistry;
use weir_operators::{BatchContext, SourceProblem};
use weir_schema::{
    AlertRecord, Bound, Cause, ConditionKind, Decimal, EvidenceItem, GroupField, MemberCondition,
    Plan, PlanKind, Statistic, TimeBounds, ValueBound, Weight,
};
use weir_web::ports::{AlertExplanation, ExplainedEvent, MatchedClause};

/// Looks up the rule and the events of an alert.
pub struct Explainer {
    pub frames: Arc<dyn BatchReader>,
    pub rules: Arc<RuleRegistry>,
    pub bounds: TimeBounds,
}

impl Explainer {
    /// Fails only while the disk does: an event that the journal has lost is shown without its bytes.
    pub fn explain(&self, record: AlertRecord) -> Result<AlertExplanation, PortFault> {
        let book = self.rules.book();
        let plan = book
            .plans()
            .filter(|plan| plan.rule == record.rule)
            .max_by_key(|plan| (plan.version == record.version, plan.since));
        let built_in = SourceProblem::from_rule(&record.rule)
            .map(SourceProblem::condition)
            .or_else(|| ConditionKind::from_rule(&record.rule).map(ConditionKind::condition));
        let condition = match built_in {
            Some(text) => text.to_owned(),
            None => plan.map_or_else(String::new, |plan| condition(plan, &record.group)),
        };
        let items = record.evidence.head.iter().chain(&record.evidence.tail);
        let event = |item: &EvidenceItem| self.event(&book, &record, *item);
        let cause = match &record.cause {
            Cause::Event(item) | Cause::LateEvent(item) => Some(event(item)?),
            Cause::Watermark(_)
            | Cause::Rule(_)
            | Cause::RuleRemoved
            | Cause::Clock(_)
            | Cause::Condition(_)
            | Cause::Upgrade
            | Cause::ClockRepair => None,
        };
        Ok(AlertExplanation {
            condition,
            rule_text: self.rules.text(&record.rule, record.version),
            events: items.map(event).collect::<Result<_, _>>()?,
            cause,
            record,
        })
    }

    fn event(
        &self,
        book: &RuleBook,
        record: &AlertRecord,
        item: EvidenceItem,
    ) -> Result<ExplainedEvent, PortFault> {
        let unknown = ExplainedEvent {
            item,
            received: weir_schema::ReceiveTime(0),
            source: String::new(),
            peer: None,
            raw: None,
            weight: Weight::ONE,
            clauses: Vec::new(),
        };
        let seq = item.position.batch();
        let batch = match self.frames.batch(seq) {
            Ok(batch) => batch,
            // Other processes do not state whether their journal is damaged.
            Err(fault) if fault.is_transient() && seq.process() == 0 => return Err(fault),
            Err(_) => return Ok(unknown),
        };
        let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
            return Ok(unknown);
        };
        let reading = BatchContext::of(&batch, &self.bounds, None);
        let event = weir_parse::decode(frame, &reading.context());
        let explained = book.explain(&record.rule, &event);
        Ok(ExplainedEvent {
            received: batch.received,
            source: batch.source.clone(),
            peer: batch.peer.clone(),
            raw: Some(frame.to_vec()),
            weight: event.weight,
            clauses: explained.map_or_else(Vec::new, |explained| clauses(&explained)),
            ..unknown
        })
    }
}

/// The clauses that made the match, of the rule or of its matching members.
fn clauses(explained: &weir_detect::Explanation) -> Vec<MatchedClause> {
    let own = explained.decisive().filter(|_| explained.matched);
    let own = own.map(|clause| {
        let field = clause.field.as_deref().unwrap_or("keywords");
        // The patterns that matched; a `not` has none, and shows all of its patterns.
        let patterns = if clause.hits.is_empty() {
            &clause.patterns
        } else {
            &clause.hits
        };
        let patterns = patterns.join(", ");
        MatchedClause {
            rule: explained.rule.clone(),
            clause: format!(
                "{}.{field}{}: {patterns}",
                clause.identifier, clause.modifiers
            ),
            field: clause.field.clone(),
            value: clause.value.clone(),
        }
    });
    own.chain(explained.members.iter().flat_map(clauses))
        .collect()
}

/// The condition of a plan, as text, with the fields by which an alert is grouped: if the rule names
/// none, they depend on the event.
fn condition(plan: &Plan, group: &[GroupField]) -> String {
    let clause = match &plan.kind {
        PlanKind::EventCount { bounds } => {
            let bounds: Vec<String> = bounds.iter().map(bound).collect();
            format!("event_count {}", bounds.join(" and "))
        }
        PlanKind::Temporal { condition, .. } => format!("temporal {}", members(condition)),
        PlanKind::TemporalOrdered { members } => format!("temporal_ordered #1 to #{members}"),
        PlanKind::NotFollowed { members } => format!("#1 not followed by #2 to #{members}"),
        PlanKind::Silence => "nothing more".to_owned(),
        PlanKind::ValueCount { bounds } => {
            let bounds: Vec<String> = bounds.iter().map(bound).collect();
            format!("value_count {}", bounds.join(" and "))
        }
        PlanKind::Value { statistic, bounds } => {
            let bounds: Vec<String> = bounds.iter().map(value_bound).collect();
            format!("{} {}", statistic_name(*statistic), bounds.join(" and "))
        }
    };
    let seconds = plan.timespan.0 / 1_000_000_000;
    let by: Vec<&str> = match group {
        [] => plan.group_by.iter().map(String::as_str).collect(),
        fields => fields.iter().map(|field| field.name.as_str()).collect(),
    };
    let by = by.join(", ");
    format!("{clause} within {seconds}s by {by}")
}

fn bound(bound: &Bound) -> String {
    match bound {
        Bound::Gt(n) => format!("> {n}"),
        Bound::Gte(n) => format!(">= {n}"),
        Bound::Lt(n) => format!("< {n}"),
        Bound::Lte(n) => format!("<= {n}"),
        Bound::Eq(n) => format!("= {n}"),
        Bound::Neq(n) => format!("!= {n}"),
    }
}

fn statistic_name(statistic: Statistic) -> String {
    match statistic {
        Statistic::Sum => "value_sum".to_owned(),
        Statistic::Average => "value_avg".to_owned(),
        Statistic::Percentile(rank) => format!("value_percentile {}", decimal(rank)),
    }
}

fn value_bound(bound: &ValueBound) -> String {
    let sign = match bound {
        ValueBound::Gt(_) => ">",
        ValueBound::Gte(_) => ">=",
        ValueBound::Lt(_) => "<",
        ValueBound::Lte(_) => "<=",
        ValueBound::Eq(_) => "=",
        ValueBound::Neq(_) => "!=",
    };
    format!("{sign} {}", decimal(bound.number()))
}

fn decimal(number: Decimal) -> String {
    let sign = if number.0 < 0 { "-" } else { "" };
    let one = Decimal::ONE.unsigned_abs();
    let (whole, part) = (number.0.unsigned_abs() / one, number.0.unsigned_abs() % one);
    let text = format!("{sign}{whole}.{part:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A condition over members, each named by its place in the rule's list, from 1.
fn members(condition: &MemberCondition) -> String {
    let joined = |parts: &[MemberCondition], word: &str| {
        let parts: Vec<String> = parts.iter().map(members).collect();
        format!("({})", parts.join(word))
    };
    match condition {
        MemberCondition::Present(place) => format!("#{}", place + 1),
        MemberCondition::Not(inner) => format!("not {}", members(inner)),
        MemberCondition::All(parts) => joined(parts, " and "),
        MemberCondition::Any(parts) => joined(parts, " or "),
    }
}
