//! Small makers of answers, so that every method builds them alike.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::message::{Body, Response, Steps};
use crate::store::Receipt;

/// The media type of every XML answer (RFC 4918 section 8.2).
pub const XML_TYPE: &str = "application/xml; charset=utf-8";

impl Response {
    /// An answer without a body. `Dav::handle` gives every answer its receipt.
    pub fn new(status: StatusCode) -> Self {
        // Room for what a GET has, and what http adds.
        let headers = HeaderMap::with_capacity(12);
        let (body, receipt) = (Body::Empty, Receipt::done());
        Response {
            status,
            headers,
            body,
            receipt,
            refusal: None,
        }
    }

    /// An answer with an XML document.
    pub fn xml(status: StatusCode, document: impl Into<Bytes>) -> Self {
        let mut response = Response::new(status).with_fixed(CONTENT_TYPE, XML_TYPE);
        response.body = Body::Full(document.into());
        response
    }

    /// 207 with a document that is written while it is sent (RFC 4918 section 13).
    pub fn multistatus(steps: Steps) -> Self {
        let mut response =
            Response::new(StatusCode::MULTI_STATUS).with_fixed(CONTENT_TYPE, XML_TYPE);
        response.body = Body::Stream(steps);
        response
    }

    /// With one more header, whose value is always the same.
    pub fn with_fixed(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// With one more header. A value that no header can carry is left out: ours are ASCII.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}
