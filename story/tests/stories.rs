//! The project's own stories are well formed, and the rules that they put in place are beside them.

use std::path::PathBuf;

use weir_story::{Noun, Shelf, What, documents, parse};

#[test]
fn every_story_can_be_read_with_its_rules() {
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
        let shelf = Shelf::beside(&path, &root.join("rules"));
        for step in story.chapters.iter().flat_map(|chapter| &chapter.steps) {
            let What::Change(change) = &step.it else {
                continue;
            };
            assert_eq!(change.noun, Noun::Rule, "{file}:{}", step.line);
            let text = shelf
                .read(&change.subject)
                .expect("the rule is on the shelf");
            documents(&text).expect("the rule has documents");
        }
    }
    assert!(read >= 14, "{read} stories");
}
