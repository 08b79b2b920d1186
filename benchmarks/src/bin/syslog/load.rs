//! The lines that every engine is sent, and the two ways of sending them.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_benchmarks::machine;
use weir_scenario::load::LoadStream;
use weir_schema::{EventTime, Span};

/// Event time of so many lines is one second.
const LINES_PER_SECOND: u64 = 200_000;

/// Lines of one write over TCP: some 100 kB.
const WRITE_LINES: usize = 1_000;

/// Datagrams are sent in steps of so long.
const STEP: Duration = Duration::from_millis(1);

/// What a sender that was held up may send in a step at most, in rates: to make up for a long pause
/// at once would be a burst that nobody asked for.
const CATCH_UP_MAX: u64 = 2;

/// Lines, each ended by LF, made before any clock runs.
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends, behind its LF.
    ends: Vec<usize>,
    /// Alerts that the built-in rules must raise over the first so many writes' lines.
    alerts: Vec<u64>,
}

/// What was sent, and what it took.
pub struct Sent {
    pub lines: u64,
    /// Datagrams that the sender's own kernel would not take.
    pub refused: u64,
    pub began: Instant,
    pub took: Duration,
    pub cpu_seconds: f64,
}

impl Lines {
    /// So many lines, whose times begin at `start`.
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

    /// Alerts over the first `lines`, which are whole writes.
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

    /// Sends the first `count` lines over one connection, as fast as they are taken.
    pub fn over_tcp(&self, to: SocketAddr, count: usize) -> Result<Sent> {
        let mut socket = TcpStream::connect(to).context("could not connect over TCP")?;
        let (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
        let mut begin = 0;
        for lines in self.ends[..count.min(self.ends.len())].chunks(WRITE_LINES) {
            let end = lines.last().copied().unwrap_or(begin);
            let written = socket.write_all(&self.bytes[begin..end]);
            written.context("the connection was closed")?;
            begin = end;
        }
        Ok(Sent {
            lines: count.min(self.ends.len()) as u64,
            refused: 0,
            began,
            took: began.elapsed(),
            cpu_seconds: machine::thread_cpu_seconds() - cpu,
        })
    }

    /// Sends a line a datagram, `rate` a second for so long.
    pub fn over_udp(&self, to: SocketAddr, rate: u64, length: Duration) -> Result<Sent> {
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
                        return Err(error).context("nobody listens over UDP");
                    }
                    Err(_) => refused += 1,
                }
            }
            next = until;
            std::thread::sleep(STEP.saturating_sub(step.elapsed()));
        }
        Ok(Sent {
            lines: next as u64 - refused,
            refused,
            began,
            took: began.elapsed(),
            cpu_seconds: machine::thread_cpu_seconds() - cpu,
        })
    }
}
