//! The path of one request, from its head to its answer: refuse what can be refused early, sign
//! in, receive the body, work, wait until what the answer tells of is on the disk, answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use ::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::Span;

use super::answer::Answer;
use super::application::{Application, Session};
use super::basic::{self, Credentials};
use super::bounds::Bounds;
use super::client::{self, Client};
use super::health;
use super::log::{self, RequestId, RequestIds, Route};
use super::metrics::Metrics;
use super::pulse::Pulse;
use super::receive::{self, Held, Memory, Received, Rest};
use super::refusal::{self, Refusal};
use super::security_txt;
use super::spot::Spot;
use crate::ambient::Ambient;
use crate::config::{Contact, Network, PublicUrl};
use crate::dav::{self, Quick};
use crate::ids::{AccountId, SlotId};
use crate::limits;
use crate::seal::{wiped, wiped_briefly, wiped_quickly};
use crate::store::StoreError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The methods that change nothing.
const READS: [&str; 4] = ["GET", "HEAD", "PROPFIND", "REPORT"];

/// What all connections share.
pub(super) struct Front {
    pub application: Arc<dyn Application>,
    ids: RequestIds,
    ambient: Arc<Ambient>,
    pub proxies: Vec<Network>,
    sign_in_networks: Vec<Network>,
    security_contact: Option<(Contact, Option<PublicUrl>)>,
    pub bounds: Bounds,
    spot: Spot,
    work: Arc<Semaphore>,
    steps: Arc<Semaphore>,
    sign_ins: Arc<Semaphore>,
    sign_in_queue: Arc<Semaphore>,
    memory: Memory,
    answers: Memory,
    pub metrics: Arc<Metrics>,
    warned: Once,
}

/// What one connection knows about itself.
pub(super) struct Link {
    pub peer: IpAddr,
    pub tls: bool,
    pub pulse: Arc<Pulse>,
}

/// An answer with what the log needs of it.
struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: Answer,
    reason: Option<&'static str>,
    device: Option<SlotId>,
    rest: Rest,
}

impl Outcome {
    /// For HEAD: hyper leaves the body out on HTTP/1 only, and an HTTP/2 client takes one for a
    /// broken stream (RFC 9113 section 8.1.1).
    fn leave_out_body(&mut self) {
        let length = self.body.size_hint().exact().filter(|length| *length > 0);
        if let Some(length) = length {
            self.headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        self.body = Answer::bytes(Bytes::new());
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        let mut outcome = Outcome::plain(refusal.text);
        let headers = &mut outcome.headers;
        if let Some(seconds) = refusal.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if refusal == refusal::SIGN_IN {
            let challenge = HeaderValue::from_static("Basic realm=\"sealdav\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        Outcome {
            status: refusal.status,
            reason: Some(refusal.reason),
            ..outcome
        }
    }
}

impl Outcome {
    /// A text, for whoever asks.
    fn plain(text: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, kind);
        Outcome {
            status: StatusCode::OK,
            headers,
            body: Answer::bytes(text.into()),
            reason: None,
            device: None,
            rest: Rest::Unread,
        }
    }
}

impl Front {
    pub fn new(
        application: Arc<dyn Application>,
        ambient: Arc<Ambient>,
        proxies: Vec<Network>,
        sign_in_networks: Vec<Network>,
        security_contact: Option<(Contact, Option<PublicUrl>)>,
        bounds: Bounds,
    ) -> std::io::Result<Front> {
        Ok(Front {
            spot: Spot::new()?,
            work: Arc::new(Semaphore::new(bounds.work)),
            steps: Arc::new(Semaphore::new(bounds.steps)),
            sign_ins: Arc::new(Semaphore::new(bounds.sign_ins)),
            sign_in_queue: Arc::new(Semaphore::new(bounds.sign_in_queue)),
            memory: Memory::new(bounds.body_bytes, bounds.account_body_bytes),
            answers: Memory::new(bounds.answer_bytes, bounds.account_answer_bytes),
            metrics: Arc::new(Metrics::new()),
            warned: Once::new(),
            ids: RequestIds::new(&ambient),
            application,
            ambient,
            proxies,
            sign_in_networks,
            security_contact,
            bounds,
        })
    }

    /// Answers one request of a connection.
    pub async fn serve(
        self: Arc<Self>,
        link: Arc<Link>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let beat = link.pulse.begin();
        let id = self.ids.next();
        let version = request.version();
        let client = Client::of(link.peer, link.tls, request.headers(), &self.proxies);
        if client.is_overlooked_proxy(request.headers()) {
            self.warned.call_once(|| {
                tracing::warn!(
                    "requests come through a proxy on this machine that is not in trusted_proxies: all its clients count as one, and failed sign-ins of one shut out the others"
                );
            });
        }
        let method = request.method().clone();
        let route = Route::of(request.uri().path());
        let clocked = self.metrics.begin(&method, route);
        let mut outcome = self.answer(client, id, request).await;
        if method == Method::HEAD {
            outcome.leave_out_body();
        }
        let body = outcome.body.counted(Arc::clone(&self.metrics));
        let mut response = Response::new(body.with(beat));
        *response.status_mut() = outcome.status;
        *response.headers_mut() = outcome.headers;
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id.header());
        // For every answer: a refusal may quote what a client wrote (HARDENING H18).
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if client.https {
            headers.insert(
                STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=63072000"),
            );
        }
        if outcome.rest == Rest::Unread && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answered(clocked, outcome.status.as_u16());
        log::answered(&log::Line {
            id,
            method: &method,
            route: route.name(),
            status: outcome.status,
            reason: outcome.reason,
            device: outcome.device,
            peer: client.address,
        });
        Ok(response)
    }

    async fn answer(&self, client: Client, id: RequestId, request: Request<Incoming>) -> Outcome {
        let (head, body) = request.into_parts();
        let mut request = dav::Request {
            authorities: authorities(client, &head.uri, &head.headers),
            target: target(&head.uri),
            method: head.method,
            headers: head.headers,
            body: Bytes::new(),
            https: client.https,
        };
        let early = match self.early(client, head.version, &head.uri, &request) {
            Some(outcome) => Err(outcome),
            None => {
                self.until_mended().await;
                self.authenticate(client, &mut request)
                    .await
                    .map_err(Outcome::from)
            }
        };
        let session = match early {
            Ok(session) => session,
            Err(mut outcome) => {
                outcome.rest = receive::discard(body, &request.headers, &self.bounds).await;
                return outcome;
            }
        };
        let device = session.device();
        let limit = self.application.body_limit(&request.method);
        let (bounds, account) = (&self.bounds, session.account());
        let received = receive::whole(body, limit, bounds, &self.memory, account).await;
        let mut outcome = match received {
            Ok(received) => {
                self.metrics.bytes_in.more(received.bytes.len() as u64);
                let work = self.work(id, Arc::clone(&session), request, received);
                work.await
            }
            Err(refusal) => refusal.into(),
        };
        if let Some(reason) = outcome.reason {
            session.refused(outcome.status, reason);
        }
        outcome.device = Some(device);
        outcome
    }

    /// Waits for a store that is being opened again, which mostly takes a moment only. When it takes
    /// longer the request goes on, and is refused by whatever needs the store.
    async fn until_mended(&self) {
        let until = Instant::now() + Duration::from_millis(limits::STORE_AWAIT_MILLIS);
        while self.application.is_closed() && Instant::now() < until {
            sleep(Duration::from_millis(limits::STORE_MEND_MILLIS / 4)).await;
        }
    }

    /// What is answered before anybody signs in.
    fn early(
        &self,
        client: Client,
        version: Version,
        uri: &Uri,
        request: &dav::Request,
    ) -> Option<Outcome> {
        let hosts = request.headers.get_all(HOST).iter().count();
        let coded = request
            .headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding != "identity");
        let refusal = if !client.protected {
            refusal::UNPROTECTED
        } else if request.target.len() > limits::REQUEST_TARGET_BYTES {
            refusal::TARGET_TOO_LONG
        } else if request.headers.len() > limits::HEADERS {
            refusal::HEADERS_TOO_MANY
        } else if hosts > 1 || (version == Version::HTTP_11 && hosts == 0) {
            // RFC 9112 section 3.2.
            refusal::HOST
        } else if coded {
            refusal::CODED
        } else if from_another_site(request) {
            refusal::CROSS_SITE
        } else if uri.path() == "/healthz" && matches!(request.method, Method::GET | Method::HEAD) {
            return Some(self.health());
        } else if let Some((contact, url)) = &self.security_contact
            && uri.path() == security_txt::PATH
            && matches!(request.method, Method::GET | Method::HEAD)
        {
            let text = security_txt::text(contact, url.as_ref(), self.ambient.now());
            return Some(Outcome::plain(text));
        } else {
            return self
                .application
                .anonymous(request)
                .map(|response| self.outcome(response, Span::none()));
        };
        Some(refusal.into())
    }

    fn health(&self) -> Outcome {
        let condition = self.application.health();
        let (status, word) = health::told(condition);
        Outcome {
            status,
            reason: health::reason(condition),
            ..Outcome::plain(word)
        }
    }

    async fn authenticate(
        &self,
        client: Client,
        request: &mut dav::Request,
    ) -> Result<Arc<dyn Session>, Refusal> {
        let taken = wiped_briefly(|| basic::take(&mut request.headers));
        let Some(Credentials { name, secret }) = taken else {
            return Err(refusal::SIGN_IN);
        };
        let networks = &self.sign_in_networks;
        if !networks.is_empty() && !networks.iter().any(|one| one.contains(client.address)) {
            return Err(refusal::NETWORK);
        }
        if let Some(session) = wiped_briefly(|| self.application.cached(&name, &secret)) {
            return Ok(session);
        }
        // An app password is tried apart from those that need an Argon2 run, whose queue may be long.
        let held = permit_of(&self.work).await?;
        let (application, peer) = (Arc::clone(&self.application), client.address);
        let quick = move || {
            let _held = held;
            let done = wiped(|| application.sign_in_without_argon2(&name, &secret, peer));
            done.ok_or((name, secret))
        };
        let (name, secret) = match tokio::task::spawn_blocking(quick).await {
            Ok(Ok(done)) => return done.map_err(refusal::of_sign_in),
            Ok(Err(credentials)) => credentials,
            Err(_) => return Err(refusal::PANIC),
        };
        let queued = Arc::clone(&self.sign_in_queue).try_acquire_owned();
        let queued = queued.map_err(|_| refusal::BUSY)?;
        let held = permit_of(&self.sign_ins).await?;
        drop(queued);
        let application = Arc::clone(&self.application);
        let sign_in = move || {
            // Held by the work and not by the request: a client that goes away frees no thread.
            let _held = held;
            wiped(|| application.sign_in(&name, &secret, peer))
        };
        match tokio::task::spawn_blocking(sign_in).await {
            Ok(done) => done.map_err(refusal::of_sign_in),
            Err(_) => Err(refusal::PANIC),
        }
    }

    async fn work(
        &self,
        id: RequestId,
        session: Arc<dyn Session>,
        mut request: dav::Request,
        received: Received,
    ) -> Outcome {
        let Received { bytes, held } = received;
        request.body = bytes;
        let span = tracing::info_span!("request", %id);
        let account = session.account();
        let is_read = READS.contains(&request.method.as_str());
        let quick = match dav::method::find(&request.method).and_then(|row| row.quick) {
            _ if request.body.len() > limits::QUICK_BODY_BYTES => None,
            None => None,
            Some(Quick::Read(_)) => self.on_the_spot(&*session, &request, &span),
            Some(Quick::Write(_)) => {
                let turn = self.spot.turn(account).await;
                turn.and_then(|_turn| self.on_the_spot(&*session, &request, &span))
            }
        };
        let done = match quick {
            Some(done) => done,
            None => self.on_the_pool(session, request, held, span.clone()).await,
        };
        let outcome = match done {
            // Waited for here, off the pool: many wait for one sync together, and hold no thread.
            Ok(response) => match response.receipt.clone().await {
                Ok(()) => self.within_memory(account, is_read, self.outcome(response, span)),
                Err(StoreError::Full) => refusal::DISK_FULL.into(),
                Err(error) => {
                    tracing::error!(%id, %error, "an answer was withheld because its commit is not durable");
                    refusal::NOT_DURABLE.into()
                }
            },
            Err(refusal) => refusal.into(),
        };
        Outcome {
            rest: Rest::Nothing,
            ..outcome
        }
    }

    /// The answer of a request that takes microseconds; none when it has to go to the pool.
    fn on_the_spot(
        &self,
        session: &dyn Session,
        request: &dav::Request,
        span: &Span,
    ) -> Option<Result<dav::Response, Refusal>> {
        let _place = self.spot.take()?;
        let work = || wiped_quickly(|| span.in_scope(|| session.handle_quickly(request)));
        let done = catch_unwind(AssertUnwindSafe(work));
        done.map_err(|_| refusal::PANIC).transpose()
    }

    async fn on_the_pool(
        &self,
        session: Arc<dyn Session>,
        request: dav::Request,
        held: Held,
        span: Span,
    ) -> Result<dav::Response, Refusal> {
        let permit = permit_of(&self.work).await?;
        let work = move || {
            let _held: (OwnedSemaphorePermit, Held) = (permit, held);
            wiped(|| span.in_scope(|| session.handle(request)))
        };
        let done = tokio::task::spawn_blocking(work).await;
        // The panic hook has logged where, and the content is in neither.
        done.map_err(|_| refusal::PANIC)
    }

    /// The answer with the memory that it takes until its client has taken it. A read is refused
    /// when there is none left; what a write did is never denied.
    fn within_memory(&self, account: AccountId, is_read: bool, outcome: Outcome) -> Outcome {
        let bytes = outcome.body.buffered();
        if bytes == 0 {
            return outcome;
        }
        match self.answers.hold(account, bytes) {
            Ok(held) => Outcome {
                body: outcome.body.holding(held),
                ..outcome
            },
            Err(refusal) if is_read => refusal.into(),
            Err(_) => outcome,
        }
    }

    /// `span` is what the log tells of the steps of a streamed body.
    fn outcome(&self, response: dav::Response, span: Span) -> Outcome {
        Outcome {
            status: response.status,
            headers: response.headers,
            body: Answer::of(response.body, &self.steps, span),
            reason: response.refusal,
            device: None,
            rest: Rest::Unread,
        }
    }
}

async fn permit_of(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.map_err(|_| refusal::BUSY)
}

/// Whether a browser says that another site's page makes it send this (HARDENING H17): it adds the
/// credentials that somebody once gave it for this server. Other clients send no such header.
fn from_another_site(request: &dav::Request) -> bool {
    let site = request.headers.get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    foreign && !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The raw path and query; `*` stands for the whole server.
fn target(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or("/", |both| both.as_str())
        .to_owned()
}

/// `:authority`, or the authority of an absolute target, goes before `Host` (RFC 9112 section
/// 3.2.2). A proxy may write its own there, and tell what its client used.
fn authorities(client: Client, uri: &Uri, headers: &HeaderMap) -> Vec<String> {
    let host = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let sent = uri.authority().map(|authority| authority.as_str());
    let mut authorities: Vec<String> = sent.or_else(host).map(str::to_owned).into_iter().collect();
    if client.proxied {
        authorities.extend(client::forwarded_hosts(headers));
    }
    authorities
}
