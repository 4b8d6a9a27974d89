//! `/v1/links`. Spec: 21-linking.md (LNK-1 to LNK-5, LNK-7, LNK-8, LNK-10).

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use halcyon_server::accounts::request::Effect;
use halcyon_server::linking::{LinkError, Open, Viewer};
use halcyon_server::ports::{Link, LinkState};
use halcyon_types::{LinkId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::request::{Base64, PrekeyJson, Received, Segment, from_hex, to_base64};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/links", post(open).get(list))
        .route("/v1/links/{id}", get(look))
        .route("/v1/links/{id}/challenge", post(challenge))
        .route("/v1/links/{id}/reveal", post(reveal))
        .route("/v1/links/{id}/reject", post(reject))
        .route("/v1/links/{id}/complete", post(complete))
}

#[derive(Deserialize)]
struct OpenJson {
    ticket: Base64,
    entry: Base64,
    entry_signature: Base64,
    #[serde(default)]
    prekeys: Vec<PrekeyJson>,
    ephemeral: Base64,
    commitment: Base64,
}

#[derive(Deserialize)]
struct ChallengeJson {
    ephemeral: Base64,
    nonce: Base64,
}

#[derive(Deserialize)]
struct RevealJson {
    nonce: Base64,
}

#[derive(Deserialize)]
struct CompleteJson {
    device_list: Base64,
    sealed: Base64,
}

#[derive(Deserialize)]
struct LookQuery {
    #[serde(default)]
    wait_s: u64,
}

async fn open(State(api): State<Api>, received: Received) -> Result<(StatusCode, Json<Value>), Problem> {
    let signed = received.signed()?;
    let open: OpenJson = received.json()?;
    let open = Open {
        ticket: open.ticket.exactly("ticket")?,
        entry: open.entry.0.into(),
        entry_signature: open.entry_signature.0,
        prekeys: open.prekeys.into_iter().map(PrekeyJson::into_prekey).collect(),
        ephemeral: open.ephemeral.exactly("ephemeral")?,
        commitment: open.commitment.exactly("commitment")?,
    };
    let id = api.services.links.open(open, &signed, received.target()).await.map_err(|error| problem(&api, error))?;
    Ok((StatusCode::CREATED, Json(json!({ "link_id": id.to_hex() }))))
}

async fn list(State(api): State<Api>, received: Received) -> Result<Json<Value>, Problem> {
    let member = received.member(&api, Effect::Reads).await?;
    let links = api.services.links.list(member).await?;
    let now = api.clock.now();
    let links: Vec<Value> = links.iter().map(|link| link_json(link, Viewer::Member, now)).collect();
    Ok(Json(json!({ "links": links })))
}

async fn look(
    State(api): State<Api>,
    Segment(id): Segment,
    query: Result<Query<LookQuery>, QueryRejection>,
    received: Received,
) -> Result<Json<Value>, Problem> {
    let signed = received.signed()?;
    let links = &api.services.links;
    let viewed = links.view(link_id(&id)?, &signed, received.target()).await;
    let (mut link, viewer) = viewed.map_err(|error| problem(&api, error))?;
    let Query(query) = query.map_err(|_| Problem::malformed("wait_s in the query is not a number of seconds"))?;
    if query.wait_s > 0 {
        let waited = links.wait(link, viewer, Duration::from_secs(query.wait_s)).await;
        link = waited.map_err(|error| problem(&api, error))?;
    }
    Ok(Json(link_json(&link, viewer, api.clock.now())))
}

async fn challenge(State(api): State<Api>, Segment(id): Segment, received: Received) -> Result<StatusCode, Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    let challenge: ChallengeJson = received.json()?;
    let (ephemeral, nonce) = (challenge.ephemeral.exactly("ephemeral")?, challenge.nonce.exactly("nonce")?);
    let taken = api.services.links.challenge(link_id(&id)?, member, ephemeral, nonce).await;
    taken.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&api, error))
}

async fn reveal(State(api): State<Api>, Segment(id): Segment, received: Received) -> Result<StatusCode, Problem> {
    let signed = received.signed()?;
    let reveal: RevealJson = received.json()?;
    let nonce = reveal.nonce.exactly("nonce")?;
    let taken = api.services.links.reveal(link_id(&id)?, nonce, &signed, received.target()).await;
    taken.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&api, error))
}

async fn reject(State(api): State<Api>, Segment(id): Segment, received: Received) -> Result<StatusCode, Problem> {
    let signed = received.signed()?;
    let taken = api.services.links.reject(link_id(&id)?, &signed, received.target()).await;
    taken.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&api, error))
}

async fn complete(State(api): State<Api>, Segment(id): Segment, received: Received) -> Result<StatusCode, Problem> {
    let member = received.member(&api, Effect::Changes).await?;
    let complete: CompleteJson = received.json()?;
    let (list, sealed) = (complete.device_list.0.into(), complete.sealed.0.into());
    let taken = api.services.links.complete(link_id(&id)?, member, list, sealed).await;
    taken.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&api, error))
}

fn link_id(text: &str) -> Result<LinkId, Problem> {
    from_hex(text, "link_id").map(LinkId::from_bytes)
}

fn problem(api: &Api, error: LinkError) -> Problem {
    Problem::from(error).with_time(api.clock.now())
}

/// What each side may see, and needs for its next step (LNK-2, LNK-3, LNK-5, LNK-10).
fn link_json(link: &Link, viewer: Viewer, now: Timestamp) -> Value {
    let mut answer = json!({ "link_id": link.new.id.to_hex(), "state": state_name(link, now) });
    match viewer {
        Viewer::Member => {
            answer["entry"] = json!(to_base64(&link.new.entry));
            answer["entry_signature"] = json!(to_base64(&link.new.entry_signature));
            answer["ephemeral"] = json!(to_base64(&link.new.ephemeral));
            answer["commitment"] = json!(to_base64(&link.new.commitment));
            answer["created_ms"] = json!(link.new.created.as_millis());
            if let Some((approver, _, nonce)) = &link.challenge {
                answer["approver_device"] = json!(approver.to_hex());
                answer["nonce"] = json!(to_base64(nonce));
            }
            // LNK-5: rN, once it was revealed.
            if let LinkState::Revealed { nonce } = &link.state {
                answer["nonce"] = json!(to_base64(nonce));
            }
        }
        Viewer::NewDevice => {
            if let Some((approver, ephemeral, nonce)) = &link.challenge {
                answer["approver_device"] = json!(approver.to_hex());
                answer["ephemeral"] = json!(to_base64(ephemeral));
                answer["nonce"] = json!(to_base64(nonce));
            }
            if let LinkState::Approved { sealed, list, push_token } = &link.state {
                answer["sealed"] = json!(to_base64(sealed));
                answer["device_list"] = json!(to_base64(list));
                answer["push_token"] = json!(push_token.to_hex());
            }
        }
    }
    answer
}

fn state_name(link: &Link, now: Timestamp) -> &'static str {
    match link.state {
        // What came to an end stays so; what did not is over when its time is.
        LinkState::Approved { .. } => "approved",
        LinkState::Rejected => "rejected",
        _ if link.new.expires <= now => "expired",
        LinkState::Waiting => "waiting",
        LinkState::Challenged => "challenged",
        LinkState::Revealed { .. } => "revealed",
    }
}
