//! Where in a document a value stands: the text is walked along the tree that was read from it.

use crate::yaml::Node;

/// A step from a value of the tree to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The entry of this key.
    Key(String),
    /// The entry or element at this place; of a scalar, the scalar itself.
    Nth(usize),
}

/// Line and column, from 1, of what `path` leads to, or of the last thing on the way that was
/// found: anchors, tags and odd layouts are followed only so far.
pub(crate) fn find(text: &str, tree: &Node, path: &[Step]) -> (u32, u32) {
    let mut walk = Walk {
        text,
        at: 0,
        flow: 0,
        reached: 0,
        done: false,
    };
    walk.skip_blank();
    walk.reached = walk.at;
    if !path.is_empty() {
        walk.walk(tree, Some(path), None);
    }
    place(text, walk.reached)
}

fn place(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = before.bytes().filter(|b| *b == b'\n').count();
    let column = before[start..].chars().count();
    (small(line + 1), small(column + 1))
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
    /// How many flow collections are open.
    flow: usize,
    /// The best known place of what is looked for.
    reached: usize,
    /// The place is found, or the text is laid out in a way that is not followed.
    done: bool,
}

impl Walk<'_> {
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

    /// Takes `byte` after blanks, or gives up.
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

    /// Passes over `node`, which begins here, in search of what `path` leads to; `None`: it leads
    /// elsewhere. `indent` is the column of what the node belongs to.
    fn walk(&mut self, node: &Node, path: Option<&[Step]>, indent: Option<usize>) {
        if self.done {
            return;
        }
        if matches!(node, Node::Null) && self.flow == 0 && self.ends_line() {
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
            Node::Map(entries) => self.map(entries, path),
            Node::List(nodes) => self.list(nodes, path),
            _ => {
                self.arrive(path, Some(self.at));
                if !self.done {
                    self.scalar(indent);
                }
            }
        }
    }

    /// Where the path ends here, the search is over.
    fn arrive(&mut self, path: Option<&[Step]>, at: Option<usize>) {
        if path.is_some() {
            self.reached = at.unwrap_or(self.reached);
            self.done = true;
        }
    }

    /// Whether nothing but blanks and a comment is left on the line.
    fn ends_line(&self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default().trim_start();
        line.is_empty() || line.starts_with('#')
    }

    fn map(&mut self, entries: &[(String, Node)], path: Option<&[Step]>) {
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
                Some((Step::Key(wanted), rest)) if wanted == key => Some(rest),
                Some((Step::Nth(wanted), rest)) if *wanted == nth => Some(rest),
                _ => None, // It leads to another entry.
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

    fn list(&mut self, nodes: &[Node], path: Option<&[Step]>) {
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
                Some((Step::Nth(wanted), rest)) if *wanted == nth => Some(rest),
                _ => None, // It leads to another element.
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
            self.at += 1; // One may stand behind the last.
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
                // A colon or a comment may end it; keys that hold neither are the rule.
                let rest = self.rest();
                self.at += rest.find([',', ']', '}']).unwrap_or(rest.len());
            }
            _ => {
                self.skip_line();
                self.skip_indented(indent);
            }
        }
    }

    /// Skips the lines that belong to a scalar of something at column `indent`.
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
        // An escape may have led past the end, or into a letter of several bytes.
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
    fn values_are_found_where_they_stand() {
        let tree = crate::yaml::read(TEXT).unwrap();
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
            let path: Vec<Step> = path
                .split('/')
                .filter(|step| !step.is_empty())
                .map(|step| match step.parse() {
                    Ok(nth) => Step::Nth(nth),
                    Err(_) => Step::Key(step.to_owned()),
                })
                .collect();
            assert_eq!(find(TEXT, &tree, &path), expected, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_some_place(
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[-\"'\\\\{}\\[\\],:*&!#|ä \n]"), 0..5),
            path in prop::collection::vec(0..4usize, 0..5),
        ) {
            let mut text: Vec<char> = TEXT.chars().collect();
            for (place, with) in edits {
                let at = place.index(text.len());
                text.splice(at..at + 1, with.chars());
            }
            let text: String = text.into_iter().collect();
            let path: Vec<Step> = path.into_iter().map(Step::Nth).collect();
            let tree = crate::yaml::read(&text).unwrap_or(crate::yaml::read(TEXT).unwrap());
            let (line, column) = find(&text, &tree, &path);
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
