//! `GET /v1/server`: what a client has to know of a server besides its address (ACC-5).

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Api;

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The host name that signed requests and connects name.
    pub audience: String,
    /// Where the native courier listens, as `host:port`.
    pub courier: String,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/server", get(about))
}

async fn about(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "audience": api.about.audience, "courier": api.about.courier }))
}
