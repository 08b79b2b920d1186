//! Makes the most expensive events and rules: long values, many fields, many matches, expressions.

use anyhow::Result;
use rand::Rng;
use serde_json::{Map, Value as Json, json};
use weir_scenario::random::seeded;
use weir_schema::Format;
use yaml_serde::Value as Yaml;

use crate::corpus::{Corpus, Sources};
use crate::data::Rule;

/// The field that most rules read.
const MOST_READ_FIELD: &str = "CommandLine";

/// Approximate bytes of a corpus, and of a corpus of large events, each of which takes the other
/// engine a second.
const CORPUS_BYTES: usize = 4 << 20;
const LARGE_BYTES: usize = 1 << 20;
const LARGE_FROM: usize = 64 << 10;

fn corpus(name: String, sources: &Sources, mut event: impl FnMut(u64) -> Json) -> Result<Corpus> {
    let size = event(0).to_string().len();
    let bytes = if size < LARGE_FROM {
        CORPUS_BYTES
    } else {
        LARGE_BYTES
    };
    let count = (bytes / size).clamp(6, 20_000) as u64;
    let events = (0..count).map(|n| sources.windows(&event(n).to_string()));
    Ok(Corpus {
        name,
        format: Format::Json,
        events: events.collect::<Result<_>>()?,
    })
}

/// Makes a process creation event with a command line.
fn process(command: &str) -> Map<String, Json> {
    let event = json!({
        "EventID": 1,
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "Provider_Name": "Microsoft-Windows-Sysmon",
        "Computer": "host-1.example.com",
        "TimeCreated": "2026-03-02T08:00:00.000Z",
        "Image": r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
        "OriginalFileName": "PowerShell.EXE",
        "CommandLine": command,
        "CurrentDirectory": r"C:\Users\ada\",
        "User": r"EXAMPLE\ada",
        "IntegrityLevel": "Medium",
        "ParentImage": r"C:\Windows\explorer.exe",
        "ParentCommandLine": r"C:\Windows\Explorer.EXE",
    });
    match event {
        Json::Object(event) => event,
        _ => Map::new(), // It is an object, see above.
    }
}

fn words(random: &mut impl Rng, bytes: usize) -> String {
    // Without dashes: the engines differ in the meaning of `windash`.
    const LETTERS: &[u8] = b"etaoinshrdlcumwfgypbvkjxqz0123456789.\\:_";
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        let length = random.random_range(2..10);
        text.extend(
            (0..length).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])),
        );
        text.push(' ');
    }
    text
}

/// Makes process events with a new command line of `bytes` bytes each.
pub fn long_value(bytes: usize, sources: &Sources) -> Result<Corpus> {
    let mut random = seeded(7, 31);
    let name = format!("a value of {bytes} bytes that 900 rules read");
    corpus(name, sources, |_| {
        process(&words(&mut random, bytes)).into()
    })
}

/// Makes process events with `count` more fields that no rule reads, each with a new text.
pub fn more_fields(count: usize, sources: &Sources) -> Result<Corpus> {
    let mut random = seeded(7, 32);
    let name = format!("{count} more fields, new, unread");
    corpus(name, sources, |_| {
        let mut event = process(&words(&mut random, 60));
        for field in 0..count {
            event.insert(format!("Unread{field}"), words(&mut random, 60).into());
        }
        event.into()
    })
}

/// Makes events whose command line contains the texts that most rules look for.
pub fn many_hits(rules: &[Rule], sources: &Sources) -> Result<Corpus> {
    let mut needles = Vec::new();
    for rule in rules {
        let yaml: Yaml = yaml_serde::from_str(&rule.text)?;
        let category = yaml["logsource"]["category"].as_str();
        if category == Some("process_creation") {
            collect(
                &yaml["detection"],
                &|field| field.starts_with(MOST_READ_FIELD) && field.contains("contains"),
                &mut needles,
            );
        }
    }
    needles.sort_unstable();
    needles.dedup();
    let soup = needles.join(" ");
    let name = "an event that hits many rules".to_owned();
    corpus(name, sources, |n| process(&format!("{n} {soup}")).into())
}

/// Makes a rule for command lines of every expression in the rules.
pub fn only_expressions(rules: &[Rule]) -> Result<Vec<Rule>> {
    let mut found = Vec::new();
    for rule in rules {
        let yaml: Yaml = yaml_serde::from_str(&rule.text)?;
        collect(
            &yaml["detection"],
            &|field| field.contains("|re"),
            &mut found,
        );
    }
    found.sort_unstable();
    found.dedup();
    let rule = |(n, expression): (usize, &String)| {
        let id = format!("00000000-0000-4000-8000-{n:012}");
        let text = json!({
            "title": format!("Expression {n}"),
            "id": id,
            "logsource": {"product": "windows", "category": "process_creation"},
            "detection": {
                "selection": {format!("{MOST_READ_FIELD}|re"): expression},
                "condition": "selection",
            },
        });
        // JSON is YAML.
        let text = text.to_string();
        Rule { id, text }
    };
    Ok(found.iter().enumerate().map(rule).collect())
}

/// Collects the texts of all wanted fields, at any depth.
fn collect(value: &Yaml, wanted: &dyn Fn(&str) -> bool, out: &mut Vec<String>) {
    match value {
        Yaml::Sequence(values) => values.iter().for_each(|value| collect(value, wanted, out)),
        Yaml::Mapping(map) => {
            for (field, value) in map.iter() {
                match value {
                    _ if !field.as_str().is_some_and(wanted) => collect(value, wanted, out),
                    Yaml::Sequence(values) => {
                        out.extend(values.iter().filter_map(Yaml::as_str).map(str::to_owned));
                    }
                    value => out.extend(value.as_str().map(str::to_owned)),
                }
            }
        }
        _ => {} // A value outside of the wanted fields.
    }
}
