//! Reads the data folder, and the public rules in it for both engines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use yaml_serde::Value as Yaml;

/// One document of a rules file.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub text: String,
}

/// The folder of test data: `WEIR_DATA`, or a folder beside the repository.
pub fn folder() -> Result<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("WEIR_DATA").map_or_else(beside, PathBuf::from);
    ensure!(
        folder.join("sigma/rules").is_dir(),
        "there is no sigma/rules in {}; set WEIR_DATA",
        folder.display()
    );
    Ok(folder)
}

/// Reads the lines of a file, and unpacks it if its name ends in `.zst`.
pub fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = std::io::Result<String>>>> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    Ok(if path.extension().is_some_and(|ending| ending == "zst") {
        Box::new(BufReader::new(zstd::stream::read::Decoder::new(file)?).lines())
    } else {
        Box::new(BufReader::new(file).lines())
    })
}

/// Reads all rules of folders below `sigma/`, in order of path. Rules that Weir refuses, such as
/// for a placeholder without a value, are reported and left out for both engines.
pub fn rules(folders: &[&str]) -> Result<Vec<Rule>> {
    let sigma = folder()?.join("sigma");
    let mut files = Vec::new();
    for folder in folders {
        rule_files(&sigma.join(folder), &mut files)?;
    }
    let mut rules = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for (_, text) in weir_detect::split_documents(&text) {
            let name = file.display().to_string();
            let found = weir_detect::check(text, &name);
            if let Some(refusal) = found.iter().find(|diagnostic| diagnostic.refused) {
                eprintln!("left out: {refusal}");
                continue;
            }
            let id = weir_detect::rule_id(text);
            let id = id.with_context(|| format!("{name} has no id"))?;
            let text = text.to_owned();
            rules.push(Rule { id, text });
        }
    }
    Ok(rules)
}

fn rule_files(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rule_files(&path, out)?;
        } else if path.extension().is_some_and(|ending| ending == "yml") {
            out.push(path);
        }
    }
    Ok(())
}

/// Returns `count` rules: the first of `rules`, then copies under other ids with other texts of
/// the same length and kind.
pub fn grown(rules: &[Rule], count: usize) -> Result<Vec<Rule>> {
    let mut grown: Vec<Rule> = rules.iter().take(count).cloned().collect();
    let copies = (1_u8..).flat_map(|shift| rules.iter().map(move |rule| (shift, rule)));
    for (shift, rule) in copies.take(count - grown.len()) {
        grown.push(altered(rule, shift)?);
    }
    Ok(grown)
}

fn altered(rule: &Rule, shift: u8) -> Result<Rule> {
    let id = format!("{}-{shift}", rule.id);
    let mut yaml: Yaml = yaml_serde::from_str(&rule.text)?;
    let detection = yaml.get_mut("detection").and_then(Yaml::as_mapping_mut);
    for (key, selection) in detection.context("a rule without detection")?.iter_mut() {
        if !matches!(key.as_str(), Some("condition" | "timeframe")) {
            alter(selection, shift);
        }
    }
    if let Some(map) = yaml.as_mapping_mut() {
        map.insert("id".into(), id.clone().into());
        map.remove("name");
    }
    let text = yaml_serde::to_string(&yaml)?;
    Ok(Rule { id, text })
}

/// Shifts the letters of texts along the alphabet. Expressions and networks stay, as they would
/// become invalid.
fn alter(value: &mut Yaml, shift: u8) {
    match value {
        Yaml::String(text) => {
            let letter = |c: char| match c {
                'a'..='z' => shifted(c, b'a', shift),
                'A'..='Z' => shifted(c, b'A', shift),
                c => c,
            };
            *text = text.chars().map(letter).collect();
        }
        Yaml::Sequence(values) => values.iter_mut().for_each(|value| alter(value, shift)),
        Yaml::Mapping(map) => {
            for (field, value) in map.iter_mut() {
                let field = field.as_str().unwrap_or_default();
                let fixed = ["|re", "|cidr", "|exists", "|fieldref", "|base64"];
                if !fixed.iter().any(|modifier| field.contains(modifier)) {
                    alter(value, shift);
                }
            }
        }
        _ => {} // Numbers, booleans and nulls stay.
    }
}

fn shifted(letter: char, first: u8, shift: u8) -> char {
    let place = (letter as u8 - first + shift) % 26;
    char::from(first + place)
}
