//! Sends changes as CEF messages to a syslog server.

use weir_schema::{ChangeKind, ReceiveTime};

use crate::delivery::change::OutgoingChange;
use crate::failure::DeliveryError;
use crate::format::{cause_text, cef};
use crate::transport::syslog::SyslogSender;

/// A syslog server that reads CEF.
pub(crate) struct CefConsumer {
    pub syslog: SyslogSender,
}

impl CefConsumer {
    pub(super) async fn deliver(
        &self,
        outgoing: &OutgoingChange,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        for superseded in &outgoing.superseded {
            let why = format!("became one with {}", outgoing.change.record.alert);
            let text = cef::message(superseded, ChangeKind::Retracted, &why, now);
            self.syslog.send(&text).await?;
        }
        let record = &outgoing.change.record;
        let text = cef::message(record, outgoing.kind, &cause_text(&record.cause), now);
        self.syslog.send(&text).await
    }
}
