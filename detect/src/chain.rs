//! Correlations of correlations: which plans run for one, and which groups of them belong together.
//!
//! A member that is itself a correlation has a plan of its own beneath the one that lists it. It is
//! private to that one: what the member says as a rule of its own is said by another plan.
//!
//! ```text
//!  rule        A lists B and c, B lists d and e
//!  plans       A ◄── B for A ◄── events of d and e
//!              └──── events of c
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{
    Each, EventTime, Feed, GroupKey, Hearer, Link, Plan, PlanId, PlanKind, TenantKey,
};

use crate::correlation::{Correlation, member_of};
use crate::diagnostic::Refusal;
use crate::document::{Body, Document};
use crate::group;
use crate::live::{LivePlan, Source, plan};
use crate::plans::{Catalog, Entry, of_itself};
use crate::values;

/// More rules in one chain, each counted where it is listed, are refused.
const RULES_MAX: usize = 256;

/// A member of a correlation at a time.
#[derive(Clone, Debug)]
pub(crate) enum Member {
    Events(Source),
    Plan(Heard),
}

/// A member that is a correlation.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    document: Arc<Document>,
    member: u16,
    /// Places, among its fields to group by, of those of the plan that hears it.
    group: Vec<usize>,
    /// And of the fields that the plan counts.
    values: Vec<usize>,
    members: Vec<Member>,
}

impl Heard {
    fn correlation(&self) -> Option<&Correlation> {
        match &self.document.body {
            Body::Correlation(correlation) => Some(correlation),
            Body::Rule(..) | Body::Filter(_) => None,
        }
    }
}

/// How the groups of a plan are groups of the one that hears it.
#[derive(Clone, Debug)]
pub(crate) struct Onward {
    plan: PlanId,
    stage: u8,
    kind: PlanKind,
    names: Vec<String>,
    group: Vec<usize>,
    values: Vec<usize>,
    next: Option<Arc<Onward>>,
}

/// A correlation that is to become plans.
pub(crate) struct Whole<'w> {
    pub document: &'w Document,
    pub correlation: &'w Correlation,
    pub id: PlanId,
    pub bounds: (EventTime, EventTime),
}

/// Adds the times at which a member, or a member of one, changes.
pub(crate) fn cuts(
    catalog: &Catalog,
    id: &str,
    correlation: &Correlation,
    depth: u8,
    cuts: &mut BTreeSet<EventTime>,
) {
    if depth > Plan::STAGE_MAX {
        return;
    }
    for reference in &correlation.members {
        let found = catalog.resolve(reference).filter(|found| ***found != *id);
        let Some((id, entry)) = found.and_then(|found| catalog.rules.get_key_value(found)) else {
            continue;
        };
        cuts.extend(entry.versions.iter().flat_map(|v| [v.since, v.until]));
        for (_, inner) in entry.correlations() {
            self::cuts(catalog, id, inner, depth + 1, cuts);
        }
    }
}

/// The members as they are at `time`; `None` where one is not there, or cannot be heard.
pub(crate) fn members_at(
    catalog: &Catalog,
    (id, correlation): (&str, &Correlation),
    time: EventTime,
    depth: u8,
) -> Option<Vec<Member>> {
    let members = catalog.members(id, correlation).ok()?;
    let mut found = Vec::with_capacity(members.len());
    for ((place, (rule, entry)), reference) in (0..).zip(members).zip(&correlation.members) {
        let version = entry.versions.iter().find(|version| version.sees(time))?;
        let member = member_of(&correlation.kind, place);
        let named = (&**rule, version.document.name.as_deref(), &**reference);
        let own = |fields: &[String]| own_names(correlation, named, fields);
        match &version.document.body {
            Body::Rule(detection, _) => found.push(Member::Events(Source {
                rule: rule.clone(),
                member,
                detection: detection.clone(),
                group_by: own(&correlation.group_by),
                values: own(&correlation.values),
            })),
            Body::Correlation(inner) => {
                if depth >= Plan::STAGE_MAX || unheard(correlation, inner).is_some() {
                    return None;
                }
                let place_of = |name: &String| inner.group_by.iter().position(|own| own == name);
                let places = |names: Vec<String>| names.iter().map(place_of).collect();
                let group: Option<Vec<usize>> = places(own(&correlation.group_by));
                let values: Option<Vec<usize>> = places(own(&correlation.values));
                found.push(Member::Plan(Heard {
                    document: version.document.clone(),
                    member,
                    group: group?,
                    values: values?,
                    members: members_at(catalog, (rule, inner), time, depth + 1)?,
                }));
            }
            Body::Filter(_) => return None,
        }
    }
    Some(found)
}

/// What a member calls the fields of the correlation that lists it; the member by its id, its name,
/// and as it is listed.
fn own_names(
    correlation: &Correlation,
    (rule, name, reference): (&str, Option<&str>, &str),
    fields: &[String],
) -> Vec<String> {
    let own = |field: &String| {
        let alias = correlation.aliases.get(field)?;
        let named = name.and_then(|name| alias.get(name));
        alias.get(reference).or(named).or_else(|| alias.get(rule))
    };
    let pairs = fields.iter().map(|field| own(field).unwrap_or(field));
    pairs.cloned().collect()
}

/// Why a correlation cannot be a member of another one, whatever its fields are.
fn unheard(outer: &Correlation, inner: &Correlation) -> Option<&'static str> {
    match (&outer.kind, &inner.kind) {
        (_, PlanKind::Silence) => Some("a silence cannot be a member: it may be blind"),
        (PlanKind::Value { .. } | PlanKind::Silence, _) => {
            Some("a correlation has no number, and no source that could fall silent")
        }
        _ => None,
    }
}

/// Why a rule that is a correlation cannot be a member of another one. `rules` counts those beneath
/// the members that were asked about before.
pub(crate) fn refusal(
    catalog: &Catalog,
    (id, correlation): (&str, &Correlation),
    (reference, entry): (&str, &Entry),
    rules: &mut usize,
) -> Option<Refusal> {
    let (rule, version) = (catalog.resolve(reference)?, entry.versions.last()?);
    let Body::Correlation(inner) = &version.document.body else {
        return None;
    };
    if let Some(why) = unheard(correlation, inner) {
        return Some(Refusal::new(format!("`{reference}`: {why}")));
    }
    let fields: Vec<String> = [&correlation.group_by, &correlation.values]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let named = (&**rule, version.document.name.as_deref(), reference);
    let named = own_names(correlation, named, &fields);
    if let Some(field) = named.iter().find(|field| !inner.group_by.contains(field)) {
        let message = format!("`{reference}` is not grouped by `{field}`");
        return Some(
            Refusal::new(message)
                .hint("what is asked of a correlation must be among the fields of its `group-by`"),
        );
    }
    match depth(catalog, (rule, inner), &[id], rules) {
        Err(refusal) => Some(refusal),
        Ok(depth) if depth >= Plan::STAGE_MAX => Some(
            Refusal::new(format!("`{reference}` is a chain that is too long")).hint(format!(
                "a chain has at most {} correlations",
                Plan::STAGE_MAX + 1
            )),
        ),
        Ok(_) => None,
    }
}

/// How many correlations are beneath this one, one behind the other. `above` are those in whose
/// list it stands.
fn depth(
    catalog: &Catalog,
    (id, correlation): (&str, &Correlation),
    above: &[&str],
    rules: &mut usize,
) -> Result<u8, Refusal> {
    if above.contains(&id) {
        return Err(of_itself(id));
    }
    let above: Vec<&str> = above.iter().copied().chain([id]).collect();
    let mut deepest = 0;
    for reference in &correlation.members {
        *rules += 1;
        if *rules > RULES_MAX {
            return Err(Refusal::new(format!(
                "more than {RULES_MAX} rules in one chain"
            )));
        }
        let found = catalog.resolve(reference);
        let Some((id, entry)) = found.and_then(|found| catalog.rules.get_key_value(found)) else {
            continue;
        };
        if above.len() > usize::from(Plan::STAGE_MAX) + 2 {
            return Ok(u8::MAX); // Long enough to be refused.
        }
        for (_, inner) in entry.correlations() {
            let below = depth(catalog, (id, inner), &above, rules)?;
            deepest = deepest.max(below.saturating_add(1));
        }
    }
    Ok(deepest)
}

/// Whether the same events are read alike.
pub(crate) fn same_shapes(a: &[Member], b: &[Member]) -> bool {
    let same = |(a, b): (&Member, &Member)| match (a, b) {
        (Member::Events(a), Member::Events(b)) => {
            let fields = a.group_by == b.group_by && a.values == b.values;
            a.detection.shape == b.detection.shape && fields
        }
        (Member::Plan(a), Member::Plan(b)) => {
            let alike = a.document.id == b.document.id && a.document.shape == b.document.shape;
            alike
                && a.group == b.group
                && a.values == b.values
                && same_shapes(&a.members, &b.members)
        }
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

/// Adds all that makes members other ones.
pub(crate) fn tell(members: &[Member], aliased: bool, parts: &mut Vec<Vec<u8>>) {
    for member in members {
        match member {
            Member::Events(source) => {
                parts.push(source.rule.as_bytes().to_vec());
                parts.push(source.detection.shape.0.to_le_bytes().to_vec());
                if aliased {
                    let fields = source.group_by.iter().chain(&source.values);
                    parts.extend(fields.map(|field| field.as_bytes().to_vec()));
                }
            }
            Member::Plan(heard) => {
                parts.push(b"correlation".to_vec());
                parts.push(heard.document.id.as_bytes().to_vec());
                parts.push(heard.document.shape.0.to_le_bytes().to_vec());
                for place in heard.group.iter().chain(&heard.values) {
                    parts.push((*place as u64).to_le_bytes().to_vec());
                }
                parts.push((heard.members.len() as u64).to_le_bytes().to_vec());
                let aliased = heard.correlation().is_some_and(|c| !c.aliases.is_empty());
                tell(&heard.members, aliased, parts);
            }
        }
    }
}

/// The plans of a correlation: those of its members first, its own last. `above` says how its
/// groups are of the plans that hear it, nearest first.
pub(crate) fn plans(whole: &Whole<'_>, members: &[Member], above: &[Arc<Onward>]) -> Vec<LivePlan> {
    let Whole { correlation, .. } = whole;
    let mut live = LivePlan {
        plan: plan(
            whole.document,
            whole.id,
            correlation.kind.clone(),
            correlation.timespan,
            &correlation.group_by,
            whole.bounds,
        ),
        sources: Vec::new(),
        beneath: Vec::new(),
        onward: above.first().cloned(),
        lenient: false,
    };
    live.plan.chain.stage = stage(members);
    let each = match correlation.kind {
        PlanKind::EventCount { .. } | PlanKind::ValueCount { .. } => Each::Episode,
        _ => Each::Anchor,
    };
    let mut all = Vec::new();
    for (place, member) in (0u16..).zip(members) {
        let heard = match member {
            Member::Events(source) => {
                live.sources.push(source.clone());
                continue;
            }
            Member::Plan(heard) => heard,
        };
        let Some(inner) = heard.correlation() else {
            continue; // It is one, or it would not be heard.
        };
        let onward = Arc::new(Onward {
            plan: whole.id,
            stage: live.plan.chain.stage,
            kind: correlation.kind.clone(),
            names: correlation.group_by.clone(),
            group: heard.group.clone(),
            values: heard.values.clone(),
            next: above.first().cloned(),
        });
        let below = Whole {
            document: &heard.document,
            correlation: inner,
            id: PlanId::of(&[b"member", &whole.id.0.to_le_bytes(), &place.to_le_bytes()]),
            bounds: whole.bounds,
        };
        let mut found = plans(&below, &heard.members, &[onward]);
        if let Some(own) = found.last_mut() {
            let tentative = each == Each::Episode || !own.plan.is_certain();
            live.plan.chain.tentative |= tentative;
            own.plan.hearer = Hearer::Plan(Feed {
                plan: whole.id,
                stage: live.plan.chain.stage,
                member: heard.member,
                each,
            });
            let beneath = own.sources.iter().chain(&own.beneath);
            live.beneath
                .extend(beneath.map(|source| lifted(source, &heard.group)));
        }
        all.append(&mut found);
    }
    all.push(live);
    all
}

/// How many plans the facts of a plan with these members come through.
fn stage(members: &[Member]) -> u8 {
    let below = |member: &Member| match member {
        Member::Events(_) => 0,
        Member::Plan(heard) => stage(&heard.members).saturating_add(1),
    };
    members.iter().map(below).max().unwrap_or(0)
}

/// A source with the fields to group by of the plan that hears its own.
fn lifted(source: &Source, group: &[usize]) -> Source {
    let fields = group.iter().filter_map(|place| source.group_by.get(*place));
    Source {
        group_by: fields.cloned().collect(),
        ..source.clone()
    }
}

/// Where a group of a plan belongs: to which of the plan that hears it, and so on.
pub(crate) fn links(
    live: &LivePlan,
    onward: &Arc<Onward>,
    (tenant, group): (TenantKey, GroupKey),
    values: &[Cow<'_, str>],
) -> Vec<Link> {
    let mut links = Vec::new();
    let mut from = (live.plan.chain.stage, live.plan.id, group);
    let mut texts: Vec<Cow<'_, str>> = values.to_vec();
    let mut next = Some(onward);
    while let Some(onward) = next {
        let text = |place: &usize| texts.get(*place).cloned().unwrap_or_default();
        let picked: Vec<Cow<'_, str>> = onward.group.iter().map(text).collect();
        let told: Vec<Cow<'_, str>> = onward.values.iter().map(text).collect();
        let to = group::key(&onward.names, tenant, &picked);
        let value = values::of_texts(&onward.kind, told.iter().map(|text| &**text));
        links.push(Link {
            stage: from.0,
            plan: from.1,
            group: from.2,
            to,
            value: value.unwrap_or_default(),
        });
        from = (onward.stage, onward.plan, to);
        texts = picked;
        next = onward.next.as_ref();
    }
    links
}
