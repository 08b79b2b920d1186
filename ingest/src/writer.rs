//! The journal writer: one actor on a thread of its own, which commits in groups and keeps time.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::SendError;
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::time::Instant;
use weir_schema::{Control, Entry};

use crate::balance::Owed;
use crate::commit::{CommitOptions, GroupCommit, Submission};
use crate::deliveries::Deliveries;
use crate::intake::{Intake, Mailbox, MailboxRefusal, NextSequence, Stopped};
use crate::journal::{ReceiveClock, JournalPort};
use crate::metrics::IngestMetrics;

/// Messages besides submissions that fit the mailbox: questions of connecting agents, and the stop.
const QUESTIONS_MAX: usize = 64;

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

/// A shorter tick would fill the journal with seals.
const TICK_MIN: Duration = Duration::from_millis(10);

impl WriterOptions {
    /// Within what a semaphore and a mailbox can count.
    pub(crate) fn submissions(&self) -> usize {
        self.submissions_max.clamp(1, 1 << 20)
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Submit(Submission);

#[derive(Message)]
#[rtype(result = "()")]
struct Ask(NextSequence);

#[derive(Message)]
#[rtype(result = "()")]
struct Stop(Stopped);

/// The actor that alone writes to the journal.
pub struct IngestWriter<P: JournalPort> {
    /// `None` once stopped.
    group: Option<GroupCommit<P>>,
    clock: Arc<dyn ReceiveClock>,
    options: WriterOptions,
    alarm: Option<(Instant, SpawnHandle)>,
}

impl<P: JournalPort + Unpin> IngestWriter<P> {
    /// Starts the writer on a thread of its own, where it may block in a sync. Needs an actix
    /// system.
    pub fn start(
        port: P,
        options: WriterOptions,
        metrics: IngestMetrics,
        deliveries: Deliveries,
        clock: Arc<dyn ReceiveClock>,
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
        clock: Arc<dyn ReceiveClock>,
    ) -> Intake {
        let mailbox = options.submissions() + QUESTIONS_MAX;
        let addr = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(mailbox);
            Self {
                group: Some(group),
                clock,
                options,
                alarm: None,
            }
        });
        Intake::new(Box::new(addr), own_thread, &options, metrics)
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
                owed: Owed::nothing(),
                _permits: None,
            });
            group.ask_seal();
        }
        self.set_alarm(ctx);
    }
}

impl<P: JournalPort + Unpin> Actor for IngestWriter<P> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.options.tick.max(TICK_MIN), Self::tick);
    }
}

impl<P: JournalPort + Unpin> Handler<Submit> for IngestWriter<P> {
    type Result = ();

    fn handle(&mut self, Submit(submission): Submit, ctx: &mut Self::Context) {
        // After the stop the submission is dropped here, which tells the submitter.
        if let Some(group) = &mut self.group {
            group.take(submission);
            self.set_alarm(ctx);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<Ask> for IngestWriter<P> {
    type Result = ();

    fn handle(&mut self, Ask(asked): Ask, _: &mut Self::Context) {
        if let Some(group) = &self.group {
            let deliveries = group.deliveries();
            let next = deliveries.next_sequence(&asked.tenant, &asked.agent, asked.spool);
            // Who asked may have gone.
            let _ = asked.reply.send(next);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<Stop> for IngestWriter<P> {
    type Result = ();

    fn handle(&mut self, Stop(reply): Stop, ctx: &mut Self::Context) {
        let outcome = self.group.take().map_or(Ok(()), |mut group| {
            group.ask_seal();
            group.commit(Instant::now())
        });
        // The port is closed now: whoever waits may open the journal again.
        let _ = reply.send(outcome);
        ctx.stop();
    }
}

impl<P: JournalPort + Unpin> Mailbox for Addr<IngestWriter<P>> {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxRefusal<Submission>> {
        let sent = self.try_send(Submit(submission));
        sent.map_err(|error| refusal(error, |Submit(submission)| submission))
    }

    fn try_ask(&self, question: NextSequence) -> Result<(), MailboxRefusal<NextSequence>> {
        let sent = self.try_send(Ask(question));
        sent.map_err(|error| refusal(error, |Ask(question)| question))
    }

    fn try_stop(&self, reply: Stopped) -> Result<(), MailboxRefusal<Stopped>> {
        let sent = self.try_send(Stop(reply));
        sent.map_err(|error| refusal(error, |Stop(reply)| reply))
    }
}

fn refusal<M, T>(error: SendError<M>, unwrap: impl FnOnce(M) -> T) -> MailboxRefusal<T> {
    match error {
        SendError::Full(message) => MailboxRefusal::Full(unwrap(message)),
        SendError::Closed(message) => MailboxRefusal::Closed(unwrap(message)),
    }
}
