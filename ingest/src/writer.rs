//! The journal writer: one actor on a thread of its own, and the bounded door to it.
//!
//! ```text
//!  TCP ─┐ submit: waits           Submit (slots: submissions_max)      append, sync
//!  UDP ─┤ offer: or is dropped ─► Intake ═══════════════════════► JournalWriter ─────► JournalPort
//!  HTTP ┘                           (bytes: bytes_max)     tick ──►  (GroupCommit)
//! ```
//!
//! A mailbox of actix has room for one more message per sender, and messages differ in size ten
//! thousandfold; so the bound is held by two semaphores: slots and bytes, given back with the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::sync::{Semaphore, TryAcquireError, oneshot};
use tokio::time::Instant;
use weir_schema::{Batch, Control, Entry};

use crate::commit::{Answer, CommitOptions, GroupCommit, Permits, Refused, Submission};
use crate::deliveries::Deliveries;
use crate::journal::{Accepted, Clock, JournalFault, JournalPort, SubmitError};
use crate::metrics::IngestMetrics;

/// Messages besides submissions that fit the mailbox: questions of connecting agents, and the stop.
const QUESTIONS_MAX: usize = 64;

/// What a frame weighs in memory besides its bytes.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// Options of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    pub commit: CommitOptions,
    /// Time goes on in the journal this often, so that idle sources stop holding the watermark.
    pub tick: Duration,
    /// Submissions that may wait for their commit: all connections and a burst of HTTP.
    pub submissions_max: usize,
    /// Bytes that may wait for their commit: a second of 60,000 events of 1 KiB.
    pub bytes_max: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            commit: CommitOptions::default(),
            tick: Duration::from_secs(1),
            submissions_max: 2_048,
            bytes_max: 64 << 20,
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Submit(Submission);

#[derive(Message)]
#[rtype(result = "()")]
struct NextSequence {
    tenant: String,
    agent: String,
    spool: u64,
    reply: oneshot::Sender<u64>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop {
    reply: oneshot::Sender<Result<(), JournalFault>>,
}

/// The actor that alone writes to the journal.
pub struct JournalWriter<P: JournalPort> {
    /// `None` once stopped.
    group: Option<GroupCommit<P>>,
    clock: Arc<dyn Clock>,
    options: WriterOptions,
    alarm: Option<(Instant, SpawnHandle)>,
}

impl<P: JournalPort + Unpin> JournalWriter<P> {
    /// Starts the writer on a thread of its own, where it may block in a sync. Needs an actix system.
    pub fn start(
        port: P,
        options: WriterOptions,
        metrics: IngestMetrics,
        deliveries: Deliveries,
        clock: Arc<dyn Clock>,
    ) -> Result<Intake, std::io::Error> {
        if actix_rt::System::try_current().is_none() {
            return Err(std::io::Error::other("no actix system runs on this thread"));
        }
        let arbiter = Arbiter::try_new()?.handle();
        let group = GroupCommit::new(port, options.commit, metrics.clone(), deliveries);
        let own_thread = Some(arbiter.clone());
        Ok(Self::start_in(
            &arbiter, own_thread, group, options, metrics, clock,
        ))
    }

    pub(crate) fn start_in(
        arbiter: &ArbiterHandle,
        own_thread: Option<ArbiterHandle>,
        group: GroupCommit<P>,
        options: WriterOptions,
        metrics: IngestMetrics,
        clock: Arc<dyn Clock>,
    ) -> Intake {
        let mailbox = options.submissions_max.saturating_add(QUESTIONS_MAX);
        let addr = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(mailbox);
            Self {
                group: Some(group),
                clock,
                options,
                alarm: None,
            }
        });
        let bytes_max = u32::try_from(options.bytes_max.max(1)).unwrap_or(u32::MAX);
        Intake {
            door: Arc::new(Door {
                slots: Arc::new(Semaphore::new(options.submissions_max.max(1))),
                bytes: Arc::new(Semaphore::new(bytes_max as usize)),
                bytes_max,
                submissions_max: options.submissions_max.max(1),
                metrics,
                writer: Box::new(addr),
                own_thread,
            }),
        }
    }

    /// Wakes when the group is due: at once means after the messages that wait already.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due = self.group.as_ref().and_then(|group| group.due(now));
        if due == self.alarm.map(|(due, _)| due) {
            return;
        }
        if let Some((at, handle)) = self.alarm.take() {
            if due.is_some_and(|due| at <= due.max(now)) {
                self.alarm = Some((at, handle));
                return;
            }
            ctx.cancel_future(handle);
        }
        let Some(due) = due else {
            return;
        };
        let wait = async move {
            if due > now {
                tokio::time::sleep_until(due).await;
            }
        };
        let woken = wait.into_actor(self).map(|(), writer, ctx| {
            writer.alarm = None;
            writer.commit_if_due(ctx);
        });
        self.alarm = Some((due, ctx.spawn(woken)));
    }

    fn commit_if_due(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if let Some(group) = &mut self.group
            && group.due(now).is_some_and(|due| due <= now)
        {
            // The fault is counted, logged and answered there.
            let _ = group.commit(now);
        }
        self.set_alarm(ctx);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let received = self.clock.now();
        if let Some(group) = &mut self.group
            && !group.is_held(Instant::now())
        {
            group.take(Submission {
                entries: vec![Entry::Control(Control::Tick { received })],
                reply: None,
                _permits: None,
            });
            group.ask_seal();
        }
        self.set_alarm(ctx);
    }
}

impl<P: JournalPort + Unpin> Actor for JournalWriter<P> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.options.tick, Self::tick);
    }
}

impl<P: JournalPort + Unpin> Handler<Submit> for JournalWriter<P> {
    type Result = ();

    fn handle(&mut self, Submit(submission): Submit, ctx: &mut Self::Context) {
        // After the stop the submission is dropped here, which tells the submitter.
        if let Some(group) = &mut self.group {
            group.take(submission);
            self.set_alarm(ctx);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<NextSequence> for JournalWriter<P> {
    type Result = ();

    fn handle(&mut self, asked: NextSequence, _: &mut Self::Context) {
        if let Some(group) = &self.group {
            let deliveries = group.deliveries();
            let next = deliveries.next_sequence(&asked.tenant, &asked.agent, asked.spool);
            // Who asked may have gone.
            let _ = asked.reply.send(next);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<Stop> for JournalWriter<P> {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Self::Context) {
        let outcome = self.group.take().map_or(Ok(()), |mut group| {
            group.ask_seal();
            group.commit(Instant::now())
        });
        // The port is closed now: whoever waits may open the journal again.
        let _ = stop.reply.send(outcome);
        ctx.stop();
    }
}

/// What the door needs of the writer, whatever its port is.
trait Mailbox: Send + Sync {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxRefusal<Submission>>;
    fn try_ask(&self, question: NextSequence) -> Result<(), MailboxRefusal<NextSequence>>;
    fn try_stop(&self, stop: Stop) -> Result<(), MailboxRefusal<Stop>>;
}

enum MailboxRefusal<M> {
    Full(M),
    Closed(M),
}

impl<M> From<actix::prelude::SendError<M>> for MailboxRefusal<M> {
    fn from(error: actix::prelude::SendError<M>) -> Self {
        match error {
            actix::prelude::SendError::Full(message) => Self::Full(message),
            actix::prelude::SendError::Closed(message) => Self::Closed(message),
        }
    }
}

impl<P: JournalPort + Unpin> Mailbox for Addr<JournalWriter<P>> {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxRefusal<Submission>> {
        self.try_send(Submit(submission))
            .map_err(|error| match error.into() {
                MailboxRefusal::Full(Submit(submission)) => MailboxRefusal::Full(submission),
                MailboxRefusal::Closed(Submit(submission)) => MailboxRefusal::Closed(submission),
            })
    }

    fn try_ask(&self, question: NextSequence) -> Result<(), MailboxRefusal<NextSequence>> {
        self.try_send(question).map_err(Into::into)
    }

    fn try_stop(&self, stop: Stop) -> Result<(), MailboxRefusal<Stop>> {
        self.try_send(stop).map_err(Into::into)
    }
}

/// Sends until there is room. Room lacks only for a moment: the semaphores bound what is in there.
async fn send_to<M>(
    mut message: M,
    mut send: impl FnMut(M) -> Result<(), MailboxRefusal<M>>,
) -> Result<(), M> {
    const PAUSE: Duration = Duration::from_millis(1);
    loop {
        match send(message) {
            Ok(()) => return Ok(()),
            Err(MailboxRefusal::Closed(message)) => return Err(message),
            Err(MailboxRefusal::Full(back)) => message = back,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Door {
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
    submissions_max: usize,
    metrics: IngestMetrics,
    writer: Box<dyn Mailbox>,
    own_thread: Option<ArbiterHandle>,
}

/// The way into the journal, for listeners and for the HTTP layer. Clones are one door.
#[derive(Clone)]
pub struct Intake {
    door: Arc<Door>,
}

/// An answer under way; it comes after the sync.
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Answer>,
}

impl Pending {
    /// The answer, with the entries given back where the journal failed. They are whole only where
    /// they carry no delivery.
    pub(crate) async fn or_entries(self) -> Answer {
        self.answer.await.unwrap_or_else(|_| {
            Err(Refused {
                error: SubmitError::Stopped,
                entries: Vec::new(),
            })
        })
    }
}

impl Future for Pending {
    type Output = Result<Accepted, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| match answer {
                Ok(answer) => answer.map_err(|refused| refused.error),
                Err(_) => Err(SubmitError::Stopped),
            })
    }
}

impl Intake {
    /// Journals the batches, together or not at all; the answer comes after the sync.
    /// Waits while the writer has as much in hand as it may.
    pub async fn submit(&self, batches: Vec<Batch>) -> Result<Accepted, SubmitError> {
        self.enqueue(batches).await?.await
    }

    /// As [`Self::submit`] in two steps: submissions enqueued one after the other are journaled in
    /// that order, while several answers are under way.
    pub async fn enqueue(&self, batches: Vec<Batch>) -> Result<Pending, SubmitError> {
        self.enqueue_entries(batches.into_iter().map(Entry::Batch).collect())
            .await
            .map_err(|refused| refused.error)
    }

    /// Journals control entries.
    pub async fn control(&self, controls: Vec<Control>) -> Result<Accepted, SubmitError> {
        let entries = controls.into_iter().map(Entry::Control).collect();
        let pending = self.enqueue_entries(entries).await;
        pending.map_err(|refused| refused.error)?.await
    }

    /// Hands the batches over without waiting for room or answer: `Err` gives them back at a limit.
    /// What the journal then refuses is counted as dropped.
    pub fn offer(&self, batches: Vec<Batch>) -> Result<(), (SubmitError, Vec<Batch>)> {
        let permits = match self.try_permits(weight(&batches)) {
            Ok(permits) => Some(permits),
            Err(error) => return Err((error, batches)),
        };
        let submission = Submission {
            entries: batches.into_iter().map(Entry::Batch).collect(),
            reply: None,
            _permits: permits,
        };
        self.door
            .writer
            .try_submit(submission)
            .map_err(|refusal| match refusal {
                MailboxRefusal::Full(s) => (SubmitError::Busy, batches_of(s.entries)),
                MailboxRefusal::Closed(s) => (SubmitError::Stopped, batches_of(s.entries)),
            })
    }

    /// The sequence up to which all events of an agent's spool are durable.
    pub async fn next_sequence(
        &self,
        tenant: &str,
        agent: &str,
        spool: u64,
    ) -> Result<u64, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let question = NextSequence {
            tenant: tenant.to_owned(),
            agent: agent.to_owned(),
            spool,
            reply,
        };
        let sent = send_to(question, |question| self.door.writer.try_ask(question)).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        answer.await.map_err(|_| SubmitError::Stopped)
    }

    /// Takes nothing more, journals and seals what is in hand, answers all, and closes the port.
    /// `Err`: the last commit failed, and was answered so.
    pub async fn stop(&self) -> Result<(), JournalFault> {
        self.door.slots.close();
        let (reply, answer) = oneshot::channel();
        let sent = send_to(Stop { reply }, |stop| self.door.writer.try_stop(stop)).await;
        let outcome = match sent {
            Ok(()) => answer.await.unwrap_or(Ok(())),
            // It was stopped before.
            Err(_) => Ok(()),
        };
        if let Some(thread) = &self.door.own_thread {
            thread.stop();
        }
        outcome
    }

    pub(crate) async fn enqueue_entries(&self, entries: Vec<Entry>) -> Result<Pending, Refused> {
        let stopped = |entries| Refused {
            error: SubmitError::Stopped,
            entries,
        };
        let weight = entries.iter().map(entry_weight).sum();
        let Ok(permits) = self.permits(weight).await else {
            return Err(stopped(entries));
        };
        let (reply, answer) = oneshot::channel();
        let submission = Submission {
            entries,
            reply: Some(reply),
            _permits: Some(permits),
        };
        let sent = send_to(submission, |s| self.door.writer.try_submit(s)).await;
        sent.map_err(|submission| stopped(submission.entries))?;
        Ok(Pending { answer })
    }

    /// A submission heavier than all bytes takes them all and goes alone.
    fn bytes(&self, weight: usize) -> u32 {
        u32::try_from(weight)
            .unwrap_or(u32::MAX)
            .min(self.door.bytes_max)
    }

    async fn permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let bytes = Arc::clone(&self.door.bytes).acquire_many_owned(self.bytes(weight));
        let bytes = bytes.await.map_err(|_| SubmitError::Stopped)?;
        let slot = Arc::clone(&self.door.slots).acquire_owned();
        let slot = slot.await.map_err(|_| SubmitError::Stopped)?;
        self.observe_depth();
        Ok((slot, bytes))
    }

    fn try_permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let refused = |error| match error {
            TryAcquireError::Closed => SubmitError::Stopped,
            TryAcquireError::NoPermits => SubmitError::Busy,
        };
        let bytes = Arc::clone(&self.door.bytes).try_acquire_many_owned(self.bytes(weight));
        let bytes = bytes.map_err(refused)?;
        let slot = Arc::clone(&self.door.slots).try_acquire_owned();
        let slot = slot.map_err(refused)?;
        self.observe_depth();
        Ok((slot, bytes))
    }

    fn observe_depth(&self) {
        let free = self.door.slots.available_permits();
        let depth = self.door.submissions_max.saturating_sub(free);
        let gauge = &self.door.metrics.mailbox_depth;
        gauge.with_label_values(&["journal"]).set(depth as i64);
    }
}

fn batches_of(entries: Vec<Entry>) -> Vec<Batch> {
    let batches = entries.into_iter().filter_map(|entry| match entry {
        Entry::Batch(batch) => Some(batch),
        Entry::Control(_) | Entry::Seal { .. } => None,
    });
    batches.collect()
}

fn weight(batches: &[Batch]) -> usize {
    batches.iter().map(batch_weight).sum()
}

fn batch_weight(batch: &Batch) -> usize {
    let frames = batch.frames.iter();
    frames.map(|frame| frame.len() + FRAME_OVERHEAD_BYTES).sum()
}

fn entry_weight(entry: &Entry) -> usize {
    match entry {
        Entry::Batch(batch) => batch_weight(batch),
        Entry::Control(_) | Entry::Seal { .. } => FRAME_OVERHEAD_BYTES,
    }
}
