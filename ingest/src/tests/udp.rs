//! Datagrams are journaled, or dropped and counted.

use std::net::UdpSocket;

use actix_rt::Arbiter;
use weir_schema::Transport;

use super::{Parts, run, start, until};
use crate::{DropReason, SourceHandle, UdpOptions, UdpSource, WriterOptions};

fn serve(parts: &Parts, options: UdpOptions) -> SourceHandle {
    let started = UdpSource::start(
        &Arbiter::current(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        options,
        parts.intake.clone(),
        parts.sources.clone(),
        parts.clock.clone(),
        parts.metrics.clone(),
    );
    started.unwrap()
}

fn sender(source: &SourceHandle) -> UdpSocket {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(source.local_address).unwrap();
    sender
}

#[test]
fn each_datagram_is_a_frame() {
    run(async {
        let parts = start(WriterOptions::default());
        let options = UdpOptions {
            frame_bytes_max: 16,
            ..UdpOptions::default()
        };
        let source = serve(&parts, options);
        let socket = sender(&source);
        let sent: [&[u8]; 4] = [b"<13>one\n", b"\xff\0two", b"", b"<13>this is too long"];
        for datagram in sent {
            socket.send(datagram).unwrap();
        }
        source.stop().await;
        parts.end().await;
        let expected: [&[u8]; 3] = [b"<13>one\n", b"\xff\0two", b"<13>this is too "];
        assert_eq!(parts.journal.frames(), expected);
        assert_eq!(parts.journal.batches()[0].source, "udp:127.0.0.1");
        assert_eq!(
            parts
                .metrics
                .dropped_events(Transport::Udp, DropReason::Empty),
            1
        );
    });
}

#[test]
fn count_drops_at_full_mailbox() {
    run(async {
        let parts = start(WriterOptions {
            submissions_max: 2,
            ..WriterOptions::default()
        });
        parts.journal.close_gate();
        let source = serve(&parts, UdpOptions::default());
        let socket = sender(&source);
        let dropped = || {
            parts
                .metrics
                .dropped_events(Transport::Udp, DropReason::MailboxFull)
        };
        let mut sent = 0;
        while dropped() == 0 {
            socket.send(format!("<13>{sent}").as_bytes()).unwrap();
            sent += 1;
            tokio::task::yield_now().await;
        }
        parts.journal.open_gate();
        source.stop().await;
        parts.end().await;
        assert_eq!(parts.journal.frames().len() as u64 + dropped(), sent);
    });
}

#[test]
fn count_drops_at_journal_fault() {
    run(async {
        let parts = start(WriterOptions::default());
        parts.journal.fail(|| true);
        let source = serve(&parts, UdpOptions::default());
        sender(&source).send(b"<13>a").unwrap();
        let faults = &parts.metrics.writer.journal_faults;
        until(|| faults.get() > 0).await;
        let lost = || {
            parts
                .metrics
                .dropped_events(Transport::Udp, DropReason::JournalFault)
        };
        until(|| lost() == 1).await;
        source.stop().await;
        parts.journal.heal();
        parts.end().await;
        assert!(parts.journal.frames().is_empty());
    });
}

#[test]
fn count_drops_of_the_kernel() {
    run(async {
        let parts = start(WriterOptions::default());
        let options = UdpOptions {
            receive_buffer_bytes: 1, // The kernel grants its minimum.
            ..UdpOptions::default()
        };
        let source = serve(&parts, options);
        let socket = sender(&source);
        // Nothing reads meanwhile: the receiver shares this thread.
        for n in 0..500 {
            socket.send(format!("<13>{n}").as_bytes()).unwrap();
        }
        source.stop().await;
        parts.end().await;
        let dropped = parts.metrics.udp_kernel_dropped().get();
        assert!(dropped > 0, "the buffer is smaller than 500 datagrams");
        assert_eq!(parts.journal.frames().len() as u64 + dropped, 500);
    });
}
