//! Random rules made of parts of public rules, and events that nearly match them.

use std::path::Path;

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value as Json, json};
use yaml_serde::Value as Yaml;

use super::values::{EXPRESSIONS, FIELDS, NETWORKS, VALUES, chance, mutated, near, pick};

/// Combinations of modifiers. Those that an engine refuses are counted as refusals.
const MODIFIERS: [&[&str]; 24] = [
    &[],
    &["contains"],
    &["startswith"],
    &["endswith"],
    &["contains", "all"],
    &["cased"],
    &["contains", "cased"],
    &["endswith", "cased"],
    &["neq"],
    &["contains", "neq"],
    &["windash"],
    &["contains", "windash"],
    &["re"],
    &["re", "i"],
    &["re", "s"],
    &["re", "all"],
    &["cidr"],
    &["exists"],
    &["lt"],
    &["gte"],
    &["base64"],
    &["base64offset", "contains"],
    &["wide", "base64offset", "contains"],
    &["fieldref"],
];

/// `field|modifiers: values`, or keywords without a field.
#[derive(Clone, Debug)]
pub struct Item {
    pub field: Option<String>,
    pub modifiers: Vec<String>,
    pub values: Vec<Json>,
}

/// Holds if one of its parts does; a part holds if all of its items do.
#[derive(Clone, Debug)]
struct Selection {
    name: String,
    parts: Vec<Vec<Item>>,
}

/// A random rule.
#[derive(Clone, Debug)]
pub struct Rule {
    selections: Vec<Selection>,
    condition: String,
}

/// The items that rules are made of.
pub struct Pool {
    items: Vec<Item>,
}

impl Pool {
    /// Items without the public rules.
    pub fn built_in() -> Self {
        let item = |value: &&str| Item {
            field: Some("CommandLine".to_owned()),
            modifiers: Vec::new(),
            values: vec![json!(value)],
        };
        Self {
            items: VALUES.iter().map(item).collect(),
        }
    }

    /// Items of every seventh file in the folder, which has enough of each kind.
    pub fn from_folder(folder: &Path) -> Self {
        let (mut files, mut items) = (Vec::new(), Vec::new());
        yaml_files(folder, &mut files);
        for file in files.iter().step_by(7) {
            let text = std::fs::read_to_string(file).unwrap();
            let yaml: Yaml = yaml_serde::from_str(&text).unwrap();
            let detection = yaml.get("detection").and_then(Yaml::as_mapping).unwrap();
            for (name, selection) in detection.iter() {
                if name.as_str() != Some("condition") {
                    collect(selection, &mut items);
                }
            }
        }
        items.extend(Self::built_in().items);
        Self { items }
    }
}

fn yaml_files(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            yaml_files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "yml") {
            out.push(path);
        }
    }
}

fn collect(selection: &Yaml, items: &mut Vec<Item>) {
    let scalars = |value: &Yaml| -> Vec<Json> {
        let values = match value {
            Yaml::Sequence(values) => values.clone(),
            value => vec![value.clone()],
        };
        let values = values
            .into_iter()
            .filter(|v| !v.is_mapping() && !v.is_sequence());
        values
            .map(|value| yaml_serde::from_value(value).unwrap())
            .collect()
    };
    match selection {
        Yaml::Sequence(parts) => {
            let values = scalars(selection);
            if !values.is_empty() {
                items.push(Item {
                    field: None,
                    modifiers: Vec::new(),
                    values,
                });
            }
            for part in parts.iter().filter(|part| part.is_mapping()) {
                collect(part, items);
            }
        }
        Yaml::Mapping(fields) => {
            for (key, value) in fields.iter() {
                let mut words = key.as_str().unwrap_or_default().split('|');
                let field = words.next().filter(|field| !field.is_empty());
                items.push(Item {
                    field: field.map(str::to_owned),
                    modifiers: words.map(str::to_owned).collect(),
                    values: scalars(value),
                });
            }
        }
        _ => {} // The public rules have no other forms of selections.
    }
}

impl Item {
    fn random(random: &mut impl Rng, pool: &Pool) -> Self {
        let mut item = pool.items.choose(random).expect("a pool has items").clone();
        if item.field.is_some() {
            item.field = Some(pick(random, &FIELDS).to_owned());
        }
        let changed = chance(random, 40);
        if changed {
            let modifiers = MODIFIERS.choose(random).expect("it is not empty");
            item.modifiers = modifiers.iter().map(|&m| m.to_owned()).collect();
        }
        let most = random.random_range(1..=4);
        while item.values.len() > most {
            item.values
                .swap_remove(random.random_range(0..item.values.len()));
        }
        if item.values.is_empty() {
            item.values.push(json!(pick(random, &VALUES)));
        }
        let was_expression = |item: &Self| item.has("re") && !changed;
        if !was_expression(&item) {
            item.fit(random);
        }
        if item.values.len() < 2 {
            item.modifiers.retain(|modifier| modifier != "all");
        }
        item
    }

    fn has(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|known| known == modifier)
    }

    /// Replaces values so that they suit the modifiers, and mutates some.
    fn fit(&mut self, random: &mut impl Rng) {
        let encoded = self
            .modifiers
            .iter()
            .any(|m| m.starts_with("base64") || m == "wide");
        for at in 0..self.values.len() {
            let value = match () {
                () if self.has("exists") => json!(chance(random, 50)),
                () if self.has("lt") || self.has("gte") => json!(random.random_range(-3..12)),
                () if self.has("cidr") => json!(pick(random, &NETWORKS)),
                () if self.has("fieldref") => json!(pick(random, &FIELDS)),
                () if self.has("re") => json!(pick(random, &EXPRESSIONS)),
                () if encoded => json!(pick(random, &["whoami", "cmd.exe", "x"])),
                () => mutated(random, &self.values[at], self.modifiers.is_empty()),
            };
            self.values[at] = value;
        }
        if self.has("exists") {
            self.values.truncate(1);
        }
    }
}

impl Rule {
    /// A rule of one clause.
    pub fn of(item: Item) -> Self {
        Self {
            selections: vec![Selection {
                name: "sel_a".to_owned(),
                parts: vec![vec![item]],
            }],
            condition: "sel_a".to_owned(),
        }
    }

    pub fn random(random: &mut impl Rng, pool: &Pool) -> Self {
        let names = ["sel_a", "sel_b", "filter_a", "keys"];
        let count = random.random_range(1..=names.len());
        let mut selections = Vec::new();
        for name in &names[..count] {
            let mut parts = Vec::new();
            for _ in 0..random.random_range(1..=2) {
                let items = (0..random.random_range(1..=3)).map(|_| Item::random(random, pool));
                let mut items: Vec<Item> = items.collect();
                // Keywords cannot be combined with fields.
                if let Some(at) = items.iter().position(|item| item.field.is_none()) {
                    items = vec![items.swap_remove(at)];
                }
                items.sort_by_key(Item::key);
                items.dedup_by_key(|item| item.key());
                parts.push(items);
            }
            if let Some(at) = parts.iter().position(|items| items[0].field.is_none()) {
                parts = vec![parts.swap_remove(at)];
            }
            selections.push(Selection {
                name: (*name).to_owned(),
                parts,
            });
        }
        let condition = condition(random, &names[..count], 3);
        Self {
            selections,
            condition,
        }
    }

    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.selections
            .iter()
            .flat_map(|selection| selection.parts.iter().flatten())
    }

    pub fn json(&self) -> Json {
        let mut detection = Map::new();
        for selection in &self.selections {
            detection.insert(selection.name.clone(), selection.json());
        }
        detection.insert("condition".into(), json!(self.condition));
        json!({
            "title": "Random",
            "id": "a3d1f2c4-0000-4000-8000-000000000001",
            "logsource": {"product": "test"},
            "detection": detection,
            "level": "low",
        })
    }

    /// An event whose fields nearly match the clauses.
    pub fn event(&self, random: &mut impl Rng) -> Json {
        let mut event = Map::new();
        let items: Vec<&Item> = self.items().collect();
        for field in FIELDS {
            if chance(random, 15) {
                continue;
            }
            let fits = |item: &&&Item| item.field.as_deref().is_none_or(|name| name == field);
            let fitting: Vec<&&Item> = items.iter().filter(fits).collect();
            let value = match fitting.choose(random) {
                Some(item) => near(random, &item.values, &item.modifiers),
                None => json!(pick(random, &VALUES)),
            };
            event.insert(field.to_owned(), value);
        }
        Json::Object(event)
    }
}

impl Item {
    fn key(&self) -> String {
        let words = self.field.iter().chain(&self.modifiers);
        words.map(String::as_str).collect::<Vec<_>>().join("|")
    }
}

impl Selection {
    fn json(&self) -> Json {
        let values = |item: &Item| match item.values.as_slice() {
            [one] => one.clone(),
            many => json!(many),
        };
        let map = |items: &Vec<Item>| -> Json {
            let fields = items.iter().map(|item| (item.key(), values(item)));
            Json::Object(fields.collect())
        };
        match self.parts.as_slice() {
            [items] => match items.as_slice() {
                [item] if item.field.is_none() && item.modifiers.is_empty() => {
                    json!(item.values)
                }
                [item] if item.field.is_none() => {
                    json!({format!("|{}", item.modifiers.join("|")): item.values})
                }
                _ => map(items),
            },
            parts => Json::Array(parts.iter().map(map).collect()),
        }
    }
}

fn condition(random: &mut impl Rng, names: &[&str], depth: u32) -> String {
    let choice = if depth == 0 {
        0
    } else {
        random.random_range(0..10)
    };
    match choice {
        0..=3 => pick(random, names).to_owned(),
        4 => format!("not {}", condition(random, names, depth - 1)),
        5 | 6 => {
            let word = pick(random, &["and", "or", "and not"]);
            let (a, b) = (
                condition(random, names, depth - 1),
                condition(random, names, depth - 1),
            );
            format!("{a} {word} {b}")
        }
        7 => format!("({})", condition(random, names, depth - 1)),
        8 => format!("{} of them", pick(random, &["1", "all", "any"])),
        _ => format!("{} of sel_*", pick(random, &["1", "all"])),
    }
}
