//! Starts, lists, promotes and ends what-ifs for the API.

use weir_dataflow::{AlertDifference, BatchReader, WhatIfReport, WhatIfState};
use weir_detect::{EventOrigin, RuleBook, WhatIf};
use weir_manage::RequestedWhatIf;
use weir_operators::BatchContext;
use weir_schema::{AlertRow, EventTime, GroupField, RuleChange, RuleId, TimeBounds, WhatIfId};
use weir_web::ports::{
    BackfillInfo, PortError, RuleUpdateError, WhatIfChange, WhatIfInfo, WhatIfKind, WhatIfPage,
    WhatIfPort, WhatIfQuery, WhatIfRequest, WhatIfRow, WhatIfSide,
};

use crate::server::adapters::rules::{EditRules, backfill_info, unavailable, update_error};

/// State of a what-if without a result, even if the graph has not read its entry yet.
const DERIVING: &str = WhatIfState::Deriving.name();

impl WhatIfPort for EditRules {
    fn begin(&self, request: &WhatIfRequest) -> Result<WhatIfInfo, RuleUpdateError> {
        let requested = RequestedWhatIf {
            text: request.text.clone(),
            remove: request.remove.clone(),
            client: request.origin.clone(),
            backfill: request.backfill,
        };
        let started = self.editor.start_what_if(&requested);
        let id = started.map_err(update_error)?;
        let gone = || PortError::Failed("the what-if ended as it began".to_owned());
        Ok(self.info(id).ok_or_else(gone)?)
    }

    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError> {
        let reports = self.status.what_ifs().list().into_iter();
        let mut ids: Vec<WhatIfId> = reports.map(|report| report.id).collect();
        ids.extend(self.registry.book().what_ifs().keys());
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().filter_map(|id| self.info(id)).collect())
    }

    fn get(&self, id: WhatIfId, query: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError> {
        let Some(info) = self.info(id) else {
            return Ok(None);
        };
        let all = self
            .status
            .what_ifs()
            .alert_differences(id)
            .unwrap_or_default();
        let matching = all.into_iter().filter(|one| {
            query.after.is_none_or(|after| one.alert > after)
                && query.kind.is_none_or(|wanted| kind(one) == wanted)
        });
        let mut matching: Vec<AlertDifference> = matching.take(query.limit + 1).collect();
        let more = matching.len() > query.limit;
        matching.truncate(query.limit);
        let next = matching.last().filter(|_| more).map(|one| one.alert);
        let texts = RowTexts {
            book: &self.registry.book(),
            frames: &*self.frames,
            bounds: &self.bounds,
        };
        let rows = matching.iter().map(|one| texts.row(one)).collect();
        Ok(Some(WhatIfPage { info, rows, next }))
    }

    fn promote(&self, id: WhatIfId) -> Result<Option<WhatIfInfo>, RuleUpdateError> {
        let edit = self.editor.edit_what_if().map_err(unavailable)?;
        let Some(info) = self.info(id) else {
            return Ok(None);
        };
        edit.promote(id).map_err(update_error)?;
        Ok(Some(info))
    }

    fn end(&self, id: WhatIfId) -> Result<bool, PortError> {
        let edit = self.editor.edit_what_if_at_once().map_err(unavailable)?;
        if self.info(id).is_none() {
            return Ok(false);
        }
        edit.end(id).map_err(unavailable)?;
        Ok(true)
    }
}

impl EditRules {
    /// Describes a what-if for the API; `None` if neither graph nor registry has it.
    fn info(&self, id: WhatIfId) -> Option<WhatIfInfo> {
        let report = self.status.what_ifs().report(id);
        let book = self.registry.book();
        let reported = report.as_ref().and_then(|report| report.what_if.clone());
        let what_if = reported.or_else(|| book.what_ifs().get(&id).cloned());
        if report.is_none() && what_if.is_none() {
            return None;
        }
        let progress = self.status.backfill().as_ref().map(backfill_info);
        Some(info(id, report, what_if.as_deref(), progress))
    }
}

/// Describes a what-if for the API. Without a report, the graph has not begun to run it.
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
    let result = report
        .as_ref()
        .map(|r| (r.difference, r.counts.clone(), r.omitted_rows));
    let (difference, counts, left_out) = result.unwrap_or_default();
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

fn kind(one: &AlertDifference) -> WhatIfKind {
    match (&one.live, &one.shadow) {
        (None, _) => WhatIfKind::Gained,
        (_, None) => WhatIfKind::Lost,
        _ => WhatIfKind::Changed,
    }
}

/// Looks up the texts of alerts that only a what-if has.
pub struct RowTexts<'t> {
    pub book: &'t RuleBook,
    pub frames: &'t dyn BatchReader,
    pub bounds: &'t TimeBounds,
}

impl RowTexts<'_> {
    /// One alert of a difference, with its texts.
    pub fn row(&self, one: &AlertDifference) -> WhatIfRow {
        let side = |row: &AlertRow| WhatIfSide {
            key: row.key,
            state: row.state,
            first: row.first,
            last: row.last,
            count: row.count,
        };
        let shown = one.shadow.as_deref().or(one.live.as_deref());
        let plan = shown.and_then(|row| self.book.plan(row.plan));
        WhatIfRow {
            kind: kind(one),
            alert: one.alert,
            rule: plan.map_or_else(|| RuleId::from(""), |plan| plan.rule.clone()),
            title: plan.map_or_else(String::new, |plan| plan.title.clone()),
            level: plan.map(|plan| plan.level),
            group: shown.map_or_else(Vec::new, |row| self.group(row)),
            live: one.live.as_deref().map(side),
            shadow: one.shadow.as_deref().map(side),
        }
    }

    /// The values of a row's group, read again from the first event of its evidence.
    fn group(&self, row: &AlertRow) -> Vec<GroupField> {
        let Some(item) = row.evidence.head.first() else {
            return Vec::new();
        };
        let Ok(batch) = self.frames.batch(item.position.batch()) else {
            return Vec::new();
        };
        let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
            return Vec::new();
        };
        let reading = BatchContext::of(&batch, self.bounds, None);
        let event = weir_parse::decode(frame, &reading.context());
        let origin = EventOrigin {
            tenant: row.tenant,
            source: &batch.source,
        };
        self.book
            .group_fields(row.plan, &event, origin, row.group)
            .unwrap_or_default()
    }
}
