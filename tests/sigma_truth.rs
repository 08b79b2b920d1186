//! The public Sigma rules over recorded Windows events, compared with two independent engines.
//!
//! Weir must find exactly the pairs of rule and event on which both engines agree: 12,675 pairs over
//! 602,745 events. The events without a pair test for false positives.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use support::command::{finish, weir};
use support::files::data_set;
use weir_detect::{Detections, Detector, RuleBook, split_documents};
use weir_parse::{Context, Zone};
use weir_schema::{Control, EventTime, Format, LogSource, ReceiveTime, Span, TenantKey};

/// Folders of rules that the truth covers.
const FOLDERS: [&str; 3] = ["rules", "rules-emerging-threats", "rules-threat-hunting"];

/// Lines that a worker receives at once.
const CHUNK_LINES: usize = 1_000;

/// Chunks that wait for a worker.
const CHUNKS_MAX: usize = 8;

/// An event by its recording and its place in it.
type Place = (String, u64);
type Matches = BTreeMap<Place, BTreeSet<String>>;

fn reader(path: &Path) -> Box<dyn BufRead + Send> {
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "zst") {
        let unpacked = zstd::stream::read::Decoder::new(file).unwrap();
        Box::new(BufReader::with_capacity(1 << 20, unpacked))
    } else {
        Box::new(BufReader::new(file))
    }
}

fn rows(path: &Path) -> Vec<Json> {
    let lines = reader(path).lines().map(Result::unwrap);
    lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect()
}

fn rule_files(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rule_files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "yml") {
            out.push(path);
        }
    }
}

/// The rules of the folders. One in a hundred may be refused, for example because a placeholder has
/// no value.
fn book(sigma: &Path) -> RuleBook {
    let mut files = Vec::new();
    for folder in FOLDERS {
        rule_files(&sigma.join(folder), &mut files);
    }
    let mut book = RuleBook::new();
    let (mut documents, mut refused) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (_, document) in split_documents(&text) {
            let applied = book.apply(&Control::RulePut {
                text: document.to_owned(),
                origin: file.display().to_string(),
                since: EventTime::MIN,
            });
            documents += 1;
            let refusals = applied.diagnostics.iter().filter(|found| found.refused);
            refused.extend(refusals.map(ToString::to_string));
        }
    }
    assert!(refused.len() * 100 <= documents, "{}", refused.join("\n"));
    book
}

/// Splits off `_file` and `_n`, which are not part of the event.
fn split(line: &str) -> (Place, String) {
    let rest = line.strip_prefix("{\"_file\":").unwrap();
    let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let file = names.next().unwrap().unwrap();
    let rest = rest[names.byte_offset()..].trim_start_matches([',', ' ']);
    let rest = rest.strip_prefix("\"_n\":").unwrap();
    let (n, rest) = rest.split_once(',').unwrap();
    let place = (file, n.trim().parse().unwrap());
    (place, format!("{{{}", rest.trim_start()))
}

fn context(format: Format, logsource: Option<&LogSource>) -> Context<'_> {
    Context {
        format,
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: Zone::UTC,
        logsource,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Matches frames against the rules.
struct Worker<'b> {
    book: &'b RuleBook,
    detector: Detector,
    found: Detections,
}

impl<'b> Worker<'b> {
    fn new(book: &'b RuleBook) -> Self {
        Self {
            book,
            detector: Detector::new(),
            found: Detections::default(),
        }
    }

    fn matches(&mut self, frame: &[u8], context: &Context<'_>) -> BTreeSet<String> {
        let event = weir_parse::decode(frame, context);
        let detector = &mut self.detector;
        detector.detect(self.book, &event, TenantKey(1), None, &mut self.found);
        let matches = self.found.matches.iter();
        matches.map(|rule| rule.to_string()).collect()
    }
}

/// Matches the events of a file, on all cores.
fn match_events(book: &RuleBook, path: &Path) -> (u64, Matches) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (send, receive) = crossbeam_channel::bounded::<Vec<String>>(CHUNKS_MAX);
    std::thread::scope(|scope| {
        let work = || {
            let (mut events, mut found) = (0, Matches::new());
            let mut worker = Worker::new(book);
            for line in receive.clone().into_iter().flatten() {
                let (place, event) = split(&line);
                events += 1;
                let rules = worker.matches(event.as_bytes(), &context(Format::Json, None));
                if !rules.is_empty() {
                    found.insert(place, rules);
                }
            }
            (events, found)
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut chunk = Vec::with_capacity(CHUNK_LINES);
        for line in reader(path).lines() {
            chunk.push(line.unwrap());
            if chunk.len() == CHUNK_LINES {
                send.send(std::mem::take(&mut chunk)).unwrap();
            }
        }
        send.send(chunk).unwrap();
        drop(send);
        let mut all = (0, Matches::new());
        for worker in workers {
            let (events, found) = worker.join().unwrap();
            all.0 += events;
            all.1.extend(found);
        }
        all
    })
}

/// The pairs of a truth file: those that both engines find, and those that one engine finds.
fn truth(path: &Path) -> (Matches, Matches) {
    let (mut sure, mut disputed) = (Matches::new(), Matches::new());
    for row in rows(path) {
        let place = (
            row["_file"].as_str().unwrap().to_owned(),
            row["_n"].as_u64().unwrap(),
        );
        for (key, pairs) in [("rules", &mut sure), ("disputed", &mut disputed)] {
            let rules = row[key].as_array().into_iter().flatten();
            let rules: BTreeSet<String> = rules.map(|id| id.as_str().unwrap().into()).collect();
            if !rules.is_empty() {
                pairs.insert(place.clone(), rules);
            }
        }
    }
    (sure, disputed)
}

/// Missing and unexpected pairs: each rule with their number and the first event.
fn differences(expected: &Matches, disputed: &Matches, found: &Matches) -> Vec<String> {
    let none = BTreeSet::new();
    let mut by_rule: BTreeMap<(&str, &str), Vec<&Place>> = BTreeMap::new();
    let places: BTreeSet<&Place> = expected.keys().chain(found.keys()).collect();
    for place in places {
        let [expected, disputed, found] =
            [expected, disputed, found].map(|pairs| pairs.get(place).unwrap_or(&none));
        for rule in expected.symmetric_difference(found) {
            if !disputed.contains(rule) {
                let kind = if found.contains(rule) {
                    "unexpected"
                } else {
                    "missing"
                };
                by_rule.entry((kind, rule)).or_default().push(place);
            }
        }
    }
    let line = |((kind, rule), places): (&(&str, &str), &Vec<&Place>)| {
        format!(
            "{kind} {rule}: {} times, first {:?}",
            places.len(),
            places[0]
        )
    };
    by_rule.iter().map(line).collect()
}

fn pairs(matches: &Matches) -> usize {
    matches.values().map(BTreeSet::len).sum()
}

/// Number of events and expected pairs of a set.
#[derive(Debug, PartialEq, Eq)]
struct Size {
    events: u64,
    pairs: usize,
}

/// Compares the matches of a set of recordings with the truth.
fn check(test: &str, set: &str, truth_ending: &str, size: Size) {
    let (Some(events), Some(truth_file), Some(sigma)) = (
        data_set(test, &format!("windows/{set}.jsonl.zst")),
        data_set(test, &format!("windows/{set}.{truth_ending}")),
        data_set(test, "sigma"),
    ) else {
        return;
    };
    let (expected, disputed) = truth(&truth_file);
    let (events, found) = match_events(&book(&sigma), &events);
    let wrong = differences(&expected, &disputed, &found);
    assert!(wrong.is_empty(), "{set}:\n{}", wrong.join("\n"));
    let pairs = pairs(&expected);
    assert_eq!(Size { events, pairs }, size, "{set}");
}

#[test]
fn attack_samples_match_exactly_the_expected_rules() {
    let test = "attack_samples_match_exactly_the_expected_rules";
    check(
        test,
        "evtx_attack_samples",
        "sigma.jsonl",
        Size {
            events: 8_255,
            pairs: 1_547,
        },
    );
}

#[test]
fn techniques_match_exactly_the_expected_rules() {
    let test = "techniques_match_exactly_the_expected_rules";
    check(
        test,
        "evtx_to_mitre",
        "sigma.jsonl",
        Size {
            events: 10_015,
            pairs: 1_822,
        },
    );
}

#[test]
fn host_recordings_match_exactly_the_expected_rules() {
    let test = "host_recordings_match_exactly_the_expected_rules";
    check(
        test,
        "otrf_atomic",
        "sigma.jsonl.zst",
        Size {
            events: 584_237,
            pairs: 9_306,
        },
    );
}

#[test]
fn regression_events_match_their_rules() {
    let test = "regression_events_match_their_rules";
    let Some(folder) = data_set(test, "sigma/regression") else {
        return;
    };
    let sigma = folder.parent().unwrap();
    let book = book(sigma);
    let (events, found) = match_events(&book, &folder.join("events.jsonl"));
    assert_eq!(events, 238);
    let mut wrong = Vec::new();
    let expected = rows(&folder.join("expected.jsonl"));
    assert_eq!(expected.len(), 202);
    for row in expected {
        let (file, rule) = (
            row["file"].as_str().unwrap(),
            row["rule_id"].as_str().unwrap(),
        );
        let matched = found
            .iter()
            .filter(|(place, rules)| place.0 == file && rules.contains(rule));
        let (matched, least) = (
            matched.count() as u64,
            row["match_count"].as_u64().unwrap_or(1),
        );
        if matched < least {
            wrong.push(format!("{rule} matches {matched} of {least} in {file}"));
        }
    }
    let (all, disputed) = truth(&folder.join("all_matches.jsonl"));
    wrong.extend(differences(&all, &disputed, &found));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let text = std::fs::read_to_string(folder.join("expected_raw.json")).unwrap();
    let raw: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert_eq!(raw.len(), 1);
    for case in raw {
        let logsource = weir_parse::parse_logsource("product=cisco,service=aaa").unwrap();
        let line = case["line"].as_str().unwrap().as_bytes();
        let mut worker = Worker::new(&book);
        let found = worker.matches(line, &context(Format::Syslog, Some(&logsource)));
        assert!(
            found.contains(case["rule_id"].as_str().unwrap()),
            "{found:?}"
        );
    }
}

/// Compares the output of `weir replay`, so through journal, graph and printer.
fn check_replay(test: &str, set: &str) {
    let (Some(events), Some(truth_file), Some(sigma)) = (
        data_set(test, &format!("windows/{set}.jsonl.zst")),
        data_set(test, &format!("windows/{set}.sigma.jsonl")),
        data_set(test, "sigma"),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("events.jsonl");
    let mut places = Vec::new();
    let mut lines = std::io::BufWriter::new(File::create(&input).unwrap());
    for line in reader(&events).lines() {
        let (place, event) = split(&line.unwrap());
        places.push(place);
        writeln!(lines, "{event}").unwrap();
    }
    lines.into_inner().unwrap().sync_data().unwrap();
    let mut replay = weir(["--quiet", "replay", "--output", "matches"]);
    for rules in FOLDERS {
        replay.arg("--rules").arg(sigma.join(rules));
    }
    let replay = finish(replay.arg(&input));
    // 65 means that some rule is unusable; the others ran.
    assert!(matches!(replay.code, Some(0 | 65)), "{}", replay.err);
    let mut found = Matches::new();
    for row in replay.json_lines() {
        let line = usize::try_from(row["line"].as_u64().unwrap()).unwrap();
        let rule = row["rule"].as_str().unwrap().to_owned();
        found
            .entry(places[line - 1].clone())
            .or_default()
            .insert(rule);
    }
    let (expected, disputed) = truth(&truth_file);
    let wrong = differences(&expected, &disputed, &found);
    assert!(wrong.is_empty(), "{set}:\n{}", wrong.join("\n"));
}

#[test]
fn a_replay_prints_the_same_matches() {
    for set in ["evtx_attack_samples", "evtx_to_mitre"] {
        check_replay("a_replay_prints_the_same_matches", set);
    }
}
