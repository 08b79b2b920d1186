//! Why an alert stands: its rule's words, its events' raw bytes, and the clauses that matched in them.

use std::sync::Arc;

use weir_detect::RuleBook;
use weir_operators::Reading;
use weir_schema::{AlertRecord, Bound, Cause, EvidenceItem, Member, Plan, PlanKind, TimeBounds};
use weir_store::journal::JournalReader;
use weir_web::ports::{ExplainedEvent, Explanation, MatchedClause};

use crate::rule_desk::RuleDesk;

/// Looks up what an alert rests on.
pub struct Explainer {
    pub journal: JournalReader,
    pub rules: Arc<RuleDesk>,
    pub bounds: TimeBounds,
}

impl Explainer {
    pub fn explain(&self, record: AlertRecord) -> Explanation {
        let book = self.rules.book();
        let plan = book
            .plans()
            .filter(|plan| plan.rule == record.rule)
            .max_by_key(|plan| (plan.version == record.version, plan.since));
        let condition = plan.map_or_else(String::new, condition);
        let items = record.evidence.head.iter().chain(&record.evidence.tail);
        let event = |item: &EvidenceItem| self.event(&book, &record, *item);
        let cause = match &record.cause {
            Cause::Event(item) | Cause::LateEvent(item) => Some(event(item)),
            Cause::Watermark(_) | Cause::Rule(_) | Cause::RuleRemoved => None,
        };
        Explanation {
            condition,
            rule_text: self.rules.text(&record.rule, record.version),
            events: items.map(event).collect(),
            cause,
            record,
        }
    }

    fn event(&self, book: &RuleBook, record: &AlertRecord, item: EvidenceItem) -> ExplainedEvent {
        let unknown = ExplainedEvent {
            item,
            received: weir_schema::ReceiveTime(0),
            source: String::new(),
            peer: None,
            raw: None,
            clauses: Vec::new(),
        };
        let Ok(batch) = self.journal.batch(item.position.batch()) else {
            return unknown;
        };
        let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
            return unknown;
        };
        let reading = Reading::of(&batch, &self.bounds, None);
        let event = weir_parse::decode(frame, &reading.context());
        let explained = book.explain(&record.rule, &event);
        ExplainedEvent {
            received: batch.received,
            source: batch.source.clone(),
            peer: batch.peer.clone(),
            raw: Some(frame.to_vec()),
            clauses: explained.map_or_else(Vec::new, |explained| clauses(&explained)),
            ..unknown
        }
    }
}

/// The clauses that made the match, of the rule or of those of its members that match.
fn clauses(explained: &weir_detect::Explanation) -> Vec<MatchedClause> {
    let own = explained.decisive().filter(|_| explained.matched);
    let own = own.map(|clause| {
        let field = clause.field.as_deref().unwrap_or("keywords");
        // What it met, of all that would do; a `not` met nothing.
        let met = if clause.hits.is_empty() {
            &clause.patterns
        } else {
            &clause.hits
        };
        let patterns = met.join(", ");
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

/// What the plan asks of a group, in words.
fn condition(plan: &Plan) -> String {
    let asks = match &plan.kind {
        PlanKind::EventCount { bounds } => {
            let bounds: Vec<String> = bounds.iter().map(bound).collect();
            format!("event_count {}", bounds.join(" and "))
        }
        PlanKind::Temporal { condition, .. } => format!("temporal {}", members(condition)),
    };
    let seconds = plan.timespan.0 / 1_000_000_000;
    let by = plan.group_by.join(", ");
    format!("{asks} within {seconds}s by {by}")
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

/// Members by their place in the rule's list, from 1.
fn members(condition: &Member) -> String {
    let joined = |parts: &[Member], word: &str| {
        let parts: Vec<String> = parts.iter().map(members).collect();
        format!("({})", parts.join(word))
    };
    match condition {
        Member::Seen(place) => format!("#{}", place + 1),
        Member::Not(inner) => format!("not {}", members(inner)),
        Member::All(parts) => joined(parts, " and "),
        Member::Any(parts) => joined(parts, " or "),
    }
}
