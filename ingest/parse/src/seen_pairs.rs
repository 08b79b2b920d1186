//! `SeenPairs`: finds identities that a message of pairs states twice.

use weir_schema::Problem;

use crate::draft::Draft;
use crate::observables;

/// Names whose value may become the event's host.
const HOSTS: [&str; 6] = ["dvchost", "devname", "device_name", "shost", "dhost", "dvc"];

/// The pairs of one message that name a user, a host or an address.
///
/// Where a product does not escape a value, whoever chooses it may write `src=192.0.2.66` into it. Which
/// of two is the product's own cannot be told, so the field is left out, and the event has the problem
/// `unparsed`. The message keeps both.
#[derive(Default)]
pub(crate) struct SeenPairs<'a>(Vec<(&'a str, String)>);

impl<'a> SeenPairs<'a> {
    /// Records a pair, and returns whether the field may be added.
    pub fn insert(&mut self, name: &'a str, value: &str, draft: &mut Draft<'a>) -> bool {
        if !observables::is_identity(name) && !HOSTS.contains(&name) {
            return true;
        }
        let Some((_, first)) = self.0.iter().find(|(seen, _)| *seen == name) else {
            self.0.push((name, value.to_owned()));
            return true;
        };
        if first != value {
            draft.add_problem(Problem::Unparsed);
            // A field of the header under this name is not of the pairs.
            if draft.get(name).and_then(|field| field.as_text()).as_deref() == Some(first.as_str())
            {
                draft.remove(name);
            }
        }
        false
    }
}
