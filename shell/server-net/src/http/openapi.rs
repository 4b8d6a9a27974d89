//! `GET /v1/openapi.json`: the endpoints for programs, made from the table of routes.

use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::Api;
use super::routes::{Caller, Media, ROUTES, Route};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()) }))
}

/// Made once: anybody may ask for it, as often as ACC-6 lets them.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// Returns the OpenAPI 3.1 document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Halcyon",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, directory and linking. Bodies are described in spec/, protobuf ones in proto/."
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "device": {
                "type": "apiKey", "in": "header", "name": "Halcyon-Signature",
                "description": "ACC-1: five headers, signed by the device key."
            } },
            "schemas": { "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
                    "detail": { "type": "string" }, "code": { "type": "string" },
                    "retry_after_s": { "type": "integer" }, "server_time_ms": { "type": "integer" },
                    "tries_left": { "type": "integer" },
                    "device_list": { "type": "string", "contentEncoding": "base64" }
                }
            } }
        }
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "description": format!("{}. Caller: {:?}.", route.requirement, route.caller),
        "x-halcyon-caller": format!("{:?}", route.caller),
        "responses": {
            route.status.to_string(): response(route.response),
            "default": { "description": "ACC-3", "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" }
            } } }
        }
    });
    if let Some(media) = name(route.request) {
        operation["requestBody"] = json!({ "required": true, "content": { media: {} } });
    }
    let parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if !matches!(route.caller, Caller::Anyone | Caller::VerificationHolder) {
        operation["security"] = json!([{ "device": [] }]);
    }
    operation
}

fn response(media: Media) -> Value {
    match name(media) {
        Some(media) => json!({ "description": "Success", "content": { media: {} } }),
        None => json!({ "description": "Success" }),
    }
}

fn name(media: Media) -> Option<&'static str> {
    match media {
        Media::None | Media::WebSocket => None,
        Media::Json => Some("application/json"),
        Media::Protobuf => Some("application/x-protobuf"),
        Media::Html => Some("text/html"),
    }
}
