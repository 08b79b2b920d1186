//! Tests of the runner on a small system with planted faults, which the runner must catch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_schema::alert::{Evidence, EvidenceItem};
use weir_schema::*;
use weir_story::{
    EventDelivery, EventPayload, RuleSearchPath, RunVariant, System, SystemOutput, parse,
    run_and_check,
};

/// A system with one rule: it counts the logins of each user, over all time.
struct Logins {
    fault: Fault,
    logins: Vec<(EventTime, String, EventId)>,
    bound: Option<(usize, Level)>,
    text: String,
    standing: BTreeMap<String, AlertRecord>,
    epoch: u64,
    diagnostics: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    MissesRaise,
    MissesRetraction,
    RaisesMore,
    WrongLevel,
    RepeatsAfterRestart,
    IgnoresLate,
}

impl Logins {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            logins: Vec::new(),
            bound: None,
            text: String::new(),
            standing: BTreeMap::new(),
            epoch: 0,
            diagnostics: Vec::new(),
        }
    }

    fn record(&self, user: &str) -> Option<AlertRecord> {
        let (bound, level) = self.bound?;
        let mut items: Vec<EvidenceItem> = self
            .logins
            .iter()
            .filter(|(_, name, _)| name == user)
            .map(|(time, _, event)| EvidenceItem {
                time: *time,
                event: *event,
                position: Position(0),
            })
            .collect();
        items.sort();
        if items.len() < bound {
            return None;
        }
        let (first, last) = (items.first()?.time, items.last()?.time);
        let alert = AlertId::of(&[user.as_bytes()]);
        Some(AlertRecord {
            alert,
            key: alert,
            revision: 0,
            standing: true,
            raised: Epoch(1),
            rule: "logins-of-one-user".into(),
            version: RuleVersion::of(&[self.text.as_bytes()]),
            title: String::new(),
            level,
            tenant: "default".to_owned(),
            group: vec![GroupField {
                name: "user".to_owned(),
                value: user.to_owned(),
            }],
            state: AlertState::Confirmed,
            first,
            last,
            count: items.len() as u64,
            limited: false,
            supersedes: Vec::new(),
            cause: Cause::Watermark(last),
            marked: None,
            evidence: Evidence {
                head: items,
                tail: Vec::new(),
            },
        })
    }
}

impl System for Logins {
    fn deliver(&mut self, events: &[EventDelivery]) {
        for event in events {
            let EventPayload::Fields { fields, .. } = &event.payload else {
                continue;
            };
            let user = fields.iter().find(|(name, _)| name == "user").unwrap();
            let late = self.logins.iter().any(|(time, _, _)| *time > event.time);
            if late && self.fault == Fault::IgnoresLate {
                continue;
            }
            self.logins
                .push((event.time, user.1.clone(), event.event_id()));
        }
    }

    fn control(&mut self, controls: Vec<Control>) {
        for control in controls {
            match control {
                Control::RulePut { text, origin, .. } => {
                    let value = |key: &str| text.split_once(key)?.1.split_whitespace().next();
                    let Some(bound) = value("gte:").and_then(|n| n.parse().ok()) else {
                        self.diagnostics.push(format!("{origin}: no bound\nat all"));
                        continue;
                    };
                    let high = value("level:") == Some("high");
                    let level = if high { Level::High } else { Level::Low };
                    self.bound = Some((bound, level));
                    self.text = text;
                }
                Control::RuleDelete { .. } => self.bound = None,
                _ => {}
            }
        }
    }

    fn settle(&mut self) -> SystemOutput {
        self.epoch += 1;
        let mut changes = Vec::new();
        let mut records = Vec::new();
        let users: std::collections::BTreeSet<String> = self
            .logins
            .iter()
            .map(|(_, user, _)| user.clone())
            .collect();
        for user in users {
            let now = self.record(&user);
            let old = self.standing.get(&user).cloned();
            let (kind, mut record) = match (&old, now) {
                (None, None) => continue,
                (None, Some(now)) => (ChangeKind::Raised, now),
                (Some(old), None) => (ChangeKind::Retracted, old.clone()),
                (Some(old), Some(now)) => {
                    let summary = |r: &AlertRecord| (r.version, r.level, r.count.ilog2());
                    let mut current = now.clone();
                    current.revision = old.revision;
                    records.push(current);
                    if summary(old) == summary(&now) {
                        continue;
                    }
                    (ChangeKind::Revised, now)
                }
            };
            record.revision = old.map_or(1, |old| old.revision + 1);
            match kind {
                ChangeKind::Retracted => drop(self.standing.remove(&user)),
                _ => drop(self.standing.insert(user, record.clone())),
            }
            match (self.fault, kind) {
                (Fault::MissesRaise, ChangeKind::Raised) => continue,
                (Fault::MissesRetraction, ChangeKind::Retracted) => continue,
                (Fault::WrongLevel, _) => record.level = Level::Critical,
                (Fault::RaisesMore, ChangeKind::Raised) => {
                    let mut more = record.clone();
                    more.alert = AlertId::of(&[b"more"]);
                    more.group[0].value = "nobody".to_owned();
                    changes.push(change(ChangeKind::Raised, more));
                }
                _ => {}
            }
            changes.push(change(kind, record));
        }
        let epoch = Epoch(self.epoch);
        SystemOutput {
            commits: vec![Commit {
                epoch,
                changes,
                records,
            }],
            problems: Vec::new(),
            fault: None,
        }
    }

    fn restart(&mut self) {
        if self.fault == Fault::RepeatsAfterRestart {
            self.standing.clear();
        }
    }

    fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.diagnostics)
    }

    fn query(&mut self, _query: &str) -> Vec<String> {
        self.standing.keys().cloned().collect()
    }
}

fn change(kind: ChangeKind, record: AlertRecord) -> Change {
    Change {
        kind,
        epoch: Epoch(1),
        ordinal: 0,
        supersedes: Vec::new(),
        record,
    }
}

const STORY: &str = r#"# Logins

    rule + logins
    09:00:00  a  login  user=igor                 as first
    09:00:00  a  login  user="Lea P"
    09:01:00  a  login  user=igor  x 3 every 1s   as more
    ---- 09:10:00
    + alert  logins  user=igor  low  by first, more

Silence follows: the fifth login passes no power of two.

    09:10:00  a  login  user=igor
    ---- 09:11:00
    ? who
    | igor

    09:09:00  b  login  user="Lea P"  late  as other
    ---- 09:12:00
    + alert  logins  user="Lea P"  low  by other

    restart
    rule + logins  gte=5  level=high
    ---- 09:13:00
    - alert  logins  user="Lea P"
    ~ alert  logins  user=igor  high  by first, more

    ! rule + broken
    | broken.yml: no bound at all
    rule - logins
    ---- 09:14:00
    - alert  logins  user=igor
"#;

fn rules() -> RuleSearchPath {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    RuleSearchPath::for_story(&folder.join("logins.md"), Path::new("."))
}

fn run(text: &str, fault: Fault, variant: &RunVariant) -> Result<weir_story::StoryOutput, String> {
    let story = parse(text, "logins.md").expect("the story is well formed");
    run_and_check(&story, &rules(), |_| Box::new(Logins::new(fault)), variant)
        .map_err(|f| f.to_string())
}

#[test]
fn a_correct_system_passes_in_all_variants() {
    for variant in weir_story::variants_full(7) {
        run(STORY, Fault::None, &variant).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let quick = weir_story::variants_quick(3);
    for workers in [1, 2, 4] {
        assert!(quick.iter().any(|variant| variant.workers == workers));
    }
}

#[test]
fn planted_faults_are_reported_at_their_line() {
    let variant = weir_story::variants_full(7)[2];
    for (fault, expected) in [
        (
            Fault::MissesRaise,
            "logins.md:8  run on 1 worker, each chapter in one batch, restarted at each line, raw \
             bytes\n  expected  + alert  logins  user=igor  low  by first, more\n  got       (nothing)",
        ),
        (Fault::RaisesMore, ":7  run"),
        (
            Fault::WrongLevel,
            "got       + alert  logins  user=igor  critical",
        ),
        (Fault::IgnoresLate, ":19  run"),
        (Fault::MissesRetraction, ":24  run"),
        (Fault::RepeatsAfterRestart, "follows revision 1"),
    ] {
        let failure = run(STORY, fault, &variant).expect_err("the fault must be caught");
        assert!(
            failure.contains(expected),
            "expected {expected}\nin {failure}"
        );
    }
}

#[test]
fn rewrite_changes_effects_and_rows_and_nothing_else() {
    let variant = weir_story::variants_full(7)[0];
    let output = run(STORY, Fault::None, &variant).unwrap();
    let altered = STORY
        .replace("    + alert  logins  user=igor  low  by first, more\n", "")
        .replace("    | igor\n", "    | lea\n    | mo\n")
        .replace(
            "    ~ alert  logins  user=igor  high",
            "    ~ alert  logins  user=igor  low",
        );
    assert_ne!(altered, STORY);
    let rewritten = |text: &str| {
        let story = parse(text, "logins.md").unwrap();
        let output =
            weir_story::run(&story, &rules(), &mut Logins::new(Fault::None), &variant).unwrap();
        weir_story::rewrite(text, &story, &output)
    };
    assert_eq!(rewritten(&altered), STORY);
    assert_eq!(rewritten(STORY), STORY);
    let own_spacing = STORY.replace("+ alert  logins  user=igor", "+ alert   logins user=igor");
    assert_eq!(rewritten(&own_spacing), own_spacing);
    assert_eq!(output.effects.len(), 5);
}

#[test]
fn unsupported_steps_and_missing_rules_are_errors_at_their_line() {
    let text = "    indicator + ip=1.2.3.4 feed=f\n    ---- 09:00:00\n";
    let variant = weir_story::variants_full(0)[0];
    let failure = run(text, Fault::None, &variant).unwrap_err();
    assert!(failure.starts_with("logins.md:1 ") && failure.contains("not supported yet"));
    let text = "    rule + nowhere\n    ---- 09:00:00\n";
    assert!(
        run(text, Fault::None, &variant)
            .unwrap_err()
            .contains("no rule `nowhere.yml`")
    );
}

#[test]
fn both_forms_of_an_event_have_the_same_fields() {
    struct RecordingSystem(Arc<std::sync::Mutex<Vec<EventDelivery>>>);
    impl System for RecordingSystem {
        fn deliver(&mut self, events: &[EventDelivery]) {
            self.0.lock().unwrap().extend_from_slice(events);
        }
        fn control(&mut self, _: Vec<Control>) {}
        fn settle(&mut self) -> SystemOutput {
            SystemOutput::default()
        }
        fn restart(&mut self) {}
        fn diagnostics(&mut self) -> Vec<String> {
            Vec::new()
        }
        fn query(&mut self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }
    let story = parse(
        "    09:00:00.5 a login u=\"x \\\"y\\\"\"\n    ---- 09:01:00\n",
        "s.md",
    )
    .unwrap();
    let deliveries = Arc::new(std::sync::Mutex::new(Vec::new()));
    for variant in &weir_story::variants_full(0)[..2] {
        run_and_check(
            &story,
            &rules(),
            |_| Box::new(RecordingSystem(Arc::clone(&deliveries))),
            variant,
        )
        .unwrap();
    }
    let deliveries = deliveries.lock().unwrap();
    let (json, agent) = (
        &deliveries[0],
        agent::decode_event(&deliveries[1].frame).unwrap(),
    );
    assert_eq!(
        std::str::from_utf8(&json.frame).unwrap(),
        r#"{"time":"2026-01-01T09:00:00.5Z","kind":"login","u":"x \"y\""}"#
    );
    assert_eq!(
        (agent.time_ns(), agent.kind()),
        (json.time.0, Some("login"))
    );
    let field = agent.fields().unwrap().get(0);
    assert_eq!((field.name(), field.value()), ("u", "x \"y\""));
    assert_eq!(weir_story::batches(&deliveries).len(), 2);
}
