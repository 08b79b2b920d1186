//! The answers of one field: which atoms a value passes, remembered by value.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use weir_schema::Value;

use crate::engine::field::{FieldMatcher, FieldScratch, LINES_BYTES_MIN};
use crate::engine::hits::Atom;
use crate::engine::lines::LineMemo;
use crate::engine::memo::{Memo, MemoLimits, MemoLookup};

/// Longer values are remembered line by line.
const LIMITS: MemoLimits = MemoLimits {
    value_bytes: LINES_BYTES_MIN,
    arena_bytes: 1 << 20,
};

/// Maximum number of distinct answers of a field. Beyond it, or beyond the bytes below, answers
/// and memo are cleared.
const ANSWERS_MAX: usize = 65_536;

/// Maximum size of the answers. One long text may pass thousands of atoms.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// The answer for one value.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueAnswer {
    /// The atoms that the value passes, in order.
    pub atoms: Box<[Atom]>,
    /// The rules that can match only if one of these atoms passes.
    pub rules: Box<[u32]>,
}

impl ValueAnswer {
    /// The bytes that it takes, with its copy as a key.
    fn bytes(&self) -> usize {
        let lists = 2 * size_of_val(&*self.atoms) + size_of_val(&*self.rules);
        2 * size_of::<Self>() + lists
    }
}

/// The tests of one field, with a memo of their answers.
#[derive(Debug)]
pub(crate) struct FieldAnswers {
    matcher: FieldMatcher,
    memo: Memo,
    lines: LineMemo,
    answers: Vec<ValueAnswer>,
    answer_bytes: usize,
    /// Index into `answers`.
    index: HashMap<Box<[Atom]>, u32, FixedState>,
    found: Vec<Atom>,
}

impl FieldAnswers {
    pub(crate) fn new(matcher: FieldMatcher) -> Self {
        Self {
            matcher,
            memo: Memo::new(LIMITS),
            lines: LineMemo::default(),
            answers: Vec::new(),
            answer_bytes: 0,
            index: HashMap::default(),
            found: Vec::new(),
        }
    }

    /// Calls `add` with the answer for the value, or for each element of a list.
    ///
    /// `triggers` holds, for each atom, the rules that need it.
    pub(crate) fn answer(
        &mut self,
        value: &Value<'_>,
        triggers: &[Vec<u32>],
        scratch: &mut FieldScratch,
        add: &mut impl FnMut(&ValueAnswer),
    ) {
        match value {
            Value::Null => {}
            // The reader of events limits the depth of lists.
            Value::List(values) => values
                .iter()
                .for_each(|value| self.answer(value, triggers, scratch, add)),
            Value::Text(text) if self.matcher.excludes_length_of(text) => {}
            single => {
                let at = self.answer_index(single, triggers, scratch);
                if let Some(answer) = self.answers.get(at as usize) {
                    add(answer);
                }
            }
        }
    }

    fn answer_index(
        &mut self,
        value: &Value<'_>,
        triggers: &[Vec<u32>],
        scratch: &mut FieldScratch,
    ) -> u32 {
        let mut number = [0; 9];
        let key: Option<&[u8]> = match value {
            // A text that looks like the key of a number is not remembered.
            Value::Text(text) => Some(text.as_bytes()).filter(|text| text.first() != Some(&0)),
            Value::Int(n) => {
                number[1..].copy_from_slice(&n.to_le_bytes());
                Some(&number)
            }
            Value::Number(_) | Value::Bool(_) | Value::Null | Value::List(_) => None,
        };
        let lookup = key.map_or(MemoLookup::Uncached, |key| self.memo.get(key));
        if let MemoLookup::Known(at) = lookup {
            return at;
        }
        let mut found = std::mem::take(&mut self.found);
        self.matcher
            .find(value, scratch, &mut self.lines, &mut found);
        let mut at = self.intern(&found, triggers);
        if let (MemoLookup::Unknown(hash), Some(key)) = (lookup, key)
            && !self.memo.insert(hash, key, at)
        {
            self.clear();
            at = self.intern(&found, triggers);
        }
        self.found = found;
        at
    }

    /// The index of the answer with these atoms; adds it if it is new.
    fn intern(&mut self, atoms: &[Atom], triggers: &[Vec<u32>]) -> u32 {
        if let Some(at) = self.index.get(atoms) {
            return *at;
        }
        let rules = atoms.iter().filter_map(|atom| triggers.get(*atom as usize));
        let mut rules: Vec<u32> = rules.flatten().copied().collect();
        rules.sort_unstable();
        rules.dedup();
        let answer = ValueAnswer {
            atoms: atoms.into(),
            rules: rules.into(),
        };
        let is_full = self.answer_bytes + answer.bytes() > ANSWER_BYTES_MAX;
        if is_full || self.answers.len() >= ANSWERS_MAX {
            self.clear();
        }
        let at = self.answers.len() as u32; // At most ANSWERS_MAX.
        self.answer_bytes += answer.bytes();
        self.answers.push(answer);
        self.index.insert(atoms.into(), at);
        at
    }

    pub(crate) fn clear(&mut self) {
        self.memo.clear();
        self.lines.clear();
        self.answers.clear();
        self.answer_bytes = 0;
        self.index.clear();
    }

    pub(crate) fn memo_bytes(&self) -> usize {
        self.memo.bytes() + self.lines.bytes() + self.answer_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::engine::field::FieldBuilder;
    use crate::sigma::pattern::{Pattern, PatternToken};
    use crate::sigma::value_test::ValueTest;

    /// A sender of texts that all pass different atoms cannot fill the memory with answers.
    #[test]
    fn answers_of_long_texts_are_bounded() {
        let needle = |n: u32| format!("<{n:03}>");
        let mut builder = FieldBuilder::default();
        for n in 0..1_000 {
            let tokens = vec![
                PatternToken::Star,
                PatternToken::Literal(needle(n)),
                PatternToken::Star,
            ];
            builder.add(&ValueTest::Text(Pattern::new(tokens, false)), n);
        }
        let mut answers = FieldAnswers::new(builder.build());
        let triggers: Vec<Vec<u32>> = (0..1_000).map(|n| vec![n]).collect();
        for between in [" ", "\n"] {
            for left_out in 0..1_000u32 {
                let needles = (0..1_000u32).filter(|n| n.abs_diff(left_out) > 10);
                let text = needles.map(needle).collect::<Vec<_>>().join(between);
                let (text, mut atoms) = (Value::Text(Cow::Owned(text)), 0);
                answers.answer(
                    &text,
                    &triggers,
                    &mut FieldScratch::default(),
                    &mut |answer| atoms = answer.atoms.len(),
                );
                assert!((979..990).contains(&atoms), "{atoms} without {left_out}");
                let bytes = answers.memo_bytes();
                assert!(bytes < 8 << 20, "{bytes}");
            }
        }
    }
}
