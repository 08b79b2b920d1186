//! The runner against a system of a few plain loops, with planted faults that it must catch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_schema::alert::{Evidence, EvidenceItem};
use weir_schema::*;
use weir_story::{Delivery, Payload, Settled, Shelf, System, Way, parse, tell};

/// Logins of one user, counted over all time: enough of a system to be told a story.
struct Logins {
    fault: Fault,
    seen: Vec<(EventTime, String, EventId)>,
    bound: Option<(usize, Level)>,
    text: String,
    said: BTreeMap<String, AlertRecord>,
    epoch: u64,
    refused: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    MissesRaise,
    MissesRetraction,
    RaisesMore,
    WrongLevel,
    SaysAgainAfterRestart,
    IgnoresLate,
}

impl Logins {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            seen: Vec::new(),
            bound: None,
            text: String::new(),
            said: BTreeMap::new(),
            epoch: 0,
            refused: Vec::new(),
        }
    }

    fn record(&self, user: &str) -> Option<AlertRecord> {
        let (bound, level) = self.bound?;
        let mut items: Vec<EvidenceItem> = self
            .seen
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
            evidence: Evidence {
                head: items,
                tail: Vec::new(),
            },
        })
    }
}

impl System for Logins {
    fn deliver(&mut self, events: &[Delivery]) {
        for event in events {
            let Payload::Fields { fields, .. } = &event.payload else {
                continue;
            };
            let user = fields.iter().find(|(name, _)| name == "user").unwrap();
            let late = self.seen.iter().any(|(time, _, _)| *time > event.time);
            if late && self.fault == Fault::IgnoresLate {
                continue;
            }
            self.seen
                .push((event.time, user.1.clone(), event.event_id()));
        }
    }

    fn control(&mut self, controls: Vec<Control>) {
        for control in controls {
            match control {
                Control::RulePut { text, origin, .. } => {
                    let value = |key: &str| text.split_once(key)?.1.split_whitespace().next();
                    let Some(bound) = value("gte:").and_then(|n| n.parse().ok()) else {
                        self.refused.push(format!("{origin}: no bound\nat all"));
                        continue;
                    };
                    let high = value("level:") == Some("high");
                    let level = if high { Level::High } else { Level::Low };
                    self.bound = Some((bound, level));
                    self.text = text;
                }
                Control::RuleRemove { .. } => self.bound = None,
                _ => {}
            }
        }
    }

    fn settle(&mut self) -> Settled {
        self.epoch += 1;
        let mut changes = Vec::new();
        let mut records = Vec::new();
        let users: std::collections::BTreeSet<String> =
            self.seen.iter().map(|(_, user, _)| user.clone()).collect();
        for user in users {
            let now = self.record(&user);
            let old = self.said.get(&user).cloned();
            let (kind, mut record) = match (&old, now) {
                (None, None) => continue,
                (None, Some(now)) => (ChangeKind::Raised, now),
                (Some(old), None) => (ChangeKind::Retracted, old.clone()),
                (Some(old), Some(now)) => {
                    let kept = |r: &AlertRecord| (r.version, r.level, r.count.ilog2());
                    let mut current = now.clone();
                    current.revision = old.revision;
                    records.push(current);
                    if kept(old) == kept(&now) {
                        continue;
                    }
                    (ChangeKind::Revised, now)
                }
            };
            record.revision = old.map_or(1, |old| old.revision + 1);
            match kind {
                ChangeKind::Retracted => drop(self.said.remove(&user)),
                _ => drop(self.said.insert(user, record.clone())),
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
        Settled {
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
        if self.fault == Fault::SaysAgainAfterRestart {
            self.said.clear();
        }
    }

    fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    fn ask(&mut self, _query: &str) -> Vec<String> {
        self.said.keys().cloned().collect()
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

fn shelf() -> Shelf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    Shelf::beside(&folder.join("logins.md"), Path::new("."))
}

fn told(text: &str, fault: Fault, way: &Way) -> Result<weir_story::Told, String> {
    let story = parse(text, "logins.md").expect("the story is well formed");
    tell(&story, &shelf(), |_| Box::new(Logins::new(fault)), way).map_err(|f| f.to_string())
}

#[test]
fn a_right_system_is_told_every_way() {
    for way in weir_story::ways_full(7) {
        told(STORY, Fault::None, &way).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let quick = weir_story::ways_quick(3);
    for workers in [1, 2, 4] {
        assert!(quick.iter().any(|way| way.workers == workers));
    }
}

#[test]
fn planted_faults_are_caught_in_place() {
    let way = weir_story::ways_full(7)[2];
    for (fault, expected) in [
        (
            Fault::MissesRaise,
            "logins.md:8  told on 1 worker, each chapter in one batch, restarted at each line, raw \
             bytes\n  expected  + alert  logins  user=igor  low  by first, more\n  got       (nothing)",
        ),
        (Fault::RaisesMore, ":7  told"),
        (
            Fault::WrongLevel,
            "got       + alert  logins  user=igor  critical",
        ),
        (Fault::IgnoresLate, ":19  told"),
        (Fault::MissesRetraction, ":24  told"),
        (Fault::SaysAgainAfterRestart, "was said after revision 1"),
    ] {
        let failure = told(STORY, fault, &way).expect_err("the fault must be caught");
        assert!(
            failure.contains(expected),
            "expected {expected}\nin {failure}"
        );
    }
}

#[test]
fn a_rewrite_mends_effects_and_rows_and_nothing_else() {
    let way = weir_story::ways_full(7)[0];
    let told = told(STORY, Fault::None, &way).unwrap();
    let spoilt = STORY
        .replace("    + alert  logins  user=igor  low  by first, more\n", "")
        .replace("    | igor\n", "    | lea\n    | mo\n")
        .replace(
            "    ~ alert  logins  user=igor  high",
            "    ~ alert  logins  user=igor  low",
        );
    assert_ne!(spoilt, STORY);
    let mend = |text: &str| {
        let story = parse(text, "logins.md").unwrap();
        let told = weir_story::run(&story, &shelf(), &mut Logins::new(Fault::None), &way).unwrap();
        weir_story::rewrite(text, &story, &told)
    };
    assert_eq!(mend(&spoilt), STORY);
    assert_eq!(mend(STORY), STORY);
    let own_spacing = STORY.replace("+ alert  logins  user=igor", "+ alert   logins user=igor");
    assert_eq!(mend(&own_spacing), own_spacing);
    assert_eq!(told.effects.len(), 5);
}

#[test]
fn what_is_not_supported_yet_is_an_error_at_its_line() {
    let text = "    indicator + ip=1.2.3.4 feed=f\n    ---- 09:00:00\n";
    let way = weir_story::ways_full(0)[0];
    let failure = told(text, Fault::None, &way).unwrap_err();
    assert!(failure.starts_with("logins.md:1 ") && failure.contains("not supported yet"));
    let text = "    rule + nowhere\n    ---- 09:00:00\n";
    assert!(
        told(text, Fault::None, &way)
            .unwrap_err()
            .contains("no rule `nowhere.yml`")
    );
}

#[test]
fn both_forms_of_an_event_hold_the_same_fields() {
    struct Keeps(Arc<std::sync::Mutex<Vec<Delivery>>>);
    impl System for Keeps {
        fn deliver(&mut self, events: &[Delivery]) {
            self.0.lock().unwrap().extend_from_slice(events);
        }
        fn control(&mut self, _: Vec<Control>) {}
        fn settle(&mut self) -> Settled {
            Settled::default()
        }
        fn restart(&mut self) {}
        fn diagnostics(&mut self) -> Vec<String> {
            Vec::new()
        }
        fn ask(&mut self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }
    let story = parse(
        "    09:00:00.5 a login u=\"x \\\"y\\\"\"\n    ---- 09:01:00\n",
        "s.md",
    )
    .unwrap();
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    for way in &weir_story::ways_full(0)[..2] {
        tell(
            &story,
            &shelf(),
            |_| Box::new(Keeps(Arc::clone(&kept))),
            way,
        )
        .unwrap();
    }
    let kept = kept.lock().unwrap();
    let (json, agent) = (&kept[0], agent::event(&kept[1].frame).unwrap());
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
    assert_eq!(weir_story::batches(&kept).len(), 2);
}
