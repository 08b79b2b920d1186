//! The network connection that timely uses, and the report of a lost process.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use timely::communication::allocator::zero_copy::stream::Stream;

use crate::status::Status;

/// Reports that another process is lost, which fails the graph.
#[derive(Clone)]
pub struct LossReporter(pub Arc<Status>);

impl LossReporter {
    pub fn report(&self, process: usize, why: &dyn std::fmt::Display) {
        self.0.report_loss(format!(
            "process {process} of the cluster is gone ({why}); this one cannot go on without it"
        ));
    }
}

/// A connection to another process, for timely, which would panic if it broke.
///
/// Once it is lost, writes succeed and reads never return: its threads park until the process ends.
pub struct TimelyLink {
    stream: TcpStream,
    peer: usize,
    loss: LossReporter,
}

impl TimelyLink {
    pub const fn new(stream: TcpStream, peer: usize, loss: LossReporter) -> Self {
        Self { stream, peer, loss }
    }
}

impl Read for TimelyLink {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) if !buffer.is_empty() => self.loss.report(self.peer, &"it closed"),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.loss.report(self.peer, &error),
            }
            // Timely panics at an unexpected end.
            loop {
                std::thread::park();
            }
        }
    }
}

impl Write for TimelyLink {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                self.loss.report(self.peer, &error);
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Stream for TimelyLink {
    fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            peer: self.peer,
            loss: self.loss.clone(),
        })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        // It may be closed already.
        let _ = self.stream.shutdown(how);
        Ok(())
    }
}
