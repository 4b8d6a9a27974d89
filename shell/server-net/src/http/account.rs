//! `/v1/account` and `/v1/handles`. Spec: 20-accounts.md §5 (ACC-50 to ACC-52).

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use halcyon_server::accounts::request::Effect;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::{Received, Segment, Source, to_base64};
use super::verifications::begun_json;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/account", get(profile))
        .route("/v1/handles", post(add))
        .route("/v1/handles/{handle}", delete(remove))
}

#[derive(Deserialize)]
struct Add {
    handle: String,
}

async fn profile(State(api): State<Api>, received: Received) -> Result<Json<Value>, Problem> {
    let member = received.member(&api, Effect::Reads).await?;
    let profile = api.services.handles.profile(member).await?;
    let handles: Vec<Value> = profile
        .handles
        .iter()
        .map(|(handle, added)| json!({ "handle": handle.as_uri(), "added_ms": added.as_millis() }))
        .collect();
    Ok(Json(json!({
        "account_id": member.account.to_hex(),
        "handles": handles,
        "device_list": to_base64(&profile.list.signed),
        "list_version": profile.list.version,
    })))
}

async fn add(State(api): State<Api>, source: Source, received: Received) -> Result<(StatusCode, Json<Value>), Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    let add: Add = received.json()?;
    let begun = api.services.verifications.begin_further(member.account, &add.handle, source.0).await?;
    Ok((StatusCode::ACCEPTED, Json(begun_json(begun))))
}

async fn remove(State(api): State<Api>, Segment(handle): Segment, received: Received) -> Result<StatusCode, Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    api.services.handles.remove(member, &handle).await?;
    Ok(StatusCode::NO_CONTENT)
}
