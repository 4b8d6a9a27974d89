//! HTTPS requests. Port: `halcyon_client::ports::Http`.
//!
//! Owns connections and their reuse, timeouts and the bound on answers. Does not know what is asked.
//!
//! - A request that may have reached the server is not repeated here: its caller decides.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use halcyon_client::{
    ServerAddress,
    ports::{Http, HttpError, HttpRequest, HttpResponse},
};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;

use crate::tls::{ConnectError, Connector};

/// Connections that wait to be used again: requests, a long poll, and one to spare.
const IDLE_MAX: usize = 3;
/// Servers and what is in between close silent connections after half a minute or more.
const IDLE_FOR_MAX: Duration = Duration::from_secs(15);
const USER_AGENT: &str = concat!("halcyon/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one server.
pub(crate) struct HttpsClient {
    server: ServerAddress,
    tls: Connector,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// Why a request on one connection has no answer.
enum SendError {
    /// It did not leave: the connection was closed while it was idle.
    NotSent,
    Failed(HttpError),
}

impl HttpsClient {
    pub(crate) fn new(server: ServerAddress, tls: Connector) -> Self {
        Self { server, tls, idle: Mutex::new(Vec::new()) }
    }

    async fn call_within(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        while let Some(connection) = self.take_idle() {
            match self.send(connection, request).await {
                Err(SendError::NotSent) => {}
                Err(SendError::Failed(error)) => return Err(error),
                Ok(response) => return Ok(response),
            }
        }
        let connection = self.open().await?;
        match self.send(connection, request).await {
            Ok(response) => Ok(response),
            Err(SendError::Failed(error)) => Err(error),
            Err(SendError::NotSent) => Err(HttpError::Broken("the server closed the connection".to_owned())),
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let stream = self.tls.connect(self.server.host(), self.server.port()).await.map_err(|error| match error {
            ConnectError::Unreachable(reason) => HttpError::Unreachable(reason),
            ConnectError::Untrusted(reason) => HttpError::Untrusted(reason),
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the connection; what goes wrong is seen by the request that it goes wrong for.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn send(
        &self,
        mut connection: SendRequest<Full<Bytes>>,
        request: &HttpRequest,
    ) -> Result<HttpResponse, SendError> {
        if connection.ready().await.is_err() {
            return Err(SendError::NotSent);
        }
        let built = self.build(request).map_err(SendError::Failed)?;
        let response = connection.send_request(built).await.map_err(|error| match error.is_canceled() {
            true => SendError::NotSent,
            false => SendError::Failed(broken(error)),
        })?;
        let read = read(response, request.answer_bytes_max).await.map_err(SendError::Failed)?;
        self.put_idle(connection);
        Ok(read)
    }

    fn build(&self, request: &HttpRequest) -> Result<Request<Full<Bytes>>, HttpError> {
        let mut builder = Request::builder()
            .method(request.method.as_str())
            .uri(&request.path)
            .header(header::HOST, self.server.authority())
            .header(header::USER_AGENT, USER_AGENT);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        builder.body(Full::new(request.body.clone())).map_err(|error| HttpError::Broken(error.to_string()))
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_FOR_MAX && !idle.connection.is_closed());
        idle.pop().map(|idle| idle.connection)
    }

    fn put_idle(&self, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

#[async_trait::async_trait]
impl Http for HttpsClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let called = tokio::time::timeout(request.timeout.to_std(), self.call_within(&request)).await;
        called.unwrap_or(Err(HttpError::TimedOut))
    }
}

async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let retry_after = head.headers.get(header::RETRY_AFTER);
    let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = Limited::new(body, bytes_max).collect().await.map_err(|error| {
        match error.downcast_ref::<LengthLimitError>() {
            Some(_) => HttpError::TooLarge,
            None => HttpError::Broken(error.to_string()),
        }
    })?;
    Ok(HttpResponse { status: head.status.as_u16(), retry_after_s, body: body.to_bytes() })
}

fn broken(error: hyper::Error) -> HttpError {
    HttpError::Broken(error.to_string())
}
