//! Retains a request's body until its answer is sent, which ends connections with unread bodies.
//!
//! If no handler reads a chunked body, the HTTP library reads it to its end without a time limit. Any
//! client, even without the token, could then occupy a connection forever. If the body still exists
//! when the answer is sent, the library closes the connection instead.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use super::connections::RequestInProgress;

/// A request's body, shared by the handler and the answer.
#[derive(Clone)]
pub(super) struct RetainedBody(Rc<RefCell<Payload>>);

impl RetainedBody {
    /// Takes the body of a request and puts a reader of it in its place.
    pub(super) fn take(request: &mut ServiceRequest) -> Self {
        let body = Self(Rc::new(RefCell::new(request.take_payload())));
        let payload = Box::pin(body.clone());
        request.set_payload(Payload::Stream { payload });
        body
    }

    /// Retains the body, and the mark of the request, until the answer has been sent.
    pub(super) fn retain_until_sent(
        self,
        response: ServiceResponse<BoxBody>,
        in_progress: Option<RequestInProgress>,
    ) -> ServiceResponse<BoxBody> {
        response.map_body(|_, body| {
            BoxBody::new(RetainingBody {
                body,
                _request_body: self,
                _in_progress: in_progress,
            })
        })
    }
}

impl Stream for RetainedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// The body of an answer that retains the body of its request.
struct RetainingBody {
    body: BoxBody,
    _request_body: RetainedBody,
    _in_progress: Option<RequestInProgress>,
}

impl MessageBody for RetainingBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
