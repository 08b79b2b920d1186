//! The line and column of a value: walks the text along the tree that was read from it.

use crate::sigma::issue::PathStep;
use crate::sigma::yaml::YamlNode;

/// Returns the line and column, from 1, of the value at `path`.
///
/// If the value is not found, it is the place of the last step that was. The walk gives up at
/// some anchors, tags and unusual layouts.
pub(crate) fn locate(text: &str, tree: &YamlNode, path: &[PathStep]) -> (u32, u32) {
    let mut walker = Walker {
        text,
        at: 0,
        flow: 0,
        reached: 0,
        done: false,
    };
    walker.skip_blank();
    walker.reached = walker.at;
    if !path.is_empty() {
        walker.walk(tree, Some(path), None);
    }
    line_and_column(text, walker.reached)
}

fn line_and_column(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = before.bytes().filter(|b| *b == b'\n').count();
    let column = before[start..].chars().count();
    (small(line + 1), small(column + 1))
}

struct Walker<'t> {
    text: &'t str,
    at: usize,
    /// Number of open flow collections.
    flow: usize,
    /// Offset of the last step of the path that was found.
    reached: usize,
    /// The value is found, or the walker gave up on the layout of the text.
    done: bool,
}

impl Walker<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> u8 {
        self.rest().bytes().next().unwrap_or(0)
    }

    fn column(&self) -> usize {
        let before = self.text.get(..self.at).unwrap_or_default();
        self.at - before.rfind('\n').map_or(0, |at| at + 1)
    }

    /// Skips spaces, line ends and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            let starts_word = self.at + blank == 0
                || self.text.as_bytes()[self.at + blank - 1].is_ascii_whitespace();
            self.at += blank;
            if self.peek() != b'#' || !starts_word {
                return;
            }
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find('\n').map_or(rest.len(), |at| at + 1);
    }

    /// Skips blanks, then takes `byte`. Returns false if another byte is there.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_blank();
        let there = self.peek() == byte;
        if there {
            self.at += 1;
        }
        there
    }

    fn give_up(&mut self) {
        self.done = true;
    }

    /// Walks over `node`, which begins here, in search of the value at `path`.
    ///
    /// `path` is `None` if the value is not within this node. `indent` is the column of the
    /// node's parent.
    fn walk(&mut self, node: &YamlNode, path: Option<&[PathStep]>, indent: Option<usize>) {
        if self.done {
            return;
        }
        if matches!(node, YamlNode::Null) && self.flow == 0 && self.ends_line() {
            return self.arrive(path, None);
        }
        self.skip_blank();
        if matches!(self.peek(), b'&' | b'!') {
            let rest = self.rest();
            self.at += rest.find([' ', '\n']).unwrap_or(rest.len());
            self.skip_blank();
        }
        if self.peek() == b'*' {
            self.arrive(path, Some(self.at));
            return self.skip_word();
        }
        match node {
            YamlNode::Map(entries) => self.map(entries, path),
            YamlNode::List(nodes) => self.list(nodes, path),
            _ => {
                self.arrive(path, Some(self.at));
                if !self.done {
                    self.scalar(indent);
                }
            }
        }
    }

    /// Ends the search if the path leads here.
    fn arrive(&mut self, path: Option<&[PathStep]>, at: Option<usize>) {
        if path.is_some() {
            self.reached = at.unwrap_or(self.reached);
            self.done = true;
        }
    }

    /// Whether only blanks and a comment are left on the line.
    fn ends_line(&self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default().trim_start();
        line.is_empty() || line.starts_with('#')
    }

    fn map(&mut self, entries: &[(String, YamlNode)], path: Option<&[PathStep]>) {
        let flow = self.peek() == b'{';
        if flow {
            self.at += 1;
            self.flow += 1;
        }
        for (nth, (key, node)) in entries.iter().enumerate() {
            if flow && nth > 0 && !self.take(b',') {
                return self.give_up();
            }
            self.skip_blank();
            let (start, indent) = (self.at, self.column());
            let quote = self.peek();
            let is_quoted = matches!(quote, b'"' | b'\'');
            if is_quoted {
                self.quoted(quote);
            } else if self.rest().starts_with(key.as_str()) {
                self.at += key.len();
            } else {
                return self.give_up();
            }
            let below = path.and_then(|path| match path.split_first() {
                Some((PathStep::Key(wanted), rest)) if wanted == key => Some(rest),
                Some((PathStep::Nth(wanted), rest)) if *wanted == nth => Some(rest),
                _ => None, // The path leads to another entry.
            });
            if let Some(rest) = below {
                self.reached = start;
                if rest.is_empty() {
                    return self.give_up();
                }
            }
            if !self.take(b':') {
                return self.give_up();
            }
            self.walk(node, below, Some(indent));
            if self.done || below.is_some() {
                return self.give_up();
            }
        }
        if flow {
            self.close(b'}');
        }
    }

    fn list(&mut self, nodes: &[YamlNode], path: Option<&[PathStep]>) {
        let flow = self.peek() == b'[';
        if flow {
            self.at += 1;
            self.flow += 1;
        }
        for (nth, node) in nodes.iter().enumerate() {
            self.skip_blank();
            let indent = self.column();
            let opened = match (flow, nth) {
                (true, 0) => true,
                (true, _) => self.take(b','),
                (false, _) => self.take(b'-'),
            };
            if !opened {
                return self.give_up();
            }
            let below = path.and_then(|path| match path.split_first() {
                Some((PathStep::Nth(wanted), rest)) if *wanted == nth => Some(rest),
                _ => None, // The path leads to another element.
            });
            if let Some(rest) = below {
                if !self.ends_line() {
                    self.skip_blank();
                }
                self.reached = self.at;
                if rest.is_empty() {
                    return self.give_up();
                }
            }
            self.walk(node, below, Some(indent));
            if self.done || below.is_some() {
                return self.give_up();
            }
        }
        if flow {
            self.close(b']');
        }
    }

    fn close(&mut self, byte: u8) {
        self.skip_blank();
        if self.peek() == b',' {
            self.at += 1; // A trailing comma.
        }
        self.flow = self.flow.saturating_sub(1);
        if !self.take(byte) {
            self.give_up();
        }
    }

    fn skip_word(&mut self) {
        let rest = self.rest();
        let end = rest.find([' ', '\n', '\r', ',', ']', '}']);
        self.at += end.unwrap_or(rest.len());
    }

    fn scalar(&mut self, indent: Option<usize>) {
        match self.peek() {
            quote @ (b'"' | b'\'') => self.quoted(quote),
            b'|' | b'>' if self.flow == 0 => {
                self.skip_line();
                self.skip_indented(indent);
            }
            _ if self.flow > 0 => {
                // A colon or a comment could end it too; that is rare and not handled.
                let rest = self.rest();
                self.at += rest.find([',', ']', '}']).unwrap_or(rest.len());
            }
            _ => {
                self.skip_line();
                self.skip_indented(indent);
            }
        }
    }

    /// Skips the lines of a scalar whose parent is at column `indent`.
    fn skip_indented(&mut self, indent: Option<usize>) {
        loop {
            let rest = self.rest();
            let line = rest.lines().next().unwrap_or_default();
            let depth = line.len() - line.trim_start_matches(' ').len();
            let belongs = line.trim().is_empty() || indent.is_none_or(|indent| depth > indent);
            if rest.is_empty() || !belongs {
                return;
            }
            self.skip_line();
        }
    }

    fn quoted(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' if quote == b'"' => self.at += 1,
                b'\'' if quote == b'\'' && bytes.get(self.at) == Some(&b'\'') => self.at += 1,
                byte if byte == quote => break,
                _ => {} // Part of the text.
            }
        }
        // An escape may lead past the end of the text, or into a multi-byte character.
        while !self.text.is_char_boundary(self.at.min(self.text.len())) {
            self.at += 1;
        }
        self.at = self.at.min(self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# c\ntitle: 'It''s'\nabout: |\n  sel: x\n  more\nlong: a\n  b\nnone:\n\
        detection:\n    sel:\n        A|contains: # d\n            - one\n            - 'two'\n\
        \n        A|endswith: x\n    kw: [a, \"b, ]\", c]\n    list:\n    - A: 1\n      B: 2\n    \
        - C: {d: 1, 'e': [f, g]}\n    condition: >\n        1 of\n        sel*\nlevel: low\n";

    #[test]
    fn locate_values_by_their_paths() {
        let tree = crate::sigma::yaml::read(TEXT).unwrap();
        for (path, expected) in [
            ("", (2, 1)),
            ("title", (2, 1)),
            ("about", (3, 1)),
            ("none", (8, 1)),
            ("none/0", (8, 1)),
            ("detection/sel/A|contains", (11, 9)),
            ("detection/sel/A|contains/0", (12, 15)),
            ("detection/sel/A|contains/1", (13, 15)),
            ("detection/sel/1", (15, 9)),
            ("detection/sel/1/0", (15, 21)),
            ("detection/kw/1", (16, 13)),
            ("detection/kw/2", (16, 21)),
            ("detection/list/0/B", (19, 7)),
            ("detection/list/1/C/e/1", (20, 26)),
            ("detection/condition", (21, 5)),
            ("level/0", (24, 8)),
            ("nowhere", (2, 1)),
            ("detection/nowhere", (9, 1)),
        ] {
            let path: Vec<PathStep> = path
                .split('/')
                .filter(|step| !step.is_empty())
                .map(|step| match step.parse() {
                    Ok(nth) => PathStep::Nth(nth),
                    Err(_) => PathStep::Key(step.to_owned()),
                })
                .collect();
            assert_eq!(locate(TEXT, &tree, &path), expected, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn locate_never_panics(
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[-\"'\\\\{}\\[\\],:*&!#|ä \n]"), 0..5),
            path in prop::collection::vec(0..4usize, 0..5),
        ) {
            let mut text: Vec<char> = TEXT.chars().collect();
            for (place, with) in edits {
                let at = place.index(text.len());
                text.splice(at..at + 1, with.chars());
            }
            let text: String = text.into_iter().collect();
            let path: Vec<PathStep> = path.into_iter().map(PathStep::Nth).collect();
            let tree = crate::sigma::yaml::read(&text).unwrap_or(crate::sigma::yaml::read(TEXT).unwrap());
            let (line, column) = locate(&text, &tree, &path);
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
