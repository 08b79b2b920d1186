//! The output of one activation of the decoder, by stream.

use std::collections::BTreeSet;

use weir_schema::{Epoch, Fact, GroupLink, Level, PlanId, RuleVersion};

use crate::clock::Observation;
use crate::correlate::Directive;
use crate::note::Note;
use crate::sources::SourceNote;

/// A row of the collection of rules: a version of a plan, the epoch of the plan, and its level.
pub type RuleRow = ((PlanId, Epoch, RuleVersion), Level);

/// The items for each output stream.
#[derive(Default)]
pub struct DecodeOutput {
    pub facts: Vec<Fact>,
    pub chain_facts: Vec<(u8, Fact)>,
    pub links: BTreeSet<Vec<GroupLink>>,
    pub observations: Vec<Observation>,
    pub sources: Vec<SourceNote>,
    pub directives: Vec<Directive>,
    pub rules: Vec<(RuleRow, isize)>,
    pub notes: Vec<Note>,
}

impl DecodeOutput {
    pub fn append(&mut self, mut other: Self) {
        self.facts.append(&mut other.facts);
        self.chain_facts.append(&mut other.chain_facts);
        self.links.append(&mut other.links);
        self.observations.append(&mut other.observations);
        self.sources.append(&mut other.sources);
        self.directives.append(&mut other.directives);
        self.rules.append(&mut other.rules);
        self.notes.append(&mut other.notes);
    }
}
