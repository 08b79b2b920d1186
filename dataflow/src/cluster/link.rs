//! A connection of timely's that ends the process in order where timely would panic.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use timely::communication::allocator::zero_copy::stream::Stream;

use crate::status::Status;

/// Says that a process is lost: the graph has failed, and whoever runs it is told why.
#[derive(Clone)]
pub struct Loss(pub Arc<Status>);

impl Loss {
    pub fn tell(&self, process: usize, why: &dyn std::fmt::Display) {
        self.0.lose(format!(
            "process {process} of the cluster is gone ({why}); this one cannot go on without it"
        ));
    }
}

/// A connection to another process, for timely. Once it is lost it takes what is written, and
/// never gives anything: the threads behind it hang until the process ends.
pub struct Link {
    stream: TcpStream,
    peer: usize,
    loss: Loss,
}

impl Link {
    pub const fn new(stream: TcpStream, peer: usize, loss: Loss) -> Self {
        Self { stream, peer, loss }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) if !buffer.is_empty() => self.loss.tell(self.peer, &"it closed"),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.loss.tell(self.peer, &error),
            }
            // Timely panics on an end that it does not expect.
            loop {
                std::thread::park();
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                self.loss.tell(self.peer, &error);
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Stream for Link {
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
