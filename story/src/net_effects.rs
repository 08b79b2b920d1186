//! Computes the net effects of each chapter from the commits of the system.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{
    AlertId, AlertRecord, AlertState, Change, ChangeKind, EventId, EventTime, RuleVersion,
};

use crate::effect::{Effect, EffectKind, EffectSign, EffectState};
use crate::system::{FrameProblem, SystemOutput, TENANT};

/// The names that effects use for rules and events.
pub(crate) struct EffectNames<'a> {
    /// The name in the story of each rule id.
    pub rules: &'a BTreeMap<String, String>,
    pub labels: &'a BTreeMap<EventId, BTreeSet<String>>,
}

/// The standing alerts, by the commits so far.
#[derive(Default)]
pub(crate) struct NetEffects {
    now: BTreeMap<AlertId, AlertRecord>,
    /// The standing alerts at the last line.
    before: BTreeMap<AlertId, AlertRecord>,
    /// The last emitted revision of each alert, standing or not.
    last: BTreeMap<AlertId, AlertRecord>,
    /// Alerts changed since the last line.
    changed: BTreeSet<AlertId>,
    /// Alerts that another alert superseded since the last line.
    superseded: BTreeSet<AlertId>,
    /// Alerts that superseded one which stood at the last line.
    superseding: BTreeSet<AlertId>,
    problems: BTreeMap<(String, &'static str), Vec<EventId>>,
}

impl NetEffects {
    /// Adds the output of the system. Fails if it breaks an invariant of all systems.
    pub(crate) fn add(&mut self, output: SystemOutput) -> Result<(), String> {
        if let Some(fault) = output.fault {
            return Err(fault);
        }
        for commit in output.commits {
            for change in &commit.changes {
                self.change(change)?;
            }
            for record in commit.records {
                if let Some(row) = self.now.get_mut(&record.alert)
                    && stands(&record)
                {
                    *row = record;
                }
            }
        }
        for FrameProblem {
            source,
            problem,
            event,
        } in output.problems
        {
            let key = (source, problem.name());
            self.problems.entry(key).or_default().push(event);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        let record = &change.record;
        let id = record.alert;
        if let Some(last) = self.last.get(&id) {
            if record.revision <= last.revision {
                return Err(format!(
                    "revision {} of alert {id} follows revision {}",
                    record.revision, last.revision
                ));
            }
            let unchanged = change.kind == ChangeKind::Revised
                && change.supersedes.is_empty()
                && same_but_revision(last, record);
            if unchanged {
                return Err(format!("alert {id} was revised without a change"));
            }
        }
        let standing = self.now.contains_key(&id);
        let superseded = self.superseded.contains(&id);
        match (change.kind, standing) {
            (ChangeKind::Raised, true) => return Err(format!("alert {id} was raised twice")),
            (ChangeKind::Retracted, false) if !superseded => {
                return Err(format!("alert {id} was retracted, but did not stand"));
            }
            (ChangeKind::Revised, false) if !superseded && !self.last.contains_key(&id) => {
                return Err(format!("alert {id} was revised, but never raised"));
            }
            _ => {}
        }
        self.last.insert(id, record.clone());
        self.changed.insert(id);
        if matches!(record.state, AlertState::SupersededBy(_)) {
            self.supersede(id);
        } else if change.kind == ChangeKind::Retracted {
            self.now.remove(&id);
        } else {
            self.superseded.remove(&id);
            self.now.insert(id, record.clone());
        }
        for superseded in &change.supersedes {
            if self.before.contains_key(superseded) {
                self.superseding.insert(id);
            }
            self.supersede(*superseded);
        }
        Ok(())
    }

    fn supersede(&mut self, id: AlertId) {
        self.superseded.insert(id);
        self.now.remove(&id);
    }

    /// Ends the chapter and returns its effects, in order.
    pub(crate) fn close_chapter(&mut self, names: &EffectNames<'_>) -> Vec<Effect> {
        let mut effects: Vec<(EffectOrder, Effect)> = Vec::new();
        let ids: BTreeSet<AlertId> = self.before.keys().chain(self.now.keys()).copied().collect();
        for id in ids {
            let change = match (self.before.get(&id), self.now.get(&id)) {
                (None, Some(now)) => Some((now, EffectSign::Raised)),
                (Some(before), None) if self.superseded.contains(&id) => {
                    Some((before, EffectSign::Revised))
                }
                (Some(before), None) => Some((before, EffectSign::Retracted)),
                (Some(before), Some(now)) => {
                    let changed = summary(before) != summary(now) || self.superseding.contains(&id);
                    (changed && self.changed.contains(&id)).then_some((now, EffectSign::Revised))
                }
                (None, None) => None,
            };
            let Some((record, sign)) = change else {
                continue;
            };
            let ended = !self.now.contains_key(&id);
            let effect = render(record, sign, ended, names);
            effects.push((sort_key(&effect, record.first), effect));
        }
        for ((source, name), events) in std::mem::take(&mut self.problems) {
            let effect = render_problem(source, name, &events, names);
            effects.push((sort_key(&effect, EventTime::MIN), effect));
        }
        effects.sort_by(|a, b| a.0.cmp(&b.0));
        self.before.clone_from(&self.now);
        self.changed.clear();
        self.superseded.clear();
        self.superseding.clear();
        effects.into_iter().map(|(_, effect)| effect).collect()
    }
}

/// The order of effects. A standing alert comes before those that it superseded.
type EffectOrder = (
    EffectKind,
    String,
    Vec<(String, String)>,
    EventTime,
    bool,
    EffectSign,
);

fn sort_key(effect: &Effect, first: EventTime) -> EffectOrder {
    (
        effect.kind,
        effect.name.clone(),
        effect.fields.clone(),
        first,
        effect.state == EffectState::Superseded,
        effect.sign,
    )
}

fn stands(record: &AlertRecord) -> bool {
    record.standing && !matches!(record.state, AlertState::SupersededBy(_))
}

/// Whether two revisions differ in nothing but their number and cause.
fn same_but_revision(a: &AlertRecord, b: &AlertRecord) -> bool {
    let plain = |record: &AlertRecord| AlertRecord {
        revision: 0,
        cause: a.cause,
        ..record.clone()
    };
    plain(a) == plain(b)
}

/// The parts of a record that deserve a revision, merges aside: of the count, only the power of two
/// in it.
fn summary(record: &AlertRecord) -> (AlertId, AlertState, &'static str, RuleVersion, u32) {
    (
        record.key,
        record.state,
        record.level.name(),
        record.version,
        record.count.checked_ilog2().unwrap_or(0),
    )
}

fn render(record: &AlertRecord, sign: EffectSign, ended: bool, names: &EffectNames<'_>) -> Effect {
    let rule: &str = &record.rule;
    let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
    let by = evidence.map(|item| item.event).collect::<Vec<_>>();
    Effect {
        sign,
        kind: EffectKind::Alert,
        name: names
            .rules
            .get(rule)
            .map_or_else(|| rule.to_owned(), Clone::clone),
        fields: group_fields(record),
        level: (!ended).then_some(record.level),
        state: match record.state {
            _ if ended && sign == EffectSign::Revised => EffectState::Superseded,
            AlertState::Provisional if !ended => EffectState::Provisional,
            AlertState::Blind if !ended => EffectState::Blind,
            AlertState::Provisional
            | AlertState::Blind
            | AlertState::Confirmed
            | AlertState::SupersededBy(_) => EffectState::Plain,
        },
        by: if ended {
            Vec::new()
        } else {
            event_labels(&by, names)
        },
    }
}

/// The group of an alert, and its tenant if that is not [`TENANT`].
fn group_fields(record: &AlertRecord) -> Vec<(String, String)> {
    let group = record.group.iter();
    let group = group.map(|field| (field.name.clone(), field.value.clone()));
    let tenant = (record.tenant != TENANT).then(|| ("tenant".to_owned(), record.tenant.clone()));
    group.chain(tenant).collect()
}

fn render_problem(
    source: String,
    name: &str,
    events: &[EventId],
    names: &EffectNames<'_>,
) -> Effect {
    let mut fields = vec![("source".to_owned(), source)];
    if events.len() > 1 {
        fields.push(("count".to_owned(), events.len().to_string()));
    }
    Effect {
        sign: EffectSign::Raised,
        kind: EffectKind::Problem,
        name: name.to_owned(),
        fields,
        level: None,
        state: EffectState::Plain,
        by: event_labels(events, names),
    }
}

fn event_labels(events: &[EventId], names: &EffectNames<'_>) -> Vec<String> {
    let labels = events.iter().filter_map(|event| names.labels.get(event));
    let sorted: BTreeSet<&String> = labels.flatten().collect();
    sorted.into_iter().cloned().collect()
}
