//! The agent's API over HTTP on this machine's loopback, for programs that have no Unix sockets: `POST /rpc`, and `GET /events` as
//! server-sent events.
//!
//! Owns who may ask: whoever has the token, and no web page. Does not know methods: each request is a caller of the socket's protocol.
//!
//! - The token is made anew by each agent, in a file that only its owner reads, and compared in constant time.
//! - A request with an `Origin`, or for another host, comes from a browser that a page sent here, and is refused.

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use halcyon_crypto::SecretBytes;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming as Body};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, ORIGIN, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response as HttpResponse, StatusCode};
use hyper_util::rt::TokioIo;
use rand::RngCore;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::service::Service;
use super::wire::{self, LINE_BYTES_MAX, Response, RpcError, VERSION, code};
use crate::failure::Failure;

/// Holds the token, in the profile's folder.
pub(crate) const TOKEN_FILE: &str = "agent.token";
/// Events that wait for a reader; more wait at the agent, until its patience ends.
const EVENTS_WAITING: usize = 64;

type Answer = HttpResponse<BoxBody<Bytes, Infallible>>;

/// The listener, and who may ask it.
pub(crate) struct Http {
    listener: TcpListener,
    token: SecretBytes,
    file: PathBuf,
}

impl Http {
    /// Listens on a port of the loopback, 0 for any, and writes the token.
    ///
    /// # Errors
    /// [`Failure`] if the port is taken, or the token cannot be written.
    pub(crate) async fn bind(port: u16, profile: &Path) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
            Failure::network(format!("the agent cannot listen on port {port} of the loopback: {error}"))
                .next("take another one, or 0 for any")
        })?;
        let mut random = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut random);
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = profile.join(TOKEN_FILE);
        write_token(&file, &token)
            .map_err(|error| Failure::network(format!("the token {} cannot be written: {error}", file.display())))?;
        Ok(Self { listener, token: SecretBytes::from_vec(token.into_bytes()), file })
    }

    /// Returns where it listens.
    ///
    /// # Errors
    /// [`Failure`] if the system does not say.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        self.listener.local_addr().map_err(|error| Failure::network(format!("no address to listen at: {error}")))
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self: &Arc<Self>, service: Arc<Service>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(self).attend(stream, Arc::clone(&service)))),
                Err(error) => {
                    tracing::warn!(%error, "a caller over HTTP could not be taken");
                    tokio::time::sleep(super::service::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self: Arc<Self>, stream: TcpStream, service: Arc<Service>) {
        let answer = service_fn(|request| {
            let (http, service) = (Arc::clone(&self), Arc::clone(&service));
            async move { Ok::<_, Infallible>(http.answer(request, &service).await.unwrap_or_else(Refusal::answer)) }
        });
        // Without a timer a slow caller holds a connection; it has no other effect, and the token's owner is one user.
        if let Err(error) =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await
        {
            tracing::debug!(%error, "a connection over HTTP failed");
        }
    }

    async fn answer(&self, request: HttpRequest<Body>, service: &Arc<Service>) -> Result<Answer, Refusal> {
        self.check(request.headers())?;
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/rpc") => rpc(request, service).await,
            (&Method::GET, "/events") => events(&request, service).await,
            (_, "/rpc" | "/events") => Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "POST /rpc, or GET /events")),
            _ => Err(Refusal(StatusCode::NOT_FOUND, "there is POST /rpc, and GET /events")),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if !["127.0.0.1", "localhost"].contains(&name) || headers.contains_key(ORIGIN) {
            return Err(Refusal(StatusCode::FORBIDDEN, "web pages are not served"));
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match given {
            Some(given) if SecretBytes::copy_of(given).ct_eq(&self.token) => Ok(()),
            _ => Err(Refusal(StatusCode::UNAUTHORIZED, "the token is in the file agent.token of the profile's folder")),
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // It opens nothing any more.
        let _ = fs::remove_file(&self.file);
    }
}

fn write_token(file: &Path, token: &str) -> std::io::Result<()> {
    // An older one may have been opened to others by hand.
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(token.as_bytes())
}

/// Why a request gets no further, and what it should have been.
struct Refusal(StatusCode, &'static str);

impl Refusal {
    fn answer(self) -> Answer {
        let Self(status, what) = self;
        let mut answer = with_body(status, "application/json", &json!({ "error": what }).to_string());
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

fn with_body(status: StatusCode, kind: &'static str, body: &str) -> Answer {
    let mut answer = HttpResponse::new(Full::from(body.to_owned()).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    answer
}

/// One request of the protocol, and its answer.
async fn rpc(request: HttpRequest<Body>, service: &Arc<Service>) -> Result<Answer, Refusal> {
    let body = Limited::new(request.into_body(), LINE_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a request has at most 1 MiB"))?;
    // It may hold a passphrase.
    let body = SecretBytes::from_vec(body.to_bytes().to_vec());
    let mut caller = Caller::of(service)?;
    let answer = match one_call(&body) {
        Ok(request) => caller.ask(&request).await?,
        Err(error) => serde_json::to_string(&Response::<Value>::new(None, Err(error))).unwrap_or_default(),
    };
    Ok(with_body(StatusCode::OK, "application/json", &answer))
}

/// Returns a request with an id, whose results come in its answer.
fn one_call(body: &SecretBytes) -> Result<Value, RpcError> {
    let value: Value = serde_json::from_slice(body.expose())
        .map_err(|error| RpcError::new(code::PARSE, format!("this is no JSON: {error}")))?;
    let streams = |params: &Map<String, Value>| ["stream", "ask"].iter().any(|name| params.contains_key(*name));
    if value["params"].as_object().is_some_and(streams) {
        let what = "over HTTP, `stream` and `ask` have no place: GET /events is a stream";
        return Err(RpcError::new(code::INVALID_PARAMS, what));
    }
    if value.get("id").is_none() {
        return Err(RpcError::new(code::INVALID_REQUEST, "over HTTP, a request has an id"));
    }
    Ok(value)
}

/// What `listen` prints, as server-sent events; the number of a message is its id, with which a reader comes back.
async fn events(request: &HttpRequest<Body>, service: &Arc<Service>) -> Result<Answer, Refusal> {
    let asked = request.uri().query().and_then(|query| query.strip_prefix("after="));
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let mut params = json!({"stream": true});
    if let Some(after) = last.or(asked) {
        params["after"] = json!(after);
    }
    let mut caller = Caller::of(service)?;
    caller.send(&json!({"jsonrpc": VERSION, "id": 1, "method": "listen", "params": params})).await?;
    // Not every answer is a stream: the profile may be locked.
    let first = caller.line().await?;
    if first.get("method").is_none() {
        return Ok(with_body(StatusCode::CONFLICT, "application/json", &first.to_string()));
    }
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(EVENTS_WAITING);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(line) = next.filter(|line| line.get("method").is_some()) {
            // A reader that left: dropping the caller ends the call.
            if sender.send_data(event(&line["params"]["value"])).await.is_err() {
                return;
            }
            next = caller.line().await.ok();
        }
    });
    let mut answer = HttpResponse::new(body.boxed());
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn event(value: &Value) -> Bytes {
    let kind = value["type"].as_str().unwrap_or("other");
    let id = value["number"].as_u64().map(|number| format!("id: {number}\n")).unwrap_or_default();
    Bytes::from(format!("event: {kind}\n{id}data: {value}\n\n"))
}

/// A caller of the socket's protocol, within this process.
struct Caller {
    writer: OwnedWriteHalf,
    lines: Lines<BufReader<OwnedReadHalf>>,
}

impl Caller {
    fn of(service: &Arc<Service>) -> Result<Self, Refusal> {
        let pair = || -> std::io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
            let (ours, theirs) = UnixStream::pair()?;
            let theirs = theirs.into_std()?;
            theirs.set_nonblocking(false)?;
            Ok((ours, theirs))
        };
        let (ours, theirs) = pair().map_err(|_| BUSY)?;
        service.admit(theirs);
        let (reader, writer) = ours.into_split();
        Ok(Self { writer, lines: BufReader::new(reader).lines() })
    }

    async fn send(&mut self, request: &Value) -> Result<(), Refusal> {
        let line = wire::line(request).map_err(|_| BUSY)?;
        self.writer.write_all(SecretBytes::from_vec(line).expose()).await.map_err(|_| BUSY)
    }

    async fn line(&mut self) -> Result<Value, Refusal> {
        let line = self.lines.next_line().await.ok().flatten().ok_or(BUSY)?;
        serde_json::from_str(&line).map_err(|_| BUSY)
    }

    /// Returns the answer to a request, as it came.
    async fn ask(&mut self, request: &Value) -> Result<String, Refusal> {
        self.send(request).await?;
        self.lines.next_line().await.ok().flatten().ok_or(BUSY)
    }
}

/// The agent ends, or has too many callers.
const BUSY: Refusal = Refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent ends, or serves too many at once");
