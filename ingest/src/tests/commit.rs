//! Tests when the writer syncs, seals and answers.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weir_schema::{Control, Entry, ReceiveTime};

use super::memory::MemoryJournal;
use super::{FixedClock, batch, run, start, until};
use crate::balance::EventAccount;
use crate::commit::{CommitOptions, GroupCommit, Submission, SubmitResult};
use crate::{CommitReceipt, Deliveries, IngestMetrics, IngestWriter, SubmitError, WriterOptions};

fn group(options: CommitOptions) -> (MemoryJournal, GroupCommit<MemoryJournal>) {
    let journal = MemoryJournal::default();
    let metrics = IngestMetrics::register(&prometheus::Registry::new()).unwrap();
    let group = GroupCommit::new(journal.clone(), options, metrics, Deliveries::new());
    (journal, group)
}

fn push(
    group: &mut GroupCommit<MemoryJournal>,
    frames: &[&str],
) -> oneshot::Receiver<SubmitResult> {
    let (reply, answer) = oneshot::channel();
    group.push(Submission {
        entries: vec![batch(frames).into()],
        reply: Some(reply),
        account: EventAccount::empty(),
        _permits: None,
    });
    answer
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn quiet_journal_seals_at_once_and_busy_journal_groups() {
    let (journal, mut group) = group(CommitOptions::default());
    let start = Instant::now();
    assert_eq!(group.due(start), None);
    let mut first = push(&mut group, &["a"]);
    assert_eq!(group.due(start), Some(start), "first submission");
    group.commit(start).unwrap();
    assert_eq!(journal.sketch(), "b1 s1");
    assert!(matches!(
        first.try_recv(),
        Ok(Ok(CommitReceipt { events: 1, .. }))
    ));

    let _second = push(&mut group, &["b"]);
    let _third = push(&mut group, &["c", "d"]);
    assert_eq!(
        group.due(start + MS),
        Some(start + 5 * MS),
        "the commit is delayed"
    );
    group.commit(start + 5 * MS).unwrap();
    assert_eq!(
        (journal.sketch().as_str(), journal.syncs()),
        ("b1 s1 b1 b2", 2)
    );
    assert_eq!(
        group.due(start + 5 * MS),
        Some(start + 20 * MS),
        "the seal is delayed"
    );
    group.commit(start + 20 * MS).unwrap();
    assert_eq!(
        (journal.sketch().as_str(), journal.syncs()),
        ("b1 s1 b1 b2 s2", 3)
    );
    assert_eq!(group.due(start + 20 * MS), None);
}

#[test]
fn seal_epoch_at_its_size() {
    let (journal, mut group) = group(CommitOptions {
        commit_events: 4,
        epoch_events_max: 3,
        ..CommitOptions::default()
    });
    let start = Instant::now();
    group.commit(start).unwrap();
    let _first = push(&mut group, &["a"]);
    group.commit(start).unwrap();
    let answers = [&["b", "c"][..], &["d"], &["e"]].map(|frames| push(&mut group, frames));
    assert_eq!(
        group.due(start + MS),
        Some(start + MS),
        "enough for a commit"
    );
    group.commit(start + MS).unwrap();
    assert_eq!(
        (journal.sketch().as_str(), journal.syncs()),
        ("b1 s1 b2 b1 s2 b1", 2)
    );
    drop(answers);
}

#[test]
fn answer_fault_and_accept_later_submissions() {
    let (journal, mut group) = group(CommitOptions::default());
    let start = Instant::now();
    let _first = push(&mut group, &["a"]);
    group.commit(start).unwrap();
    let _second = push(&mut group, &["b"]);
    group.commit(start + 5 * MS).unwrap();
    // The sync fails, not the append.
    let mut calls = 0;
    journal.fail(move || {
        calls += 1;
        calls > 1
    });
    let mut failed = push(&mut group, &["c"]);
    group.commit(start + 10 * MS).unwrap_err();
    let refused = failed.try_recv().unwrap().unwrap_err();
    assert!(matches!(refused.error, SubmitError::Fault(_)));
    assert_eq!(refused.entries, [batch(&["c"]).into()], "returned complete");
    let mut again = push(&mut group, &["c"]);
    let until = start + 60 * MS;
    assert_eq!(
        group.due(start + 11 * MS),
        Some(until),
        "backoff after a fault"
    );
    group.commit(until).unwrap_err();
    assert!(again.try_recv().unwrap().is_err());
    journal.heal();
    let mut last = push(&mut group, &["c"]);
    assert_eq!(group.due(until), Some(until + 100 * MS), "longer backoff");
    group.commit(until + 100 * MS).unwrap();
    assert!(last.try_recv().unwrap().is_ok());
    assert_eq!(
        journal.sketch(),
        "b1 s1 b1 b1 s2",
        "earlier unsealed entries are sealed"
    );
}

#[test]
fn answer_after_sync() {
    run(async {
        let parts = start(WriterOptions::default());
        parts.journal.close_gate();
        let mut answer = parts.intake.enqueue(vec![batch(&["a"])]).await.unwrap();
        until(|| parts.journal.is_waiting()).await;
        assert!(
            (&mut answer).now_or_never().is_none(),
            "not synced, not answered"
        );
        parts.journal.open_gate();
        assert_eq!(answer.await.unwrap().events, 1);
        assert_eq!(parts.journal.sketch(), "b1 s1");
        let empty = parts.intake.submit(vec![batch(&[])]).await.unwrap_err();
        assert!(matches!(empty, SubmitError::Invalid(_)));
        parts.end().await;
        let late = parts.intake.submit(vec![batch(&["b"])]).await.unwrap_err();
        assert_eq!(late, SubmitError::Stopped);
        assert_eq!(
            parts.intake.stop().await,
            Ok(()),
            "a second stop has no effect"
        );
    });
}

#[test]
fn stop_journals_seals_and_answers_pending_submissions() {
    run(async {
        let parts = start(WriterOptions::default());
        parts.journal.close_gate();
        let mut answers = Vec::new();
        for text in ["a", "b", "c"] {
            answers.push(parts.intake.enqueue(vec![batch(&[text])]).await.unwrap());
        }
        parts.intake.offer(vec![batch(&["d"])]).unwrap();
        parts.journal.open_gate();
        parts.end().await;
        for answer in answers {
            answer.await.unwrap();
        }
        assert_eq!(parts.journal.frames(), [b"a", b"b", b"c", b"d"]);
        assert!(matches!(
            parts.journal.entries().last(),
            Some(Entry::Seal { .. })
        ));
    });
}

#[test]
fn ticks_advance_a_quiet_journal() {
    let paused = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    actix_rt::System::with_tokio_rt(paused).block_on(async {
        let (journal, group) = group(CommitOptions::default());
        let metrics = IngestMetrics::register(&prometheus::Registry::new()).unwrap();
        let arbiter = actix_rt::Arbiter::current();
        let clock = std::sync::Arc::new(FixedClock);
        let options = WriterOptions::default();
        let intake = IngestWriter::start_in(&arbiter, None, group, options, metrics, clock);
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert_eq!(journal.sketch(), "c s1 c s2 c s3");
        let tick = Entry::Control(Control::Tick {
            received: ReceiveTime(77),
        });
        assert_eq!(journal.entries()[0], tick);
        intake.submit(vec![batch(&["a"])]).await.unwrap();
        assert_eq!(journal.sketch(), "c s1 c s2 c s3 b1 s4");
        journal.fail(|| true);
        tokio::time::sleep(Duration::from_secs(10)).await;
        journal.heal();
        let fault = intake.control(vec![Control::Finish]).await;
        assert!(fault.is_ok(), "accepted again after the fault: {fault:?}");
        intake.stop().await.unwrap();
    });
}
