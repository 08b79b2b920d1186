//! A consumer of tests: a closure answers each delivery, without a network.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use weir_schema::AlertId;

use crate::delivery::change::OutgoingChange;
use crate::failure::DeliveryError;

type Answer = BoxFuture<'static, Result<(), DeliveryError>>;

/// Answers deliveries as its script says.
#[derive(Clone)]
pub(crate) struct ScriptedConsumer(pub Arc<dyn Fn(AlertId) -> Answer + Send + Sync>);

impl ScriptedConsumer {
    pub(super) async fn deliver(&self, outgoing: &OutgoingChange) -> Result<(), DeliveryError> {
        (self.0)(outgoing.change.record.alert).await
    }
}
