//! `/v1/sign-ins`. Spec: 20-accounts.md §4 (ACC-40, ACC-41).

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::{Base64, Received, Source, from_hex, to_base64};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/sign-ins/start", post(start)).route("/v1/sign-ins/finish", post(finish))
}

#[derive(Deserialize)]
struct StartJson {
    handle: String,
    ke1: Base64,
}

#[derive(Deserialize)]
struct FinishJson {
    sign_in_id: String,
    ke3: Base64,
}

async fn start(State(api): State<Api>, source: Source, received: Received) -> Result<Json<Value>, Problem> {
    let start: StartJson = received.json()?;
    let started = api.services.sign_ins.start(&start.handle, &start.ke1.0, source.0).await?;
    Ok(Json(json!({ "sign_in_id": hex::encode(started.id), "ke2": to_base64(&started.ke2) })))
}

async fn finish(State(api): State<Api>, received: Received) -> Result<Json<Value>, Problem> {
    let finish: FinishJson = received.json()?;
    let id = from_hex(&finish.sign_in_id, "sign_in_id")?;
    let signed_in = api.services.sign_ins.finish(id, &finish.ke3.0).await?;
    Ok(Json(json!({ "ticket": to_base64(&signed_in.ticket), "account_id": signed_in.account.to_hex() })))
}
