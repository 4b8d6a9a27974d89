//! HTTPS: the routes of accounts, directory and linking. Spec: 11-directory.md, 20-accounts.md, 21-linking.md.
//!
//! Owns the shapes of requests and answers. Does not decide: each handler reads, calls one service, and writes.
//!
//! - The list of endpoints is [`routes::ROUTES`]; router and OpenAPI document are held against it by tests.
//! - A body has at most [`BODY_BYTES_MAX`] bytes, a request at most [`REQUEST_TIMEOUT`].
//! - Every error is a [`problem::Problem`] (ACC-3).

pub mod account;
pub mod directory;
pub mod links;
pub mod openapi;
pub mod page;
pub mod private;
pub mod problem;
pub mod registrations;
pub mod reports;
pub mod request;
pub mod routes;
pub mod server;
pub mod sign_ins;
pub mod verifications;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use halcyon_server::ports::Clock;
use halcyon_server::services::Services;
use problem::Problem;

/// Larger than any device list (40 KiB) in base64 beside a few prekeys; small enough to keep in memory by the thousand.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest poll (25 s, LNK-3) and room for a slow disk.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

/// What every handler needs.
#[derive(Clone)]
pub struct Api {
    /// The services.
    pub services: Arc<Services>,
    /// The server's time, for answers that say it.
    pub clock: Arc<dyn Clock>,
    /// What the server says about itself (ACC-5).
    pub about: Arc<server::About>,
}

/// Returns the router of the HTTPS listener; `courier` has the courier's WebSocket (COU-2).
pub fn router(api: Api, courier: Router<Api>) -> Router {
    let routes = Router::new()
        .merge(verifications::routes())
        .merge(registrations::routes())
        .merge(sign_ins::routes())
        .merge(account::routes())
        .merge(links::routes())
        .merge(directory::routes())
        .merge(reports::routes())
        .merge(page::routes())
        .merge(openapi::routes())
        .merge(server::routes())
        .merge(courier);
    routes
        .fallback(|| async { Problem::no_such_endpoint() })
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(observe))
        .with_state(api)
}

/// Bounds a request in time, and counts and traces it by its route, never by its path: paths hold handles and tokens (I9).
async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let begun = std::time::Instant::now();
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| Problem::too_slow().into_response());
    let status = response.status().as_u16();
    let took = begun.elapsed();
    tracing::debug!(%method, route, status, took_us = took.as_micros() as u64, "answered");
    metrics::counter!("halcyon_http_requests_total", "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("halcyon_http_request_seconds", "route" => route).record(took.as_secs_f64());
    response
}
