//! The source for syslog over UDP. One datagram is one frame; overload is dropped and counted.

mod kernel;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use actix_rt::ArbiterHandle;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use weir_schema::{Batch, Frames, Transport};

use crate::drop_reason::DropReason;
use crate::framing::FRAME_BYTES_MAX;
use crate::intake::Intake;
use crate::journal::{ReceiveClock, SubmitError};
use crate::listener::{SourceHandle, StopSignal, wait_for_stop};
use crate::metrics::IngestMetrics;
use crate::sources::SourceTable;
use crate::tcp::BATCH_FRAMES_MAX;
use kernel::KernelDrops;

/// Most datagrams read before timers and the stop signal are checked.
const BURST_DATAGRAMS: usize = 256;

/// Most datagrams read while stopping, because a sender may never pause.
const DRAIN_DATAGRAMS_MAX: usize = 65_536;

/// Most bytes buffered before a flush, regardless of the delay.
const BUFFERED_BYTES_MAX: usize = 1 << 20;

/// Interval between reads of the kernel's drop counter.
const KERNEL_POLL_PERIOD: Duration = Duration::from_secs(1);

/// Limits of a UDP source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Longest frame; longer datagrams are truncated. No datagram is longer than 64 KiB.
    pub frame_bytes_max: usize,
    /// Longest time that datagrams are buffered, unless a batch is full earlier.
    pub flush_delay: Duration,
    /// Receive buffer requested from the kernel, which may grant less. It bridges pauses of the reader;
    /// the default covers 0.2 s of 200,000 short datagrams a second.
    pub receive_buffer_bytes: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            flush_delay: Duration::from_millis(5),
            receive_buffer_bytes: 16 << 20,
        }
    }
}

/// Source of syslog over UDP.
pub struct UdpSource {
    /// `None` after the start.
    receiver: Option<(UdpSocket, Receiver)>,
    stop_signal: StopSignal,
    _running: OwnedSemaphorePermit,
}

impl UdpSource {
    /// Starts to receive datagrams of `socket`, on the thread of `arbiter`.
    pub fn start(
        arbiter: &ArbiterHandle,
        socket: std::net::UdpSocket,
        options: UdpOptions,
        intake: Intake,
        sources: Arc<SourceTable>,
        clock: Arc<dyn ReceiveClock>,
        metrics: IngestMetrics,
    ) -> io::Result<SourceHandle> {
        socket.set_nonblocking(true)?;
        let local_address = socket.local_addr()?;
        enlarge_receive_buffer(&socket, options.receive_buffer_bytes);
        let kernel_drops =
            KernelDrops::for_socket(&socket, metrics.udp_kernel_dropped()).map(Arc::new);
        if kernel_drops.is_none() {
            tracing::info!("the kernel does not report dropped UDP datagrams");
        }
        let (stop, stop_signal) = watch::channel(false);
        let tasks = Arc::new(Semaphore::new(1));
        let running = Arc::clone(&tasks).try_acquire_owned();
        let running = running.map_err(io::Error::other)?;
        let started = arbiter.spawn_fn(move || {
            // `from_std` fails only where no reactor runs; an arbiter has one.
            let socket = match UdpSocket::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => return tracing::error!(%error, "cannot listen"),
            };
            let source = Self {
                receiver: Some((
                    socket,
                    Receiver {
                        options,
                        intake,
                        sources,
                        clock,
                        metrics,
                        buffered: HashMap::new(),
                        buffered_frames: 0,
                        buffered_bytes: 0,
                        flush_at: None,
                        kernel_drops,
                    },
                )),
                stop_signal,
                _running: running,
            };
            source.start_here();
        });
        if !started {
            return Err(io::Error::other("the receiver's thread has ended"));
        }
        Ok(SourceHandle {
            local_address,
            stop,
            tasks,
            tasks_max: 1,
        })
    }

    fn start_here(self) {
        Actor::start(self);
    }
}

/// Requests a receive buffer: beyond the system limit if the process is privileged, else up to it.
fn enlarge_receive_buffer(socket: &std::net::UdpSocket, bytes: usize) {
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_ok() {
        return;
    }
    let reference = socket2::SockRef::from(socket);
    if let Err(error) = reference.set_recv_buffer_size(bytes) {
        tracing::warn!(%error, "cannot enlarge the receive buffer; bursts may be lost");
    }
    // The kernel reports twice the granted size, because it includes its bookkeeping.
    let granted = reference.recv_buffer_size().unwrap_or(0) / 2;
    if granted < bytes {
        tracing::info!(
            requested = bytes,
            granted,
            "the kernel granted a smaller receive buffer; its limit is `net.core.rmem_max`"
        );
    }
}

impl Actor for UdpSource {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some((socket, receiver)) = self.receiver.take() {
            let receiving = receiver.receive(socket, self.stop_signal.clone());
            ctx.spawn(receiving.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

struct Receiver {
    options: UdpOptions,
    intake: Intake,
    sources: Arc<SourceTable>,
    clock: Arc<dyn ReceiveClock>,
    metrics: IngestMetrics,
    buffered: HashMap<IpAddr, Frames>,
    buffered_frames: usize,
    buffered_bytes: usize,
    flush_at: Option<Instant>,
    kernel_drops: Option<Arc<KernelDrops>>,
}

impl Receiver {
    async fn receive(mut self, socket: UdpSocket, mut stop_signal: StopSignal) {
        // One extra byte reveals that a datagram was longer.
        let mut buffer = vec![0; self.options.frame_bytes_max.min(FRAME_BYTES_MAX) + 1];
        let mut poll = tokio::time::interval(KERNEL_POLL_PERIOD);
        loop {
            let flush = self.flush_at;
            tokio::select! {
                biased;
                () = wait_for_stop(&mut stop_signal) => break,
                () = tokio::time::sleep_until(flush.unwrap_or_else(Instant::now)),
                    if flush.is_some() => self.flush(),
                _ = poll.tick() => self.poll_kernel_drops(),
                received = socket.recv_from(&mut buffer) => {
                    self.buffer_datagram(received, &buffer);
                    self.receive_burst(&socket, &mut buffer);
                }
            }
            // Other tasks of the thread must run, even at a high rate.
            tokio::task::yield_now().await;
        }
        self.drain(socket, &mut buffer);
    }

    /// Reads the kernel's counter on another thread: with many sockets, their table takes a while.
    fn poll_kernel_drops(&self) {
        if let Some(kernel_drops) = self.kernel_drops.clone() {
            tokio::task::spawn_blocking(move || kernel_drops.poll());
        }
    }

    /// Reads the datagrams that the kernel has buffered, and flushes.
    fn drain(mut self, socket: UdpSocket, buffer: &mut [u8]) {
        // Reads from the kernel: the reactor may not know of these datagrams yet.
        if let Ok(socket) = socket.into_std() {
            for _ in 0..DRAIN_DATAGRAMS_MAX {
                let received = socket.recv_from(buffer);
                if received.is_err() {
                    break;
                }
                self.buffer_datagram(received, buffer);
            }
            if let Some(kernel_drops) = &self.kernel_drops {
                kernel_drops.poll();
            }
        }
        self.flush();
    }

    fn receive_burst(&mut self, socket: &UdpSocket, buffer: &mut [u8]) {
        for _ in 0..BURST_DATAGRAMS {
            let received = socket.try_recv_from(buffer);
            if matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
            self.buffer_datagram(received, buffer);
        }
    }

    fn buffer_datagram(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        let (length, peer) = match received {
            Ok(received) => received,
            // For example an ICMP answer to another packet; the socket stays usable.
            Err(error) => return tracing::debug!(%error, "cannot receive a datagram"),
        };
        let kept = length.min(self.options.frame_bytes_max);
        if kept == 0 {
            return self
                .metrics
                .count_dropped(Transport::Udp, DropReason::Empty, 1);
        }
        if length > kept {
            self.metrics.count_truncated(Transport::Udp, length - kept);
        }
        let frames = self.buffered.entry(peer.ip()).or_default();
        frames.push(&buffer[..kept]);
        self.buffered_frames += 1;
        self.buffered_bytes += kept;
        let full =
            self.buffered_frames >= BATCH_FRAMES_MAX || self.buffered_bytes >= BUFFERED_BYTES_MAX;
        if full {
            self.flush();
        } else if self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + self.options.flush_delay);
        }
    }

    fn flush(&mut self) {
        self.flush_at = None;
        self.buffered_frames = 0;
        self.buffered_bytes = 0;
        if self.buffered.is_empty() {
            return;
        }
        let received = self.clock.now();
        let sources = &self.sources;
        let batches = self.buffered.drain().map(|(peer, frames)| {
            let origin = sources.resolve(Transport::Udp, peer, None);
            origin.batch(received, None, frames)
        });
        if let Err((error, batches)) = self.intake.offer(batches.collect()) {
            let reason = match error {
                SubmitError::Stopped => DropReason::Stopping,
                SubmitError::Busy
                | SubmitError::Fault(_)
                | SubmitError::Gap { .. }
                | SubmitError::Conflict
                | SubmitError::Invalid(_) => DropReason::MailboxFull,
            };
            let events = batches.iter().map(|b: &Batch| b.frames.len() as u64).sum();
            self.metrics.count_dropped(Transport::Udp, reason, events);
        }
    }
}
