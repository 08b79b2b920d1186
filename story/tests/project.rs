//! The project's own stories are valid, and their rules exist.

use std::path::PathBuf;

use weir_story::{RuleSearchPath, StepKind, SubjectKind, parse, split_documents};

#[test]
fn all_stories_and_their_rules_can_be_read() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("stories");
    let mut read = 0;
    for entry in std::fs::read_dir(&folder).expect("the project has stories") {
        let path = entry.expect("an entry of the folder").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        read += 1;
        let file = path.display().to_string();
        let text = std::fs::read_to_string(&path).expect("a story is text");
        let story = parse(&text, &file).unwrap_or_else(|errors| {
            panic!(
                "{}",
                errors
                    .iter()
                    .map(|e| format!("{file}: {e}\n"))
                    .collect::<String>()
            )
        });
        let rules = RuleSearchPath::for_story(&path, &root.join("rules"));
        for step in story.chapters.iter().flat_map(|chapter| &chapter.steps) {
            let StepKind::Change(change) = &step.value else {
                continue;
            };
            assert_eq!(change.kind, SubjectKind::Rule, "{file}:{}", step.line);
            let text = rules.read(&change.subject).expect("the rule exists");
            split_documents(&text).expect("the rule has documents");
        }
    }
    assert!(read >= 14, "{read} stories");
}
