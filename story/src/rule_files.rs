//! Rule files of stories: finds them, splits them into documents, and edits values in them.

use std::path::{Component, Path, PathBuf};

/// Largest rule file that is read.
pub const RULE_BYTES_MAX: u64 = 1 << 20;

/// The folders in which a story's rules are searched, in order.
#[derive(Clone, Debug)]
pub struct RuleSearchPath {
    pub folders: Vec<PathBuf>,
}

impl RuleSearchPath {
    /// The folder of the story, then `rules` in it, then `root`.
    #[must_use]
    pub fn for_story(story: &Path, root: &Path) -> Self {
        let folder = story.parent().unwrap_or(Path::new("")).to_owned();
        Self {
            folders: vec![folder.clone(), folder.join("rules"), root.to_owned()],
        }
    }

    /// Reads the rule file at `path`, which is given without `.yml`.
    pub fn read(&self, path: &str) -> Result<String, String> {
        let inside = |part| matches!(part, Component::Normal(_));
        if path.is_empty() || !Path::new(path).components().all(inside) {
            return Err(format!("`{path}` is not a path below a rules folder"));
        }
        for folder in &self.folders {
            let file = folder.join(format!("{path}.yml"));
            let Ok(metadata) = std::fs::metadata(&file) else {
                continue;
            };
            if metadata.len() > RULE_BYTES_MAX {
                return Err(format!(
                    "{} is larger than {RULE_BYTES_MAX} bytes",
                    file.display()
                ));
            }
            return std::fs::read_to_string(&file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()));
        }
        let folders: Vec<String> = self
            .folders
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        Err(format!("no rule `{path}.yml` in {}", folders.join(", ")))
    }
}

/// One YAML document of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Sigma's `id`, else `name`, else `title`.
    pub id: String,
    /// The name in stories of a document that is not the last of its file: `name`, else the id.
    pub name: String,
    pub text: String,
}

/// Splits a rule file at its `---` lines. The last document is the one that raises alerts.
pub fn split_documents(text: &str) -> Result<Vec<RuleText>, String> {
    let mut texts = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            texts.push(String::new());
        } else if let Some(last) = texts.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    texts.retain(|text| !text.lines().all(blank));
    if texts.is_empty() {
        return Err("the file contains no rule".to_owned());
    }
    texts.into_iter().map(document).collect()
}

fn document(text: String) -> Result<RuleText, String> {
    let id = ["id", "name", "title"]
        .into_iter()
        .find_map(|key| scalar(&text, key))
        .ok_or("a rule needs a top-level `id`, `name` or `title`")?;
    let name = scalar(&text, "name").unwrap_or_else(|| id.clone());
    Ok(RuleText { id, name, text })
}

/// The value of a top-level key of a YAML document.
fn scalar(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    let bare = value.trim_matches(|c| c == '"' || c == '\'');
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// Replaces the value of `key` in a document. The key must occur exactly once, with its value on the
/// same line.
pub fn replace_value(text: &str, key: &str, value: &str) -> Result<String, String> {
    let holds = |line: &str| {
        let rest = line.trim_start().strip_prefix(key)?.strip_prefix(':')?;
        (rest.starts_with(' ') && !rest.trim().is_empty()).then_some(())
    };
    let found = text.lines().filter(|line| holds(line).is_some()).count();
    if found != 1 {
        return Err(format!(
            "the key `{key}` occurs {found} times with a value in the rule's last document; \
             an edit needs it exactly once"
        ));
    }
    let mut edited = String::with_capacity(text.len() + value.len());
    for line in text.lines() {
        if holds(line).is_some() {
            let indent = line.len() - line.trim_start().len();
            edited.push_str(line.get(..indent).unwrap_or_default());
            edited.push_str(&format!("{key}: {value}"));
        } else {
            edited.push_str(line);
        }
        edited.push('\n');
    }
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "---\ntitle: A\nid: 'a-1'\nname: base\n---\ntitle: B # x\nlevel: low\n\
                       correlation:\n  condition:\n    gte: 3\n";

    #[test]
    fn a_file_is_split_into_named_documents() {
        let documents = split_documents(TWO).unwrap();
        let names: Vec<_> = documents.iter().map(|d| (&*d.id, &*d.name)).collect();
        assert_eq!(names, [("a-1", "base"), ("B", "B")]);
        assert!(split_documents("# nothing\n---\n").is_err());
        assert!(split_documents("level: low\n").is_err());
    }

    #[test]
    fn replace_value_changes_one_scalar() {
        let last = split_documents(TWO).unwrap().pop().unwrap().text;
        let edited = replace_value(&last, "gte", "5").unwrap();
        assert!(edited.contains("    gte: 5\n") && !edited.contains("gte: 3"));
        assert!(replace_value(&last, "lte", "5").is_err());
        assert!(replace_value(&last, "condition", "5").is_err());
    }

    #[test]
    fn paths_outside_the_folders_are_refused() {
        let rules = RuleSearchPath::for_story(Path::new("s/x.md"), Path::new("rules"));
        for bad in ["../x", "/etc/passwd", "a/../b", ""] {
            assert!(
                rules.read(bad).unwrap_err().contains("not a path below"),
                "{bad}"
            );
        }
    }
}
