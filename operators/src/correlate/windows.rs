//! Which anchors of a group fire: the one place that evaluates a plan over trailing windows.

use weir_schema::{Bound, Fact, Member, Plan, PlanKind};

use super::fault::{self, Fault};
use super::run::{Entry, Mark, Run};
use super::tail::Tail;
use super::values::Valued;

/// A plan's condition, prepared for evaluation.
#[derive(Clone, Debug)]
pub struct Condition {
    kind: Kind,
    /// Length of the trailing window, in nanoseconds.
    pub timespan: i64,
    /// Members whose events are anchors and are counted.
    positive: u64,
    /// No further event can stop an anchor from firing.
    pub monotone: bool,
    /// Whether no fact is ever taken back, since all are of events.
    pub additive: bool,
    /// Whether no event to come can withdraw an alert.
    pub certain: bool,
    /// An absence is concluded so long after the event that it begins with, and that is where the
    /// anchor stands: then its window trails like any other.
    ///
    /// ```text
    ///   event s ────── timespan ──────► anchor s + delay, concluded once the watermark is there
    ///           ◄── window that it sees ──►
    /// ```
    pub delay: i64,
}

#[derive(Clone, Debug)]
enum Kind {
    AtLeast(usize),
    Count(Vec<Bound>),
    /// Of so many members.
    Temporal(Member, usize),
    /// So many members, in their order.
    Ordered(usize),
    Valued(Valued),
    Silence,
}

impl Condition {
    pub fn of(plan: &Plan) -> Self {
        let timespan = plan.timespan.0.max(0);
        let (kind, positive, monotone) = match &plan.kind {
            PlanKind::EventCount { bounds } => {
                let least = at_least(bounds);
                let kind = least.map_or_else(|| Kind::Count(bounds.clone()), Kind::AtLeast);
                (kind, u64::MAX, least.is_some())
            }
            PlanKind::Temporal { members, condition } => {
                let count = usize::from(*members).min(Plan::MEMBERS_MAX);
                let mut marks = vec![false; count];
                condition.mark_positive(&mut marks);
                let positive = (0..count)
                    .filter(|i| marks[*i])
                    .fold(0, |mask, i| mask | 1 << i);
                let monotone = !condition.has_negation(count);
                (Kind::Temporal(condition.clone(), count), positive, monotone)
            }
            PlanKind::TemporalOrdered { members } => {
                let count = usize::from(*members).clamp(1, Plan::MEMBERS_MAX);
                (Kind::Ordered(count), u64::MAX, true)
            }
            PlanKind::ValueCount { bounds } => {
                let kind = Kind::Valued(Valued::Distinct(bounds.clone()));
                (kind, u64::MAX, at_least(bounds).is_some())
            }
            // A value below zero takes away from what others add.
            PlanKind::Value { statistic, bounds } => {
                let kind = Kind::Valued(Valued::Statistic(*statistic, bounds.clone()));
                (kind, u64::MAX, false)
            }
            PlanKind::NotFollowed { members } => {
                let count = usize::from(*members).clamp(1, Plan::MEMBERS_MAX);
                let others = (1..*members).map(Member::Seen).collect();
                let none = Member::Not(Box::new(Member::Any(others)));
                (Kind::Temporal(none, count), 1, false)
            }
            PlanKind::Silence => (Kind::Silence, u64::MAX, false),
        };
        Self {
            kind,
            timespan,
            positive,
            monotone,
            additive: plan.chain.stage == 0,
            certain: monotone && !plan.chain.tentative,
            delay: if plan.kind.is_absence() { timespan } else { 0 },
        }
    }

    /// Whether it is about what did not come: anchors are concluded when the watermark is there.
    pub fn is_absence(&self) -> bool {
        self.delay > 0
    }

    /// Where an event stands: of an absence, an event that it may begin with where it is concluded.
    pub fn time_of(&self, fact: &Fact) -> i64 {
        let begins = match self.kind {
            Kind::Temporal(..) => fact.member == 0,
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Ordered(_)
            | Kind::Valued(_)
            | Kind::Silence => true,
        };
        let delay = if begins { self.delay } else { 0 };
        fact.time.0.saturating_add(delay)
    }

    /// Whether the alert of an anchor rests on whether its source has been heard since.
    pub fn is_silence(&self) -> bool {
        matches!(self.kind, Kind::Silence)
    }

    /// Where the members of an episode begin that has its first firing anchor at `from`.
    pub fn members_from(&self, from: i64) -> i64 {
        if self.is_absence() {
            from
        } else {
            from.saturating_sub(self.timespan)
        }
    }

    /// What of a fact this condition reads.
    pub fn mark(&self, fact: &Fact) -> Mark {
        match self.kind {
            Kind::Valued(_) | Kind::Silence => Mark(fact.value.0),
            Kind::AtLeast(_) | Kind::Count(_) | Kind::Temporal(..) | Kind::Ordered(_) => {
                Mark::member(fact.member)
            }
        }
    }

    /// What a fact is here that comes from another plan.
    pub fn fed_entry(&self, fact: &Fact) -> Entry {
        let mut mark = self.mark(fact);
        if !matches!(self.kind, Kind::Valued(_)) {
            mark.0[1] = 1; // No other event is this one.
        }
        Entry {
            time: self.time_of(fact),
            event: fact.event,
            position: fact.position,
            mark,
        }
    }

    /// Whether the entry is an anchor and counts, or is read by a negation alone.
    pub fn is_anchor(&self, entry: &Entry) -> bool {
        match self.kind {
            Kind::Temporal(..) => entry.mark.members() & self.positive != 0,
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Ordered(_)
            | Kind::Valued(_)
            | Kind::Silence => true,
        }
    }

    /// Whether no anchor of `run` can fire, for want of events.
    pub fn is_out_of_reach(&self, run: &Run) -> bool {
        let least = match &self.kind {
            Kind::AtLeast(n) | Kind::Ordered(n) => *n,
            Kind::Valued(Valued::Distinct(bounds)) => at_least(bounds).unwrap_or(0),
            Kind::Count(_) | Kind::Temporal(..) | Kind::Valued(_) | Kind::Silence => 0,
        };
        run.len_with_pushed() < least
    }

    /// The latest anchor whose firing an event at `time` can change, given that it stands in `run`.
    pub fn reach(&self, run: &Run, time: i64) -> i64 {
        let reach = time.saturating_add(self.timespan);
        match self.kind {
            // The anchor at place i depends on the n - 1 places before it and on nothing else.
            Kind::AtLeast(n) if self.additive => {
                let entries = run.entries();
                let place = run.up_to(time).saturating_add(n.max(1)) - 2;
                entries
                    .get(place)
                    .map_or(reach, |entry| entry.time.min(reach))
            }
            Kind::Silence => time,
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Temporal(..)
            | Kind::Ordered(_)
            | Kind::Valued(_) => reach,
        }
    }

    /// The earliest anchor whose firing an event at `time` can change.
    pub fn reach_back(&self, time: i64) -> i64 {
        match self.kind {
            Kind::Silence => time.saturating_sub(self.timespan),
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Temporal(..)
            | Kind::Ordered(_)
            | Kind::Valued(_) => time,
        }
    }

    /// Appends the firing anchors in `[from, to]` to `out`, ascending.
    pub fn firing(
        &self,
        (run, others): (&Run, &Run),
        (from, to): (i64, i64),
        tail: &mut Tail,
        out: &mut Vec<i64>,
    ) {
        match &self.kind {
            Kind::AtLeast(n) => self.firing_at_least(run, *n, from, to, out),
            Kind::Count(bounds) => self.firing_count(run, bounds, from, to, out),
            Kind::Temporal(condition, members) => {
                let condition = (condition, *members);
                self.firing_temporal((run, others), condition, (from, to), tail, out);
            }
            Kind::Ordered(members) => {
                self.firing_ordered(run, *members, (from, to), tail, out);
            }
            Kind::Valued(valued) => self.firing_valued(run, valued, (from, to), tail, out),
            Kind::Silence => self.firing_silence(run, from, to, out),
        }
    }

    /// An event is the last for a while if the next one is further away than the timespan.
    fn firing_silence(&self, run: &Run, from: i64, to: i64, out: &mut Vec<i64>) {
        let entries = run.entries();
        for (place, time) in anchors(run, from, to) {
            let next = entries.get(place + 1).map(|next| next.time);
            let end = time.saturating_add(self.timespan);
            let answered = next.is_some_and(|next| {
                next < end || next == end && !fault::active(Fault::AnswerAtTheBound)
            });
            if !answered {
                out.push(time);
            }
        }
    }

    fn firing_at_least(&self, run: &Run, n: usize, from: i64, to: i64, out: &mut Vec<i64>) {
        for (place, time) in anchors(run, from, to) {
            let Some(first) = (place + 1).checked_sub(n) else {
                continue;
            };
            // n = 0 cannot be: a window of an anchor has the anchor.
            let first = run.entries()[first.min(place)].time;
            let span = time.saturating_sub(first);
            if span < self.timespan || span == self.timespan && !fault::active(Fault::OpenBound) {
                out.push(time);
            }
        }
    }

    fn firing_count(&self, run: &Run, bounds: &[Bound], from: i64, to: i64, out: &mut Vec<i64>) {
        let entries = run.entries();
        let mut low = run.before(from.saturating_sub(self.timespan));
        for (place, time) in anchors(run, from, to) {
            while entries[low].time < time.saturating_sub(self.timespan) {
                low += 1;
            }
            let count = (place + 1 - low) as u64;
            if bounds.iter().all(|bound| bound.holds(count)) {
                out.push(time);
            }
        }
    }

    fn firing_temporal(
        &self,
        (run, others): (&Run, &Run),
        (condition, members): (&Member, usize),
        (from, to): (i64, i64),
        tail: &mut Tail,
        out: &mut Vec<i64>,
    ) {
        let (mut seen, known) = tail.take_seen(members, from);
        let mut next = [run, others].map(|run| run.before(from));
        match known {
            Some(at) => next = [run, others].map(|run| run.up_to(at)),
            None => {
                let low = from.saturating_sub(self.timespan);
                let all = u64::MAX.checked_shr((Plan::MEMBERS_MAX - members) as u32);
                seen.look_back(run, all.unwrap_or(0), low, from);
                seen.look_back(others, !self.positive, low, from);
            }
        }
        let mut last = None;
        for (_, time) in anchors(run, from, to) {
            for (run, next) in [run, others].iter().zip(&mut next) {
                while let Some(entry) = run.entries().get(*next).filter(|e| e.time <= time) {
                    seen.add(entry);
                    *next += 1;
                }
            }
            last = Some(time);
            let low = time.saturating_sub(self.timespan);
            if condition.holds(&|member| seen.has(member, low)) {
                out.push(time);
            }
        }
        if let Some(at) = last {
            tail.keep_seen(seen, run, at);
        }
    }

    fn firing_ordered(
        &self,
        run: &Run,
        members: usize,
        (from, to): (i64, i64),
        tail: &mut Tail,
        out: &mut Vec<i64>,
    ) {
        let (mut chains, known) = tail.take_chains(members, from);
        let entries = run.entries();
        let mut next = match known {
            Some(at) => run.up_to(at),
            None => {
                let next = run.before(from);
                let low = run.before(from.saturating_sub(self.timespan));
                chains.look_back(&entries[low..next]);
                next
            }
        };
        while let Some(time) = entries.get(next).map(|entry| entry.time) {
            if time > to {
                break;
            }
            let tied = entries[next..]
                .iter()
                .take_while(|entry| entry.time == time);
            let end = next + tied.count();
            if end == entries.len() {
                // Without the newest: more events of its time are likely still to come.
                tail.keep_chains(&chains, run, time.saturating_sub(1));
            }
            chains.add(&entries[next..end]);
            next = end;
            let low = time.saturating_sub(self.timespan);
            if time >= from && chains.begin().is_some_and(|begin| begin >= low) {
                out.push(time);
            }
        }
    }

    fn firing_valued(
        &self,
        run: &Run,
        valued: &Valued,
        (from, to): (i64, i64),
        tail: &mut Tail,
        out: &mut Vec<i64>,
    ) {
        let start = from.saturating_sub(self.timespan);
        let (mut values, mut sweep) = match tail.take_values(valued, to) {
            Some((values, (low, at))) => (values, Sweep::over(run, low, at)),
            None => (valued.values(), Sweep::new(run, start)),
        };
        let back = Sweep {
            low: run.before(start),
            high: run.before(from),
            ..sweep
        };
        if back.high < sweep.high {
            if values.slides_back() && sweep.is_nearer_than_empty(&back) {
                let entries = run.entries();
                let (gone, come) = (back.high..sweep.high, back.low..sweep.low);
                entries[gone].iter().for_each(|entry| values.remove(entry));
                entries[come].iter().for_each(|entry| values.add(entry));
                sweep = back;
            } else {
                (values, sweep) = (valued.values(), Sweep::new(run, start));
            }
        }
        let mut last = None;
        for (_, time) in anchors(run, from, to) {
            sweep.enter(time, |entry| values.add(entry));
            let low = time.saturating_sub(self.timespan);
            sweep.leave(low, |entry| values.remove(entry));
            last = Some((low, time));
            if valued.holds(&values) {
                out.push(time);
            }
        }
        if let Some(window) = last {
            tail.keep_values(values, run, window);
        }
    }

    /// The last firing anchor in `[floor, before)`.
    pub fn last_firing(&self, run: &Run, others: &Run, floor: i64, before: i64) -> Option<i64> {
        let entries = run.entries();
        let mut found = Vec::new();
        let mut end = run.before(before);
        let mut step = SEARCH_STEP;
        while let Some(last) = end.checked_sub(1).map(|place| entries[place].time) {
            if last < floor {
                return None;
            }
            let from = entries[end.saturating_sub(step)].time.max(floor);
            let range = (from, last);
            self.firing((run, others), range, &mut Tail::default(), &mut found);
            if let Some(last) = found.last() {
                return Some(*last);
            }
            end = run.before(from);
            step *= 2;
        }
        None
    }

    /// The first firing anchor in `(after, ceiling]`.
    pub fn first_firing(&self, run: &Run, others: &Run, after: i64, ceiling: i64) -> Option<i64> {
        let entries = run.entries();
        let mut found = Vec::new();
        let mut start = run.up_to(after);
        let mut step = SEARCH_STEP;
        while let Some(first) = entries.get(start).map(|entry| entry.time) {
            if first > ceiling {
                return None;
            }
            let last = entries[(start + step).min(entries.len() - 1)].time;
            let to = last.min(ceiling);
            let range = (first, to);
            self.firing((run, others), range, &mut Tail::default(), &mut found);
            if let Some(first) = found.first() {
                return Some(*first);
            }
            start = run.up_to(to);
            step *= 2;
        }
        None
    }
}

/// How many entries a search for a firing anchor looks at first; each further look doubles it. The
/// answer is nearly always the neighbour.
const SEARCH_STEP: usize = 4;

/// The bound of a condition that is no more than "at least n"; `None` for any other.
fn at_least(bounds: &[Bound]) -> Option<usize> {
    let mut least = 1;
    for bound in bounds {
        let n = match bound {
            Bound::Gte(n) => *n,
            Bound::Gt(n) => n.checked_add(1)?,
            Bound::Lt(_) | Bound::Lte(_) | Bound::Eq(_) | Bound::Neq(_) => return None,
        };
        least = least.max(n);
    }
    usize::try_from(least).ok()
}

/// The distinct times in `[from, to]`, each with the place of its last entry.
fn anchors(run: &Run, from: i64, to: i64) -> impl Iterator<Item = (usize, i64)> {
    let entries = run.entries();
    let start = run.before(from);
    entries[start..]
        .iter()
        .enumerate()
        .map(move |(offset, entry)| (start + offset, entry.time))
        .take_while(move |(_, time)| *time <= to)
        .filter(move |(place, time)| {
            if fault::active(Fault::WrongTie) {
                return *place == 0 || entries[place - 1].time != *time;
            }
            entries.get(place + 1).is_none_or(|next| next.time != *time)
        })
}

/// The part of a run that lies in the window.
struct Sweep<'r> {
    entries: &'r [Entry],
    low: usize,
    high: usize,
}

impl<'r> Sweep<'r> {
    fn new(run: &'r Run, start: i64) -> Self {
        let low = run.before(start);
        Self {
            entries: run.entries(),
            low,
            high: low,
        }
    }

    /// The part in `[low, high]`, which has been let in.
    fn over(run: &'r Run, low: i64, high: i64) -> Self {
        Self {
            entries: run.entries(),
            low: run.before(low),
            high: run.up_to(high),
        }
    }

    /// Whether there is less to do from here to `other`, before this, than to fill that anew.
    fn is_nearer_than_empty(&self, other: &Self) -> bool {
        self.high - other.high + (self.low - other.low) < other.high - other.low
    }

    /// Lets in what is at or before `high`.
    fn enter(&mut self, high: i64, mut take: impl FnMut(&Entry)) {
        while let Some(entry) = self.entries.get(self.high).filter(|e| e.time <= high) {
            take(entry);
            self.high += 1;
        }
    }

    /// Lets out what is before `low`.
    fn leave(&mut self, low: i64, mut give: impl FnMut(&Entry)) {
        while self.low < self.high && self.entries[self.low].time < low {
            give(&self.entries[self.low]);
            self.low += 1;
        }
    }
}
