//! Adds what-ifs to the rule book: tries changes on a copy, and promotes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{EventTime, RuleChange, RuleId, WhatIfId};

use crate::book::catalog::Catalog;
use crate::book::change::{BookUpdate, PlanChange};
use crate::book::rule_book::RuleBook;
use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::document::RuleBody;
use crate::sigma::issue::Issue;
use crate::what_if::{WHAT_IF_CHANGES_MAX, WHAT_IF_ORIGIN, WHAT_IFS_MAX, WhatIf};

impl RuleBook {
    /// Computes what the changes would do, as a what-if with this id.
    #[must_use]
    pub fn compute_what_if(
        &self,
        id: WhatIfId,
        since: EventTime,
        changes: &[RuleChange],
    ) -> (WhatIf, Vec<Diagnostic>) {
        let mut tried = self.without_what_ifs();
        let mut plans = BTreeSet::new();
        let mut depends_on = BTreeSet::new();
        let mut diagnostics = Vec::new();
        for change in changes {
            let update = tried.apply(&change.control(since));
            plans.extend(update.changes.iter().map(PlanChange::plan_id));
            depends_on.extend(update.affected_rules);
            diagnostics.extend(update.diagnostics);
        }
        let members: Vec<RuleId> = depends_on
            .iter()
            .flat_map(|rule| member_references(tried.catalog(), rule))
            .collect();
        depends_on.extend(members);
        let mut what_if = WhatIf::new(since, changes, depends_on);
        what_if.compare(id, &plans, self.catalog(), tried.catalog());
        (what_if, diagnostics)
    }

    pub(super) fn add_what_if(
        &mut self,
        id: WhatIfId,
        since: EventTime,
        changes: &[RuleChange],
        from_journal: bool,
    ) -> BookUpdate {
        let known = self.what_ifs();
        if known.contains_key(&id) {
            return refused(format!("there is a what-if {id} already"));
        }
        if known.len() >= WHAT_IFS_MAX {
            return refused(format!("more than {WHAT_IFS_MAX} what-ifs; drop some"));
        }
        if changes.is_empty() || changes.len() > WHAT_IF_CHANGES_MAX {
            return refused(format!("a what-if has 1 to {WHAT_IF_CHANGES_MAX} changes"));
        }
        let (what_if, diagnostics) = self.compute_what_if(id, since, changes);
        if let Err(message) = what_if.check(from_journal) {
            return refused(message);
        }
        self.what_ifs_mut().insert(id, Arc::new(what_if));
        BookUpdate {
            diagnostics,
            ..BookUpdate::default()
        }
    }

    /// Applies the changes of a what-if. Refuses if their effect is no longer the computed one.
    pub(super) fn promote_what_if(&mut self, id: WhatIfId) -> BookUpdate {
        let Some(what_if) = self.what_ifs_mut().remove(&id) else {
            return refused("there is no such what-if".to_owned());
        };
        let (again, _) = self.compute_what_if(id, what_if.since, &what_if.changes);
        if again.net != what_if.net {
            let message = "rules that the what-if depends on have changed";
            return refused(message.to_owned());
        }
        let mut total = BookUpdate {
            changes: what_if.net.clone(),
            ..BookUpdate::default()
        };
        for change in &what_if.changes {
            let update = self.apply(&change.control(what_if.since));
            total.diagnostics.extend(update.diagnostics);
            total.affected_rules.extend(update.affected_rules);
        }
        total
    }
}

fn refused(message: String) -> BookUpdate {
    let diagnostic = Issue::new(message).into_diagnostic_at(WHAT_IF_ORIGIN, None, true);
    BookUpdate::refused(vec![diagnostic])
}

/// The ids and names by which versions of a rule refer to their members.
fn member_references(catalog: &Catalog, rule: &RuleId) -> Vec<RuleId> {
    let entry = catalog.rules.get(rule);
    let versions = entry.into_iter().flat_map(|entry| &entry.source_versions);
    let members = versions.flat_map(|version| match &version.document.body {
        RuleBody::Correlation(correlation) => correlation.members.as_slice(),
        RuleBody::Rule(..) | RuleBody::Filter(_) => &[],
    });
    members.map(|member| member.as_str().into()).collect()
}
