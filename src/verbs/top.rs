//! `weir top`: shows the rates of sources, stages and rules of a running server.
//!
//! It reads `/metrics`, so it costs the server as much as Prometheus does, and the sources whose events
//! no reader knows.

pub(crate) mod unread;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::console;
use crate::text::printable;
use crate::verbs::client::{ApiClient, ServerAccessArgs};
use crate::verbs::overrides::ServerDefaults;
use crate::verbs::scrape::{Sample, Scrape};

/// Most rows of a table; further ones are counted.
const ROWS_MAX: usize = 15;

/// Show sources, stages and rules of a running server, with rates.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Show them once, as plain text; the default if standard output is not a terminal.
    #[arg(long)]
    once: bool,
    /// Seconds between two updates.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    server: ServerAccessArgs,
}

/// Shows the page, and updates it until a signal ends the process.
pub fn top(args: &TopArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let client = args.server.client(defaults)?;
    let once = args.once || !std::io::stdout().is_terminal();
    let interval = Duration::from_secs(args.interval);
    let mut before = scrape(&client)?;
    loop {
        std::thread::sleep(interval);
        let now = scrape(&client)?;
        let page = RatePage {
            before: &before.metrics,
            now: &now.metrics,
            seconds: now.at.duration_since(before.at).as_secs_f64().max(0.001),
            clock: clock(),
            unread: unread::read(&client),
        };
        let text = page.text();
        match once {
            true => console::out(&text),
            false => console::show_page(&text),
        }
        if once || console::is_out_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

/// Metrics, with the time at which they were read.
struct TimedScrape {
    at: Instant,
    metrics: Scrape,
}

fn scrape(client: &ApiClient) -> Result<TimedScrape> {
    let answer = client.get("/metrics")?;
    match answer.status {
        200 => Ok(TimedScrape {
            at: Instant::now(),
            metrics: Scrape::parse(&String::from_utf8_lossy(&answer.body)),
        }),
        status => bail!("the server answered {status}"),
    }
}

/// Seconds since 1970.
fn clock() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// A page computed from two scrapes.
struct RatePage<'s> {
    before: &'s Scrape,
    now: &'s Scrape,
    /// Time between the two scrapes.
    seconds: f64,
    /// Seconds since 1970.
    clock: f64,
    /// The sources with unread events, as the API lists them.
    unread: Value,
}

impl RatePage<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        self.summary(&mut text);
        self.sources(&mut text);
        unread::write(&self.unread, &mut text);
        self.stages(&mut text);
        self.rules(&mut text);
        text
    }

    /// Growth of a counter per second, summed over its rows.
    fn rate(&self, name: &str) -> f64 {
        (self.now.sum(name) - self.before.sum(name)).max(0.0) / self.seconds
    }

    fn summary(&self, text: &mut String) {
        let behind = self.clock - self.now.sum("weir_watermark_seconds");
        let behind = match self.now.sum("weir_watermark_seconds") > 0.0 {
            true => span(behind),
            false => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "weir: {}/s in, {}/s journaled, {}/s decoded; {} wait; watermark {behind} behind; \
             {} sources in trouble; epoch {}",
            number(self.rate("weir_source_received_total")),
            number(self.rate("weir_source_journaled_total")),
            number(self.rate("weir_events_decoded_total")),
            number(self.waiting()),
            self.now.sum("weir_sources_alerting"),
            self.now.sum("weir_epoch"),
        );
    }

    /// Number of events that are durable but not decoded.
    fn waiting(&self) -> f64 {
        let decoded = self.now.sum("weir_source_decoded_total")
            + self.now.sum("weir_source_problem_events_total");
        (self.now.sum("weir_source_journaled_total") - decoded).max(0.0)
    }

    fn sources(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:<44} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9}",
            "SOURCE", "EVENTS/S", "EVENTS", "REFUSED", "PROBLEMS", "UNREAD", "HEARD"
        );
        let metric = "weir_source_received_total";
        let mut rows: Vec<(f64, &Sample)> = Vec::new();
        for sample in self.now.samples(metric) {
            let labels = source(sample);
            let grown = sample.value - self.before.sum_with(metric, &labels);
            rows.push((grown.max(0.0) / self.seconds, sample));
        }
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.value.total_cmp(&a.1.value)));
        rows.retain(|(_, sample)| sample.value > 0.0 || sample.label("source") != "other");
        for (rate, sample) in rows.iter().take(ROWS_MAX) {
            let labels = source(sample);
            let received = self.now.sum_with("weir_source_heard_seconds", &labels);
            let ago = match received > 0.0 {
                true => span(self.clock - received),
                false => "never".to_owned(),
            };
            let name = format!("{} {}", sample.label("tenant"), sample.label("source"));
            let _ = writeln!(
                text,
                "{:<44} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9}",
                fitted(&name, 44),
                number(*rate),
                number(sample.value),
                number(self.now.sum_with("weir_source_refused_total", &labels)),
                number(
                    self.now
                        .sum_with("weir_source_problem_events_total", &labels)
                ),
                number(self.now.sum_with("weir_source_unread_total", &labels)),
                ago,
            );
        }
        count_hidden(text, rows.len());
    }

    fn stages(&self, text: &mut String) {
        let _ = writeln!(text, "\n{:<44} {:>9} {:>12}", "STAGE", "A SECOND", "ALL");
        for (stage, metric) in [
            ("received", "weir_events_received_total"),
            ("lost", "weir_events_dropped_total"),
            ("journaled", "weir_events_journaled_total"),
            ("decoded", "weir_events_decoded_total"),
            ("rules matched", "weir_rule_matches_total"),
            ("correlated", "weir_facts_total"),
            ("late, corrected", "weir_facts_late_total"),
            ("too late", "weir_facts_not_re_evaluated_total"),
            ("changes of alerts", "weir_alerts_total"),
        ] {
            let (rate, all) = (self.rate(metric), self.now.sum(metric));
            let _ = writeln!(text, "{stage:<44} {:>9} {:>12}", number(rate), number(all));
        }
    }

    fn rules(&self, text: &mut String) {
        let metric = "weir_rule_changes_total";
        let mut rules: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for sample in self.now.samples(metric) {
            let rule = sample.label("rule");
            let grown = sample.value - self.before.sum_with(metric, &[("rule", rule)]);
            rules.insert(rule, (grown.max(0.0) / self.seconds, sample.value));
        }
        for sample in self.now.samples("weir_rule_seconds_total") {
            rules.entry(sample.label("rule")).or_default();
        }
        let mut rows: Vec<RuleRow<'_>> = rules
            .into_iter()
            .map(|(rule, (rate, all))| RuleRow {
                rule,
                share: self.share(rule),
                rate,
                all,
                is_suspended: self.now.sum_with("weir_rule_suspended", &[("rule", rule)]) > 0.0,
            })
            .collect();
        rows.retain(|row| row.rule != "other" || row.all > 0.0 || row.share > 0.0);
        rows.sort_by(|a, b| {
            let by_share = b.share.total_cmp(&a.share);
            let by_changes = b.rate.total_cmp(&a.rate).then(b.all.total_cmp(&a.all));
            let by_state = b.is_suspended.cmp(&a.is_suspended);
            by_state.then(by_share).then(by_changes)
        });
        let _ = writeln!(
            text,
            "\n{:<44} {:>9} {:>9} {:>12}",
            "RULE", "SHARE", "CHANGES/S", "CHANGES"
        );
        for row in rows.iter().take(ROWS_MAX) {
            let share = match row.is_suspended {
                true => "suspended".to_owned(),
                false => format!("{:.1}%", row.share * 100.0),
            };
            let (rule, rate, all) = (fitted(row.rule, 44), number(row.rate), number(row.all));
            let _ = writeln!(text, "{rule:<44} {share:>9} {rate:>9} {all:>12}");
        }
        count_hidden(text, rows.len());
    }

    /// The share of a rule of the workers' time between the two scrapes.
    fn share(&self, rule: &str) -> f64 {
        let (metric, labels) = ("weir_rule_seconds_total", [("rule", rule)]);
        let spent = self.now.sum_with(metric, &labels) - self.before.sum_with(metric, &labels);
        let workers = self.now.sum("weir_graph_workers").max(1.0);
        spent.max(0.0) / self.seconds / workers
    }
}

/// A row of the table of rules.
struct RuleRow<'s> {
    rule: &'s str,
    share: f64,
    /// Changes of alerts a second.
    rate: f64,
    /// Changes of alerts.
    all: f64,
    is_suspended: bool,
}

fn source(sample: &Sample) -> [(&str, &str); 2] {
    [
        ("tenant", sample.label("tenant")),
        ("source", sample.label("source")),
    ]
}

fn count_hidden(text: &mut String, rows: usize) {
    if rows > ROWS_MAX {
        let _ = writeln!(text, "... and {} more", rows - ROWS_MAX);
    }
}

/// A name cut to the width of its column, without control characters.
fn fitted(name: &str, width: usize) -> String {
    let name = printable(name.trim());
    match name.chars().count() > width {
        true => name.chars().take(width - 1).chain(['…']).collect(),
        false => name,
    }
}

fn number(value: f64) -> String {
    // A sum of no rows is -0.0; adding 0.0 makes it 0.0.
    match value + 0.0 {
        value if value >= 1e9 => format!("{:.2}G", value / 1e9),
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e5 => format!("{:.0}k", value / 1e3),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 90.0 => format!("{s:.0}s"),
        s if s < 5_400.0 => format!("{:.0}m", s / 60.0),
        s if s < 129_600.0 => format!("{:.0}h", s / 3_600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_growth_between_two_scrapes() {
        let scrape = |first: u32, second: u32| {
            Scrape::parse(&format!(
                "weir_source_received_total{{tenant=\"t\",source=\"slow\"}} {first}\n\
                 weir_source_received_total{{tenant=\"t\",source=\"fast\"}} {second}\n\
                 weir_source_heard_seconds{{tenant=\"t\",source=\"slow\"}} 900\n\
                 weir_source_refused_total{{tenant=\"t\",source=\"slow\",reason=\"gap\"}} 3\n\
                 weir_rule_changes_total{{rule=\"r1\"}} {first}\n\
                 weir_graph_workers 2\n\
                 weir_rule_seconds_total{{rule=\"r1\"}} {first}\n\
                 weir_rule_suspended{{rule=\"r2\"}} 1\n\
                 weir_rule_seconds_total{{rule=\"r2\"}} 3\n\
                 weir_rule_changes_total{{rule=\"other\"}} 0\n"
            ))
        };
        let (before, now) = (scrape(10, 10), scrape(12, 1_010));
        let page = RatePage {
            before: &before,
            now: &now,
            seconds: 2.0,
            clock: 1_000.0,
            unread: Value::Null,
        };
        let text = page.text();
        let line = |begin: &str| {
            let line = text.lines().find(|line| line.starts_with(begin));
            let line = line.unwrap_or_else(|| panic!("no {begin}: {text}"));
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(line("t f")[2..4], ["500", "1010"]);
        assert_eq!(line("t slow")[2..], ["1", "12", "3", "0", "0", "2m"]);
        assert_eq!(line("r1")[1..], ["50.0%", "1", "12"]);
        assert_eq!(line("r2")[1..], ["suspended", "0", "0"]);
        assert!(
            text.find("t f") < text.find("t slow"),
            "the busiest first: {text}"
        );
        assert!(!text.contains("other"), "{text}");
    }
}
