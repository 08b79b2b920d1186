//! What a chapter changed, net: follows what is said and renders the difference at each line.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{
    AlertId, AlertRecord, AlertState, Change, ChangeKind, EventId, EventTime, RuleVersion,
};

use crate::effect::{Effect, EffectNoun, Sign, State};
use crate::system::{SaidProblem, Settled, TENANT};

/// What the renderer must know besides the alerts themselves.
pub(crate) struct Names<'a> {
    /// Rule id to the name that the story uses.
    pub rules: &'a BTreeMap<String, String>,
    pub labels: &'a BTreeMap<EventId, BTreeSet<String>>,
}

/// The alerts that stand, as they were said to.
#[derive(Default)]
pub(crate) struct Net {
    now: BTreeMap<AlertId, AlertRecord>,
    /// As it was at the last line.
    before: BTreeMap<AlertId, AlertRecord>,
    /// The last revision said of each alert, standing or not.
    said: BTreeMap<AlertId, AlertRecord>,
    /// Alerts of which something was said since the last line.
    touched: BTreeSet<AlertId>,
    /// Alerts that became one with another since the last line.
    superseded: BTreeSet<AlertId>,
    /// Alerts that took in one which stood at the last line.
    took_in: BTreeSet<AlertId>,
    problems: BTreeMap<(String, &'static str), Vec<EventId>>,
}

impl Net {
    /// Takes in what was said; tells what no system may say.
    pub(crate) fn take(&mut self, settled: Settled) -> Result<(), String> {
        if let Some(fault) = settled.fault {
            return Err(fault);
        }
        for commit in settled.commits {
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
        for SaidProblem {
            source,
            problem,
            event,
        } in settled.problems
        {
            let key = (source, problem.name());
            self.problems.entry(key).or_default().push(event);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        let record = &change.record;
        let id = record.alert;
        if let Some(last) = self.said.get(&id) {
            if record.revision <= last.revision {
                return Err(format!(
                    "revision {} of alert {id} was said after revision {}",
                    record.revision, last.revision
                ));
            }
            let silent = change.kind == ChangeKind::Revised
                && change.supersedes.is_empty()
                && same_but_revision(last, record);
            if silent {
                return Err(format!(
                    "alert {id} was said to be revised, and nothing had changed"
                ));
            }
        }
        let standing = self.now.contains_key(&id);
        let known_end = self.superseded.contains(&id);
        match (change.kind, standing) {
            (ChangeKind::Raised, true) => return Err(format!("alert {id} was raised twice")),
            (ChangeKind::Retracted, false) if !known_end => {
                return Err(format!("alert {id} was retracted, and it did not stand"));
            }
            (ChangeKind::Revised, false) if !known_end && !self.said.contains_key(&id) => {
                return Err(format!("alert {id} was revised, and it was never raised"));
            }
            _ => {}
        }
        self.said.insert(id, record.clone());
        self.touched.insert(id);
        if matches!(record.state, AlertState::SupersededBy(_)) {
            self.supersede(id);
        } else if change.kind == ChangeKind::Retracted {
            self.now.remove(&id);
        } else {
            self.superseded.remove(&id);
            self.now.insert(id, record.clone());
        }
        for swallowed in &change.supersedes {
            if self.before.contains_key(swallowed) {
                self.took_in.insert(id);
            }
            self.supersede(*swallowed);
        }
        Ok(())
    }

    fn supersede(&mut self, id: AlertId) {
        self.superseded.insert(id);
        self.now.remove(&id);
    }

    /// Closes the chapter: its effects, in key order.
    pub(crate) fn close(&mut self, names: &Names<'_>) -> Vec<Effect> {
        let mut effects: Vec<(SortKey, Effect)> = Vec::new();
        let ids: BTreeSet<AlertId> = self.before.keys().chain(self.now.keys()).copied().collect();
        for id in ids {
            let found = match (self.before.get(&id), self.now.get(&id)) {
                (None, Some(now)) => Some((now, Sign::Raised)),
                (Some(before), None) if self.superseded.contains(&id) => {
                    Some((before, Sign::Revised))
                }
                (Some(before), None) => Some((before, Sign::Retracted)),
                (Some(before), Some(now)) => {
                    let changed = kept(before) != kept(now) || self.took_in.contains(&id);
                    (changed && self.touched.contains(&id)).then_some((now, Sign::Revised))
                }
                (None, None) => None,
            };
            let Some((record, sign)) = found else {
                continue;
            };
            let gone = !self.now.contains_key(&id);
            let effect = render(record, sign, gone, names);
            effects.push((sort_key(&effect, record.first), effect));
        }
        for ((source, name), events) in std::mem::take(&mut self.problems) {
            let effect = problem(source, name, &events, names);
            effects.push((sort_key(&effect, EventTime::MIN), effect));
        }
        effects.sort_by(|a, b| a.0.cmp(&b.0));
        self.before.clone_from(&self.now);
        self.touched.clear();
        self.superseded.clear();
        self.took_in.clear();
        effects.into_iter().map(|(_, effect)| effect).collect()
    }
}

/// Key order; what stands comes before what became one with it.
type SortKey = (
    EffectNoun,
    String,
    Vec<(String, String)>,
    EventTime,
    bool,
    Sign,
);

fn sort_key(effect: &Effect, first: EventTime) -> SortKey {
    (
        effect.noun,
        effect.name.clone(),
        effect.fields.clone(),
        first,
        effect.state == State::Superseded,
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

/// What a revision is said for, merges aside: the count only by the greatest power of two in it.
fn kept(record: &AlertRecord) -> (AlertId, AlertState, &'static str, RuleVersion, u32) {
    (
        record.key,
        record.state,
        record.level.name(),
        record.version,
        record.count.checked_ilog2().unwrap_or(0),
    )
}

fn render(record: &AlertRecord, sign: Sign, gone: bool, names: &Names<'_>) -> Effect {
    let rule: &str = &record.rule;
    let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
    let by = evidence.map(|item| item.event).collect::<Vec<_>>();
    Effect {
        sign,
        noun: EffectNoun::Alert,
        name: names
            .rules
            .get(rule)
            .map_or_else(|| rule.to_owned(), Clone::clone),
        fields: fields(record),
        level: (!gone).then_some(record.level),
        state: match record.state {
            _ if gone && sign == Sign::Revised => State::Superseded,
            AlertState::Provisional if !gone => State::Provisional,
            AlertState::Blind if !gone => State::Blind,
            AlertState::Provisional
            | AlertState::Blind
            | AlertState::Confirmed
            | AlertState::SupersededBy(_) => State::Plain,
        },
        by: if gone { Vec::new() } else { labels(&by, names) },
    }
}

/// The group; of another tenant than [`TENANT`] also whose it is.
fn fields(record: &AlertRecord) -> Vec<(String, String)> {
    let group = record.group.iter();
    let group = group.map(|field| (field.name.clone(), field.value.clone()));
    let tenant = (record.tenant != TENANT).then(|| ("tenant".to_owned(), record.tenant.clone()));
    group.chain(tenant).collect()
}

fn problem(source: String, name: &str, events: &[EventId], names: &Names<'_>) -> Effect {
    let mut fields = vec![("source".to_owned(), source)];
    if events.len() > 1 {
        fields.push(("count".to_owned(), events.len().to_string()));
    }
    Effect {
        sign: Sign::Raised,
        noun: EffectNoun::Problem,
        name: name.to_owned(),
        fields,
        level: None,
        state: State::Plain,
        by: labels(events, names),
    }
}

fn labels(events: &[EventId], names: &Names<'_>) -> Vec<String> {
    let found = events.iter().filter_map(|event| names.labels.get(event));
    let sorted: BTreeSet<&String> = found.flatten().collect();
    sorted.into_iter().cloned().collect()
}
