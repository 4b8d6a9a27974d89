//! `/v1/registrations`. Spec: 20-accounts.md §3 (ACC-31, ACC-32).

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use halcyon_server::accounts::registration::{Finish, RegistrationError};
use halcyon_server::ports::VerificationId;
use halcyon_types::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::{Base64, PrekeyJson, Received, from_hex, to_base64};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/registrations/start", post(start)).route("/v1/registrations/finish", post(finish))
}

#[derive(Deserialize)]
struct StartJson {
    verification_id: String,
    account_id: String,
    request: Base64,
}

#[derive(Deserialize)]
struct FinishJson {
    verification_id: String,
    upload: Base64,
    device_list: Base64,
    #[serde(default)]
    prekeys: Vec<PrekeyJson>,
}

async fn start(State(api): State<Api>, received: Received) -> Result<Json<Value>, Problem> {
    let start: StartJson = received.json()?;
    let verification = VerificationId(from_hex(&start.verification_id, "verification_id")?);
    let account = AccountId::from_bytes(from_hex(&start.account_id, "account_id")?);
    let response = api.services.registrations.start(verification, account, &start.request.0).await?;
    Ok(Json(json!({ "response": to_base64(&response) })))
}

async fn finish(State(api): State<Api>, received: Received) -> Result<(StatusCode, Json<Value>), Problem> {
    let signed = received.signed()?;
    let finish: FinishJson = received.json()?;
    let finish = Finish {
        verification: VerificationId(from_hex(&finish.verification_id, "verification_id")?),
        upload: finish.upload.0,
        device_list: finish.device_list.0.into(),
        prekeys: finish.prekeys.into_iter().map(PrekeyJson::into_prekey).collect(),
    };
    let registered = api.services.registrations.finish(finish, &signed, received.target()).await;
    let registered = registered.map_err(|error: RegistrationError| Problem::from(error).with_time(api.clock.now()))?;
    let answer = json!({
        "account_id": registered.account.to_hex(),
        "push_token": registered.push_token.to_hex(),
    });
    Ok((StatusCode::CREATED, Json(answer)))
}
