//! What-ifs over the API: tried on a copy of the rules, journaled, and read from where they run.

use weir_dataflow::{Backfill, Differing, Frames, WhatIfReport, WhatIfState};
use weir_detect::{RuleBook, WhatIf};
use weir_ingest::{Clock, SystemClock};
use weir_operators::Reading;
use weir_schema::{
    AlertRow, Control, EventTime, GroupField, RuleChange, RuleId, Span, TimeBounds, WhatIfId,
};
use weir_web::ports::{
    BackfillInfo, Diagnostic, PortError, PutRule, WhatIfAsk, WhatIfChange, WhatIfInfo, WhatIfKind,
    WhatIfPage, WhatIfQuery, WhatIfRow, WhatIfSide, WhatIfs,
};

use crate::rule_desk::{self, since_now};
use crate::rules::known::{API_ORIGIN, api_origin};
use crate::rules::load;
use crate::rules::manage::{ManageRules, shown};

/// The state of a what-if that has not answered yet, be it that the graph has not come to it.
const DERIVING: &str = WhatIfState::Deriving.name();

impl WhatIfs for ManageRules {
    fn begin(&self, ask: &WhatIfAsk) -> Result<WhatIfInfo, PutRule> {
        self.caught_up()?;
        let turn = self.turn()?;
        let since = self.since(ask.backfill);
        let changes = self.changes(ask, since)?;
        let mut tried = self.desk.book();
        let id = name(&changes, since);
        let (what_if, _) = tried.what_if_of(id, since, &changes);
        let control = Control::WhatIfPut {
            id,
            changes,
            since,
            from_journal: what_if.needs_journal(),
        };
        let said = tried.apply(&control).diagnostics;
        let refused: Vec<_> = said
            .iter()
            .filter(|said| said.origin == weir_detect::WHAT_IF_ORIGIN)
            .collect();
        if !refused.is_empty() {
            return Err(PutRule::Refused(refused.into_iter().map(shown).collect()));
        }
        self.write(turn, vec![control])?;
        let gone = || PortError::Failed("the what-if ended as it began".to_owned());
        Ok(self.info(id).ok_or_else(gone)?)
    }

    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError> {
        let reports = self.status.what_ifs().list().into_iter();
        let mut ids: Vec<WhatIfId> = reports.map(|report| report.id).collect();
        ids.extend(self.desk.book().what_ifs().keys());
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().filter_map(|id| self.info(id)).collect())
    }

    fn get(&self, id: WhatIfId, query: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError> {
        let Some(info) = self.info(id) else {
            return Ok(None);
        };
        let all = self.status.what_ifs().differing(id).unwrap_or_default();
        let wanted = all.into_iter().filter(|one| {
            query.after.is_none_or(|after| one.alert > after)
                && query.kind.is_none_or(|wanted| kind(one) == wanted)
        });
        let mut wanted: Vec<Differing> = wanted.take(query.limit + 1).collect();
        let more = wanted.len() > query.limit;
        wanted.truncate(query.limit);
        let next = wanted.last().filter(|_| more).map(|one| one.alert);
        let book = self.desk.book();
        let texts = (&book, &*self.frames, &self.bounds);
        let rows = wanted.iter().map(|one| row(one, texts)).collect();
        Ok(Some(WhatIfPage { info, rows, next }))
    }

    fn promote(&self, id: WhatIfId) -> Result<Option<WhatIfInfo>, PutRule> {
        self.caught_up()?;
        let turn = self.turn()?;
        let Some(info) = self.info(id) else {
            return Ok(None);
        };
        if info.state != WhatIfState::Running.name() {
            let message = format!("the what-if is {}, not running", info.state);
            let hint = match info.state == DERIVING {
                true => "wait for its first answer",
                false => "begin it anew, and look at what it tells",
            };
            return Err(refuse(message, hint));
        }
        if !self.desk.book().what_ifs().contains_key(&id) {
            // The graph has not come to the entry yet that has ended it.
            return Err(refuse("the what-if has ended".to_owned(), ""));
        }
        self.write(turn, vec![Control::WhatIfPromote { id }])?;
        Ok(Some(info))
    }

    fn end(&self, id: WhatIfId) -> Result<bool, PortError> {
        let turn = self.turn()?;
        if self.info(id).is_none() {
            return Ok(false);
        }
        self.write(turn, vec![Control::WhatIfDrop { id }])?;
        Ok(true)
    }
}

impl ManageRules {
    /// Where a rule put now begins that also sees events so far back.
    pub(super) fn since(&self, backfill: Option<Span>) -> EventTime {
        let now = since_now(&self.status);
        match backfill {
            Some(span) if now > EventTime::MIN => now.minus(span),
            _ => now,
        }
    }

    /// The changes that are asked for, where all can be made.
    fn changes(&self, ask: &WhatIfAsk, since: EventTime) -> Result<Vec<RuleChange>, PutRule> {
        let mut tried = self.desk.book();
        let mut changes = Vec::new();
        for rule in &ask.remove {
            if !self.is_known(rule) {
                return Err(refuse(format!("no rule has the id {rule:?}"), ""));
            }
            let rule = rule.clone();
            tried.apply(&Control::RuleRemove { rule: rule.clone() });
            changes.push(RuleChange::Remove { rule });
        }
        let documents = rule_desk::documents(&ask.text, API_ORIGIN);
        if documents.is_empty() && changes.is_empty() {
            return Err(refuse("there is no change to try".to_owned(), ""));
        }
        let (wanted, mut said) = load::firsts(&documents, |_| None);
        let loaded = load::load(&mut tried, wanted, since);
        said.extend(loaded.diagnostics);
        said.retain(|said| documents.iter().any(|one| one.origin == said.origin));
        if !loaded.refused.is_empty() || said.iter().any(|said| said.refused) {
            return Err(PutRule::Refused(said.iter().map(shown).collect()));
        }
        let origin = api_origin(&ask.origin);
        changes.extend(loaded.taken.into_iter().map(|wanted| RuleChange::Put {
            text: wanted.document.text,
            origin: origin.clone(),
        }));
        Ok(changes)
    }

    /// How a what-if stands; nothing where there is none.
    fn info(&self, id: WhatIfId) -> Option<WhatIfInfo> {
        let report = self.status.what_ifs().report(id);
        let book = self.desk.book();
        let known = report.as_ref().and_then(|report| report.what_if.clone());
        let what_if = known.or_else(|| book.what_ifs().get(&id).cloned());
        if report.is_none() && what_if.is_none() {
            return None;
        }
        let progress = self.status.backfill().as_ref().map(backfill_info);
        Some(info(id, report, what_if.as_deref(), progress))
    }
}

/// A what-if as people read it; without a report it has not begun to run.
pub fn info(
    id: WhatIfId,
    report: Option<WhatIfReport>,
    what_if: Option<&WhatIf>,
    progress: Option<BackfillInfo>,
) -> WhatIfInfo {
    let changes = what_if.map_or(&[][..], |what_if| &what_if.changes);
    let change = |change: &RuleChange| match change {
        RuleChange::Put { text, .. } => WhatIfChange {
            removes: false,
            rule: weir_detect::rule_id(text).unwrap_or_default(),
        },
        RuleChange::Remove { rule } => WhatIfChange {
            removes: true,
            rule: rule.clone(),
        },
    };
    let told = report
        .as_ref()
        .map(|r| (r.difference, r.counts.clone(), r.left_out));
    let (difference, counts, left_out) = told.unwrap_or_default();
    let from_facts = what_if.is_some_and(|what_if| !what_if.needs_journal());
    let state = report.as_ref().map_or(DERIVING, |r| r.state.name());
    WhatIfInfo {
        id,
        state,
        changes: changes.iter().map(change).collect(),
        since: what_if.map_or(EventTime::MIN, |what_if| what_if.since),
        from_facts,
        progress: progress.filter(|_| state == DERIVING),
        gained: difference.gained,
        lost: difference.lost,
        changed: difference.changed,
        restated: difference.restated,
        same: difference.same,
        facts: counts.facts,
        late: counts.late,
        limited: counts.limited + left_out,
    }
}

pub fn backfill_info(backfill: &Backfill) -> BackfillInfo {
    BackfillInfo {
        epoch: backfill.epoch.0,
        batches: backfill.batches,
        batches_total: backfill.batches_total,
        events: backfill.events,
        events_per_second: backfill.events_per_second(),
    }
}

/// A name that no other what-if has.
fn name(changes: &[RuleChange], since: EventTime) -> WhatIfId {
    let mut parts = vec![
        SystemClock.now().0.to_le_bytes().to_vec(),
        since.0.to_le_bytes().to_vec(),
    ];
    parts.extend(changes.iter().map(|change| match change {
        RuleChange::Put { text, .. } => text.clone().into_bytes(),
        RuleChange::Remove { rule } => rule.clone().into_bytes(),
    }));
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    WhatIfId::of(&parts)
}

fn refuse(message: String, hint: &str) -> PutRule {
    PutRule::Refused(vec![Diagnostic {
        origin: "what-if".to_owned(),
        line: None,
        column: None,
        message,
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
        refused: true,
    }])
}

fn kind(one: &Differing) -> WhatIfKind {
    match (&one.live, &one.tried) {
        (None, _) => WhatIfKind::Gained,
        (_, None) => WhatIfKind::Lost,
        _ => WhatIfKind::Changed,
    }
}

/// One alert of a difference, with its texts.
pub fn row(one: &Differing, texts: (&RuleBook, &dyn Frames, &TimeBounds)) -> WhatIfRow {
    let side = |row: &AlertRow| WhatIfSide {
        key: row.key,
        state: row.state,
        first: row.first,
        last: row.last,
        count: row.count,
    };
    let shown = one.tried.as_deref().or(one.live.as_deref());
    let plan = shown.and_then(|row| texts.0.plan(row.plan));
    WhatIfRow {
        kind: kind(one),
        alert: one.alert,
        rule: plan.map_or_else(|| RuleId::from(""), |plan| plan.rule.clone()),
        title: plan.map_or_else(String::new, |plan| plan.title.clone()),
        level: plan.map(|plan| plan.level),
        group: shown.map_or_else(Vec::new, |row| group(row, texts)),
        live: one.live.as_deref().map(side),
        tried: one.tried.as_deref().map(side),
    }
}

/// The values of a row's group, read again from an event that it rests on.
fn group(
    row: &AlertRow,
    (book, frames, bounds): (&RuleBook, &dyn Frames, &TimeBounds),
) -> Vec<GroupField> {
    let Some(item) = row.evidence.head.first() else {
        return Vec::new();
    };
    let Ok(batch) = frames.batch(item.position.batch()) else {
        return Vec::new();
    };
    let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
        return Vec::new();
    };
    let reading = Reading::of(&batch, bounds, None);
    let event = weir_parse::decode(frame, &reading.context());
    book.group_fields(row.plan, &event, row.tenant, row.group)
        .unwrap_or_default()
}
