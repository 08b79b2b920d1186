//! Any text is a configuration, or a story, or is refused with a reason.

use std::path::PathBuf;

use weir::config::Config;

/// The first byte says which, the rest is the text.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    if which & 1 == 0 {
        configuration(&text);
    } else {
        story(&text);
    }
}

fn configuration(text: &str) {
    let file = PathBuf::from(format!("weir-fuzz-{}.toml", std::process::id()));
    let file = std::env::temp_dir().join(file);
    std::fs::write(&file, text).expect("there is room for a small file");
    let config = Config::load(Some(&file));
    let _ = std::fs::remove_file(&file);
    match config {
        Ok(config) => {
            let _ = (config.sources(), config.bounds(), config.syslog_tls());
        }
        Err(bad) => assert!(!bad.problems.is_empty(), "refused without a reason"),
    }
}

fn story(text: &str) {
    match weir_story::parse(text, "fuzz.story") {
        Ok(story) => assert_eq!(Ok(story), weir_story::parse(text, "fuzz.story"), "twice"),
        Err(errors) => assert!(!errors.is_empty(), "refused without a reason"),
    }
}
