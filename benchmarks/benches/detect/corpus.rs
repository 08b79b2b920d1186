//! The events of the benchmark, as sent to Weir, and with the log source that `rsigma-eval` needs.
//!
//! Weir gets the bytes of a sender, and finds the log source itself. `rsigma-eval` reads the log
//! source from fields of the event, which are added before the measurement: the finest category of
//! `sigma/logsource_map.windows.json`, and the fields that the map renames, under the names that
//! rules use. A missing part of the log source is `none`, as otherwise every rule that states such
//! a part would run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json, json};
use weir_parse::{Context, Zone};
use weir_scenario::load::LoadStream;
use weir_schema::{Event, EventTime, Format, LogSource, ReceiveTime, Span};

use crate::data;

/// Finer categories of `registry_event`. `rsigma-eval` knows one category for each event, so rules
/// of `registry_event` are added once for each of these.
pub const REGISTRY_PARTS: [&str; 4] = [
    "registry_add",
    "registry_delete",
    "registry_set",
    "registry_rename",
];

/// One event in the form for each engine.
#[derive(Clone, Debug)]
pub struct Frames {
    pub weir: Vec<u8>,
    pub rsigma: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Corpus {
    pub name: String,
    pub format: Format,
    pub events: Vec<Frames>,
}

impl Corpus {
    /// Number of the first events that only warm up: a third. As in a stream, they come before the
    /// measured ones, and no event repeats.
    pub fn warm(&self) -> usize {
        self.events.len() / 3
    }

    /// Mean bytes of an event, as sent to Weir.
    pub fn mean_bytes(&self) -> usize {
        let bytes: usize = self.events.iter().map(|event| event.weir.len()).sum();
        bytes / self.events.len().max(1)
    }
}

pub fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Finds the log source of Windows events.
pub struct Sources {
    services: BTreeMap<String, String>,
    categories: Vec<Category>,
}

struct Category {
    name: String,
    /// In lower case: agents write them in any case.
    channels: Vec<String>,
    ids: Vec<Json>,
    kind: Option<String>,
    fields: Vec<(String, String)>,
}

impl Sources {
    pub fn read() -> Result<Self> {
        let path = data::folder()?.join("sigma/logsource_map.windows.json");
        let map: Json = serde_json::from_slice(&std::fs::read(path)?)?;
        let mut services = BTreeMap::new();
        for (service, channels) in map["services"].as_object().context("no services")? {
            for channel in channels.as_array().into_iter().flatten() {
                let channel = channel.as_str().unwrap_or_default();
                services.insert(channel.to_lowercase(), service.clone());
            }
        }
        let mut categories = Vec::new();
        for (name, entries) in map["categories"].as_object().context("no categories")? {
            for entry in entries.as_array().into_iter().flatten() {
                let list = |key: &str| entry[key].as_array().cloned().unwrap_or_default();
                let channels = list("Channel");
                let channels = channels.iter().filter_map(Json::as_str);
                let fields = entry["fieldmap"].as_object().into_iter().flatten();
                let fields = fields.filter_map(|(a, b)| Some((a.clone(), b.as_str()?.to_owned())));
                categories.push(Category {
                    name: name.clone(),
                    channels: channels.map(str::to_lowercase).collect(),
                    ids: list("EventID"),
                    kind: entry["EventType"].as_str().map(str::to_owned),
                    fields: fields.collect(),
                });
            }
        }
        // The finer categories first.
        categories.sort_by_key(|category| category.name == "registry_event");
        Ok(Self {
            services,
            categories,
        })
    }

    /// Adds product, service, category and renamed fields to the event.
    fn with_log_source(&self, text: &str) -> Result<Vec<u8>> {
        let event: Map<String, Json> = serde_json::from_str(text)?;
        let channel = event.get("Channel").and_then(Json::as_str);
        let channel = channel.unwrap_or_default().to_lowercase();
        let kind = event.get("EventType").and_then(Json::as_str);
        let category = self.categories.iter().find(|category| {
            category.channels.contains(&channel)
                && event
                    .get("EventID")
                    .is_some_and(|id| category.ids.contains(id))
                && category
                    .kind
                    .as_deref()
                    .is_none_or(|wanted| kind == Some(wanted))
        });
        let service = self.services.get(&channel);
        let mut more = json!({
            "product": "windows",
            "service": service.map_or("none", String::as_str),
            "category": category.map_or("none", |category| &category.name),
        });
        for (name, own) in category.iter().flat_map(|category| &category.fields) {
            if let (Some(value), false) = (event.get(own), event.contains_key(name)) {
                more[name] = value.clone();
            }
        }
        let mut extended = more.to_string();
        extended.pop();
        extended.push(',');
        extended.push_str(text.trim_start_matches('{'));
        Ok(extended.into_bytes())
    }

    pub fn windows(&self, text: &str) -> Result<Frames> {
        Ok(Frames {
            weir: text.as_bytes().to_vec(),
            rsigma: self.with_log_source(text)?,
        })
    }
}

/// Splits a line of a recording into the name of the event and the event itself.
fn split_name(line: &str) -> Option<(&str, String)> {
    let at = line.find("\"_n\":")?;
    let end = at + line.get(at..)?.find(',')?;
    let rest = line.get(end + 1..)?.trim_start();
    Some((line.get(..end)?, format!("{{{rest}")))
}

/// Calls `f` with every `step`-th event of a recording, in order. It skips events for which the
/// engines are known to differ (`docs/decisions/012-differences-from-rsigma.md`).
pub fn each(file: &str, step: usize, f: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let folder = data::folder()?.join("windows");
    let truth = folder.join(file.replace(".jsonl.zst", ".sigma.jsonl"));
    let mut disputed = BTreeSet::new();
    if truth.exists() {
        for line in data::lines(&truth)? {
            let line = line?;
            if line.contains("\"disputed\"") {
                disputed.extend(split_name(&line).map(|(name, _)| name.to_owned()));
            }
        }
    }
    for line in data::lines(&folder.join(file))?.step_by(step) {
        let line = line?;
        let (name, event) = split_name(&line).context("a line without _n")?;
        if !disputed.contains(name) {
            f(&event)?;
        }
    }
    Ok(())
}

/// Prints every event of a recording. It runs in a process of its own, because unpacking takes
/// more memory than the detection that is measured.
pub fn print(file: &str) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    each(file, 1, &mut |event| Ok(writeln!(out, "{event}")?))?;
    Ok(out.flush()?)
}

/// Makes a corpus of Windows recordings: every `step`-th event of the files, at most `count`.
pub fn windows(
    name: &str,
    files: &[&str],
    step: usize,
    count: usize,
    sources: &Sources,
) -> Result<Corpus> {
    let mut events = Vec::new();
    for file in files {
        each(file, step, &mut |text| {
            if events.len() < count {
                events.push(sources.windows(text)?);
            }
            Ok(())
        })?;
    }
    Ok(Corpus {
        name: name.to_owned(),
        format: Format::Json,
        events,
    })
}

/// Makes a corpus of generated syslog lines. `rsigma-eval` gets the events that Weir's parser
/// decodes.
pub fn syslog(count: usize) -> Result<Corpus> {
    let start = EventTime(1_780_000_000_000_000_000);
    let (mut stream, mut bytes) = (LoadStream::new(7, start), Vec::new());
    stream.chunk(start, count as u64, &mut bytes, &mut Vec::new());
    let mut events = Vec::new();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let event = weir_parse::decode(line, &context(Format::Syslog));
        events.push(Frames {
            weir: line.to_vec(),
            rsigma: flat_json(&event)?,
        });
    }
    Ok(Corpus {
        name: "syslog".to_owned(),
        format: Format::Syslog,
        events,
    })
}

/// Encodes a decoded event as flat JSON with its log source.
fn flat_json(event: &Event<'_>) -> Result<Vec<u8>> {
    let mut json: Json = serde_json::from_str(&weir_parse::event_json(event))?;
    let mut flat = match json["fields"].take() {
        Json::Object(fields) => fields,
        _ => Map::new(), // An event without fields.
    };
    flat.insert("message".into(), json["message"].take());
    let LogSource {
        category,
        product,
        service,
    } = &event.logsource;
    for (name, word) in [
        ("category", category),
        ("product", product),
        ("service", service),
    ] {
        flat.insert(name.into(), word.as_deref().unwrap_or("none").into());
    }
    Ok(Json::Object(flat).to_string().into_bytes())
}
