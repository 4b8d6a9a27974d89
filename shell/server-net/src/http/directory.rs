//! `/v1/lookup`, `/v1/device-list`, `/v1/prekeys`: protobuf. Spec: 11-directory.md (DIR-4, DIR-10, DIR-20).

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use halcyon_server::accounts::request::Effect;

use super::Api;
use super::problem::Problem;
use super::request::{PROTOBUF, Received};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/lookup", post(lookup))
        .route("/v1/device-list", put(replace))
        .route("/v1/prekeys", put(upload))
}

async fn lookup(State(api): State<Api>, received: Received) -> Result<Response, Problem> {
    // A lookup that is sent twice finds its handles asked before, and costs nothing.
    let member = received.member(&api, Effect::Reads).await?;
    received.is_protobuf()?;
    let answer = api.services.lookups.answer(member, received.body().clone()).await?;
    Ok(([(header::CONTENT_TYPE, PROTOBUF)], answer).into_response())
}

async fn replace(State(api): State<Api>, received: Received) -> Result<StatusCode, Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    received.is_protobuf()?;
    api.services.lists.replace(member, received.body().clone()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload(State(api): State<Api>, received: Received) -> Result<StatusCode, Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    received.is_protobuf()?;
    api.services.prekeys.put(member, received.body().clone()).await?;
    Ok(StatusCode::NO_CONTENT)
}
