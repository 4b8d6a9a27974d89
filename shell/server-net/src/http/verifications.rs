//! `/v1/verifications`. Spec: 20-accounts.md §2 (ACC-20, ACC-21, ACC-23).

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use halcyon_server::accounts::verification::Begun;
use halcyon_server::ports::VerificationId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::{Received, Segment, Source, from_hex};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/verifications", post(begin))
        .route("/v1/verifications/{id}", get(look))
        .route("/v1/verifications/{id}/code", post(verify))
}

#[derive(Deserialize)]
struct Begin {
    handle: String,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

async fn begin(
    State(api): State<Api>,
    source: Source,
    received: Received,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let begin: Begin = received.json()?;
    let begun = api.services.verifications.begin(&begin.handle, source.0).await?;
    Ok((StatusCode::ACCEPTED, Json(begun_json(begun))))
}

/// The answer is the same whoever has the handle (ACC-20).
pub(super) fn begun_json(begun: Begun) -> Value {
    json!({ "verification_id": hex::encode(begun.id.0), "expires_at_ms": begun.expires.as_millis() })
}

async fn look(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Value>, Problem> {
    let id = VerificationId(from_hex(&id, "verification_id")?);
    let verified = api.services.verifications.is_verified(id).await?;
    Ok(Json(json!({ "verified": verified })))
}

async fn verify(State(api): State<Api>, Segment(id): Segment, received: Received) -> Result<Json<Value>, Problem> {
    let id = VerificationId(from_hex(&id, "verification_id")?);
    let code: Code = received.json()?;
    api.services.verifications.verify_code(id, &code.code).await?;
    Ok(Json(json!({ "verified": true })))
}
