//! `/v1/reports`. Spec: 20-accounts.md §6 (ACC-61).

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use halcyon_server::accounts::request::Effect;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::Received;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/reports", post(report))
}

async fn report(State(api): State<Api>, received: Received) -> Result<(StatusCode, Json<Value>), Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    received.is_protobuf()?;
    let taken = api.services.reports.take(member, received.body().clone()).await?;
    let answer = json!({ "report_id": taken.id.to_hex(), "kept_until_ms": taken.kept_until.as_millis() });
    Ok((StatusCode::CREATED, Json(answer)))
}
