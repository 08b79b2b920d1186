//! The lines for every engine, and how they are sent over TCP and UDP.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_benchmarks::machine;
use weir_scenario::load::LoadStream;
use weir_schema::{EventTime, Span};

/// Lines per second of event time.
const LINES_PER_SECOND: u64 = 200_000;

/// Lines per write over TCP: some 100 kB.
const WRITE_LINES: usize = 1_000;

/// Length of a step in which datagrams are sent.
const STEP: Duration = Duration::from_millis(1);

/// How many times its rate a delayed sender may send in a step. Without a limit it would send a
/// burst after a long pause.
const CATCH_UP_MAX: u64 = 2;

/// Lines with a final LF, generated before the measurement.
pub struct LoadLines {
    bytes: Vec<u8>,
    /// End of each line, behind its LF.
    ends: Vec<usize>,
    /// Alerts that the built-in rules must raise, by number of writes.
    alerts: Vec<u64>,
}

/// Result of sending.
pub struct SentLoad {
    pub lines: u64,
    /// Datagrams that the kernel of the sender refused.
    pub refused: u64,
    pub began: Instant,
    pub took: Duration,
    pub cpu_seconds: f64,
}

impl LoadLines {
    /// Generates `count` lines whose times start at `start`.
    pub fn new(seed: u64, start: EventTime, count: usize) -> Self {
        let mut stream = LoadStream::new(seed, start);
        let (mut bytes, mut completed, mut alerts) = (Vec::new(), Vec::new(), vec![0]);
        while stream.lines() < count as u64 {
            let nanoseconds = stream.lines() * (Span::SECOND.0.unsigned_abs() / LINES_PER_SECOND);
            let time = start.plus(Span(i64::try_from(nanoseconds).unwrap_or(i64::MAX)));
            stream.chunk(time, WRITE_LINES as u64, &mut bytes, &mut completed);
            completed.clear();
            alerts.push(stream.alerts());
        }
        let ends = bytes.iter().enumerate();
        let ends = ends
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            ends: ends.collect(),
            bytes,
            alerts,
        }
    }

    /// Expected alerts over the first `lines` lines, which are whole writes.
    pub fn alerts(&self, lines: usize) -> u64 {
        let writes = lines.div_ceil(WRITE_LINES);
        self.alerts.get(writes).copied().unwrap_or(0)
    }

    fn line(&self, index: usize) -> &[u8] {
        let begin = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.bytes[begin..self.ends[index] - 1]
    }

    /// Sends the first `count` lines over one connection, as fast as the engine accepts them.
    pub fn over_tcp(&self, to: SocketAddr, count: usize) -> Result<SentLoad> {
        let mut socket = TcpStream::connect(to).context("could not connect over TCP")?;
        let (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
        let mut begin = 0;
        for lines in self.ends[..count.min(self.ends.len())].chunks(WRITE_LINES) {
            let end = lines.last().copied().unwrap_or(begin);
            let written = socket.write_all(&self.bytes[begin..end]);
            written.context("the connection was closed")?;
            begin = end;
        }
        Ok(SentLoad {
            lines: count.min(self.ends.len()) as u64,
            refused: 0,
            began,
            took: began.elapsed(),
            cpu_seconds: machine::thread_cpu_seconds() - cpu,
        })
    }

    /// Sends each line as a datagram, `rate` a second for `length`.
    pub fn over_udp(&self, to: SocketAddr, rate: u64, length: Duration) -> Result<SentLoad> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        let (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
        let wanted = (length.as_secs_f64() * rate as f64) as usize;
        let most =
            usize::try_from(CATCH_UP_MAX * rate * STEP.as_micros() as u64 / 1_000_000)?.max(1);
        let (mut next, mut refused) = (0_usize, 0);
        while next < wanted.min(self.ends.len()) {
            let step = Instant::now();
            let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
            let until = due.min(next + most).min(wanted).min(self.ends.len());
            for index in next..until {
                match socket.send(self.line(index)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        return Err(error).context("the engine does not listen on UDP");
                    }
                    Err(_) => refused += 1,
                }
            }
            next = until;
            std::thread::sleep(STEP.saturating_sub(step.elapsed()));
        }
        Ok(SentLoad {
            lines: next as u64 - refused,
            refused,
            began,
            took: began.elapsed(),
            cpu_seconds: machine::thread_cpu_seconds() - cpu,
        })
    }
}
