//! Plans a scenario: the intrusion, the near misses and the background of one company.

use weir_schema::{EventTime, Span};

use crate::company::{BACKGROUND_LINES, Company, LENGTH_SECONDS};
use crate::scenario::Scenario;
use crate::script::Script;
use crate::{background, intrusion, near_misses};

impl Company {
    /// Plans twenty minutes from `start`, truncated to the whole second as in RFC 3164.
    ///
    /// To play a scenario at `pace` times the speed of event time, let it start `LENGTH_SECONDS`
    /// before the present. Then no event lies in the future.
    #[must_use]
    pub fn plan(&self, start: EventTime) -> Scenario {
        self.plan_with(start, BACKGROUND_LINES)
    }

    /// Plans as [`Company::plan`], with `background_lines` lines of background.
    #[must_use]
    pub fn plan_with(&self, start: EventTime, background_lines: usize) -> Scenario {
        let second = Span::SECOND.0;
        let start = EventTime(start.0.div_euclid(second).saturating_mul(second));
        let mut script = Script::new(self, start);
        intrusion::write(&mut script);
        near_misses::write(&mut script);
        background::write(&mut script, background_lines);
        script.finish(Span::seconds(LENGTH_SECONDS))
    }
}
