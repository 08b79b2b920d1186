//! The journal writer: an actor on its own thread that runs group commits and journals ticks.

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

use crate::balance::EventAccount;
use crate::commit::{CommitOptions, GroupCommit, Submission};
use crate::deliveries::Deliveries;
use crate::intake::{Intake, IntakeLimits};
use crate::journal::{JournalPort, ReceiveClock};
use crate::mailbox::{Mailbox, MailboxError, NextSequenceQuery, StopReply};
use crate::metrics::IngestMetrics;

/// Mailbox capacity besides submissions: for queries of connecting agents, and for the stop.
const QUERIES_MAX: usize = 64;

/// Options of the journal writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    pub commit: CommitOptions,
    /// Interval between ticks. A tick advances time in the journal while no events arrive; without it,
    /// idle sources would hold back the watermark.
    pub tick: Duration,
    /// Most submissions that wait for their commit: one of each connection and a burst of HTTP.
    pub submissions_max: usize,
    /// Most bytes that wait for their commit: one second of 60,000 events of 1 KiB.
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

/// Shortest tick: a shorter one would fill the journal with seals.
const TICK_MIN: Duration = Duration::from_millis(10);

impl WriterOptions {
    /// `submissions_max`, limited to what a semaphore and a mailbox can count.
    pub(crate) fn submissions(&self) -> usize {
        self.submissions_max.clamp(1, 1 << 20)
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Submit(Submission);

#[derive(Message)]
#[rtype(result = "()")]
struct QueryNextSequence(NextSequenceQuery);

#[derive(Message)]
#[rtype(result = "()")]
struct Stop(StopReply);

/// The actor that writes to the journal. No other code does.
pub struct IngestWriter<P: JournalPort> {
    /// `None` after the stop.
    group: Option<GroupCommit<P>>,
    clock: Arc<dyn ReceiveClock>,
    options: WriterOptions,
    timer: Option<(Instant, SpawnHandle)>,
}

impl<P: JournalPort + Unpin> IngestWriter<P> {
    /// Starts the writer on its own thread, because a sync blocks. Fails without an actix system.
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
        let mailbox = options.submissions() + QUERIES_MAX;
        let addr = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(mailbox);
            Self {
                group: Some(group),
                clock,
                options,
                timer: None,
            }
        });
        let limits = IntakeLimits {
            submissions_max: options.submissions(),
            bytes_max: options.bytes_max,
        };
        Intake::new(Box::new(addr), own_thread, limits, metrics)
    }

    /// Sets the timer to when the group is due. If it is due now, the messages that already wait in the
    /// mailbox are handled first.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due = self.group.as_ref().and_then(|group| group.due(now));
        if due == self.timer.map(|(due, _)| due) {
            return;
        }
        if let Some((at, handle)) = self.timer.take() {
            if due.is_some_and(|due| at <= due.max(now)) {
                self.timer = Some((at, handle));
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
            writer.timer = None;
            writer.commit_if_due(ctx);
        });
        self.timer = Some((due, ctx.spawn(woken)));
    }

    fn commit_if_due(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if let Some(group) = &mut self.group
            && group.due(now).is_some_and(|due| due <= now)
        {
            // `commit` counts, logs and answers a fault.
            let _ = group.commit(now);
        }
        self.set_timer(ctx);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let received = self.clock.now();
        if let Some(group) = &mut self.group
            && !group.is_backing_off(Instant::now())
        {
            group.push(Submission {
                entries: vec![Entry::Control(Control::Tick { received })],
                reply: None,
                account: EventAccount::empty(),
                _permits: None,
            });
            group.request_seal();
        }
        self.set_timer(ctx);
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
        // After the stop the submission is dropped here, which ends the submitter's wait.
        if let Some(group) = &mut self.group {
            group.push(submission);
            self.set_timer(ctx);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<QueryNextSequence> for IngestWriter<P> {
    type Result = ();

    fn handle(&mut self, QueryNextSequence(query): QueryNextSequence, _: &mut Self::Context) {
        if let Some(group) = &self.group {
            let deliveries = group.deliveries();
            let next = deliveries.next_sequence(&query.tenant, &query.agent, query.spool);
            // The connection that asked may be closed.
            let _ = query.reply.send(next);
        }
    }
}

impl<P: JournalPort + Unpin> Handler<Stop> for IngestWriter<P> {
    type Result = ();

    fn handle(&mut self, Stop(reply): Stop, ctx: &mut Self::Context) {
        let outcome = self.group.take().map_or(Ok(()), |mut group| {
            group.request_seal();
            group.commit(Instant::now())
        });
        // The port is closed now: the caller may open the journal again.
        let _ = reply.send(outcome);
        ctx.stop();
    }
}

impl<P: JournalPort + Unpin> Mailbox for Addr<IngestWriter<P>> {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxError<Submission>> {
        let sent = self.try_send(Submit(submission));
        sent.map_err(|error| mailbox_error(error, |Submit(submission)| submission))
    }

    fn try_query(&self, query: NextSequenceQuery) -> Result<(), MailboxError<NextSequenceQuery>> {
        let sent = self.try_send(QueryNextSequence(query));
        sent.map_err(|error| mailbox_error(error, |QueryNextSequence(query)| query))
    }

    fn try_stop(&self, reply: StopReply) -> Result<(), MailboxError<StopReply>> {
        let sent = self.try_send(Stop(reply));
        sent.map_err(|error| mailbox_error(error, |Stop(reply)| reply))
    }
}

fn mailbox_error<M, T>(error: SendError<M>, unwrap: impl FnOnce(M) -> T) -> MailboxError<T> {
    match error {
        SendError::Full(message) => MailboxError::Full(unwrap(message)),
        SendError::Closed(message) => MailboxError::Closed(unwrap(message)),
    }
}
