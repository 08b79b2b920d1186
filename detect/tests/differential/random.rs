//! Random rules of the parts of public ones, and events that nearly are what they look for.

use std::path::Path;

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value as Json, json};
use yaml_serde::Value as Yaml;

/// Names of fields, few, so that clauses and values meet.
const FIELDS: [&str; 5] = ["Image", "CommandLine", "User", "EventID", "Nested.Name"];

/// Where values cannot be had from the public rules, and more that they seldom have.
const VALUES: [&str; 24] = [
    "whoami",
    r"\cmd.exe",
    r"C:\Windows\System32\*.exe",
    "a?c",
    "?",
    "*",
    "",
    r"\*",
    r"\\*x",
    r"\?",
    r"a\\b",
    r"\\\\server\\share",
    "-enc ",
    " /c ",
    "–x",
    "Ä?ö",
    "straße",
    "İx",
    "10",
    "1.5",
    "true",
    "10.0.0.0/8",
    "fe80::/10",
    "%x%",
];

const EXPRESSIONS: [&str; 8] = [
    "^a.*c$",
    r"\d{2,4}",
    "(?i)cmd|powershell",
    "[A-Z]{3}",
    r"\\\\.{1,5}\\",
    ".",
    "x*",
    r"a\.b",
];

const NETWORKS: [&str; 5] = [
    "10.0.0.0/8",
    "192.168.1.1/32",
    "10.1.2.3",
    "fe80::/10",
    "::/0",
];

/// Modifiers that go together somehow; what does not is refused by both, or told.
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

/// `field|modifiers: values`; without a field, keywords.
#[derive(Clone, Debug)]
pub struct Item {
    pub field: Option<String>,
    pub modifiers: Vec<String>,
    pub values: Vec<Json>,
}

/// Any of its parts, each all of its items.
#[derive(Clone, Debug)]
struct Selection {
    name: String,
    parts: Vec<Vec<Item>>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    selections: Vec<Selection>,
    condition: String,
}

/// The parts of which rules are made.
pub struct Pool {
    items: Vec<Item>,
}

impl Pool {
    /// Without the public rules.
    pub fn own() -> Self {
        let item = |value: &&str| Item {
            field: Some("CommandLine".to_owned()),
            modifiers: Vec::new(),
            values: vec![json!(value)],
        };
        Self {
            items: VALUES.iter().map(item).collect(),
        }
    }

    /// Of every seventh file, which is enough of each kind.
    pub fn of_folder(folder: &Path) -> Self {
        let (mut files, mut items) = (Vec::new(), Vec::new());
        files_of(folder, &mut files);
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
        items.extend(Self::own().items);
        Self { items }
    }
}

fn files_of(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_of(&path, out);
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
        _ => {} // No selection of the public rules is of another form.
    }
}

fn pick<'a, T: ?Sized>(random: &mut impl Rng, from: &'a [&'a T]) -> &'a T {
    from.choose(random).expect("none of these lists is empty")
}

fn chance(random: &mut impl Rng, of_a_hundred: u32) -> bool {
    random.random_range(0..100) < of_a_hundred
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

    /// Gives it values that its modifiers go with, some of them other ones.
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

/// Another value now and then: from elsewhere, with wildcards; where it is `bare` of modifiers,
/// numbers and nothing, too.
fn mutated(random: &mut impl Rng, value: &Json, bare: bool) -> Json {
    match (random.random_range(0..20), value.as_str()) {
        (0..=2, _) => json!(pick(random, &VALUES)),
        (3, _) if bare => json!(random.random_range(-2..5000)),
        (4, _) if bare && chance(random, 50) => Json::Null,
        (5, _) if bare && chance(random, 50) => json!(chance(random, 50)),
        (6, _) if bare && chance(random, 50) => json!(1.5),
        (7..=10, Some(text)) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = random.random_range(0..=letters.len());
            let letter = ['*', '?', '\\', '-', '/'].choose(random);
            letters.insert(at, *letter.expect("there are letters"));
            json!(letters.into_iter().collect::<String>())
        }
        // As the rule has it.
        _ => value.clone(),
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
                // Keywords stand alone.
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

    /// An event whose fields nearly are what the clauses look for.
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
                Some(item) => near(random, item),
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

/// A value near to what an item looks for.
fn near(random: &mut impl Rng, item: &Item) -> Json {
    match random.random_range(0..24) {
        0 => return Json::Null,
        1 => return json!(random.random_range(-2..20)),
        2 => return json!(""),
        3 => return json!(pick(random, &["10.1.2.3", "192.168.1.1", "fe80::1", "::1"])),
        4 => return json!(chance(random, 50)),
        5 => return json!(1.5),
        6 | 7 => {
            let values = (0..random.random_range(0..3)).map(|_| near(random, item));
            return Json::Array(values.filter(|value| !value.is_array()).collect());
        }
        _ => {} // A text, below.
    }
    let value = item.values.choose(random).expect("an item has values");
    let text = match value {
        Json::String(text) => text.clone(),
        other if chance(random, 50) => return other.clone(),
        other => other.to_string(),
    };
    let mut text = filled(random, &text);
    if item.modifiers.iter().any(|modifier| modifier == "windash") {
        text = text.replace(['-', '/'], pick(random, &["-", "/", "–", "—", "―"]));
    }
    match random.random_range(0..10) {
        0 => text = text.to_uppercase(),
        1 => text = text.to_lowercase(),
        2 => text = text.chars().skip(1).collect(),
        3 => {
            text.pop();
        }
        4 => text = format!("x{text}"),
        5 => text = format!("{text}\ny"),
        6 => text = format!("ab {text} cd"),
        _ => {} // As it is.
    }
    json!(text)
}

/// The text with something in place of its wildcards.
fn filled(random: &mut impl Rng, text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek().is_some_and(|next| "*?\\".contains(*next)) => {
                out.extend(letters.next());
            }
            '*' => out.push_str(pick(random, &["", "x", "a b", "\\", "\n"])),
            '?' => out.push_str(pick(random, &["x", "ü", "", "ab", "\n"])),
            letter => out.push(letter),
        }
    }
    out
}
