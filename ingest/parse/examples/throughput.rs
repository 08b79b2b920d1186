//! Measures the lines per second that one core decodes, by format: `cargo run --release -p weir-parse
//! --example throughput`.

use std::time::Instant;

use weir_parse::{Context, Zone, decode};
use weir_schema::{Format, ReceiveTime, Span};

const LINES: usize = 1_000;
const ROUNDS: usize = 1_000;

/// Makes [`LINES`] lines from their numbers.
fn lines(make: impl Fn(usize) -> String) -> Vec<Vec<u8>> {
    (0..LINES).map(|n| make(n).into_bytes()).collect()
}

fn line_sets() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let at = |n: usize| format!("{:02}:{:02}:{:02}", n % 24, n % 60, (n * 7) % 60);
    vec![
        (
            "rfc3164 plain",
            lines(|n| {
                format!(
                    "<30>Sep 21 {} web{:02} myapp[{n}]: served request {n} in 12 ms",
                    at(n),
                    n % 50
                )
            }),
        ),
        (
            "rfc3164 sshd",
            lines(|n| {
                let (time, host, user, net) = (at(n), n % 50, n % 100, n % 250);
                format!(
                    "<38>Sep 21 {time} web{host:02} sshd[{n}]: Failed password for user{user} \
                 from 198.51.100.{net} port {} ssh2",
                    20_000 + n
                )
            }),
        ),
        (
            "rfc5424",
            lines(|n| {
                format!(
                    "<30>1 2026-09-21T{}.123456Z web{:02} myapp {n} ID1 - request {n}",
                    at(n),
                    n % 50
                )
            }),
        ),
        (
            "kernel firewall",
            lines(|n| {
                format!(
                    "<4>Sep 21 {} gw kernel: [12345.678901] [UFW BLOCK] IN=eth0 OUT= \
                 MAC=00:11:22:33:44:55 SRC=198.51.100.{} DST=192.0.2.10 LEN=60 TOS=0x00 TTL=52 \
                 ID={n} DF PROTO=TCP SPT=40000 DPT=22 WINDOW=29200 SYN URGP=0",
                    at(n),
                    n % 250
                )
            }),
        ),
        (
            "json",
            lines(|n| {
                format!(
                    "{{\"time\":\"2026-09-21T{}Z\",\"host\":\"web{}\",\"process\":{{\"pid\":{n},\
                 \"name\":\"bash\"}},\"user\":\"user{}\",\"ok\":true,\"ms\":1.25}}",
                    at(n),
                    n % 50,
                    n % 100
                )
            }),
        ),
    ]
}

fn main() {
    let context = Context {
        format: Format::Auto,
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    };
    for (name, set) in &line_sets() {
        let start = Instant::now();
        let mut fields = 0;
        for _ in 0..ROUNDS {
            for line in set {
                fields += std::hint::black_box(decode(line, &context)).fields.len();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let count = LINES * ROUNDS;
        println!(
            "{name:16} {:>10.0} lines/s  {:>6.0} ns/line  {:.1} fields/line",
            count as f64 / seconds,
            seconds * 1e9 / count as f64,
            fields as f64 / count as f64
        );
    }
}
