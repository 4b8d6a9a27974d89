//! `/verify/{token}`: the page behind the link in a mail. Spec: 20-accounts.md §2 (ACC-22).
//!
//! - `GET` changes nothing: mail scanners and previews follow links. Only the button's `POST` verifies.
//! - The page runs no scripts, loads nothing, is kept nowhere, and does not tell other sites where it was.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use halcyon_server::accounts::verification::VerifyError;

use super::Api;
use super::request::{Segment, from_hex};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/verify/{token}", get(show).post(press))
}

async fn show(State(api): State<Api>, Segment(token): Segment) -> Response {
    let looked = match from_hex::<32>(&token, "token") {
        Ok(token) => api.services.verifications.look_at_link(&token).await.map(|_| ()),
        Err(_) => Err(VerifyError::Ended),
    };
    match looked {
        Ok(()) => page(StatusCode::OK, "Is this your address?", QUESTION),
        Err(error) => refusal(&error),
    }
}

async fn press(State(api): State<Api>, Segment(token): Segment) -> Response {
    let verified = match from_hex::<32>(&token, "token") {
        Ok(token) => api.services.verifications.verify_link(&token).await,
        Err(_) => Err(VerifyError::Ended),
    };
    match verified {
        Ok(()) => {
            page(StatusCode::OK, "Done", "<p>The address is verified. Go back to Halcyon; it goes on by itself.</p>")
        }
        Err(error) => refusal(&error),
    }
}

/// The form goes to the page's own address.
const QUESTION: &str = "<p>Somebody, probably you, wants to use this mail address with Halcyon. If it was not you, close this page.</p>\
     <form method=\"post\"><button type=\"submit\">Yes, verify this address</button></form>";

fn refusal(error: &VerifyError) -> Response {
    match error {
        VerifyError::HandleTaken => {
            let text = "<p>This address belongs to an account by now. Sign in and link your device instead.</p>";
            page(StatusCode::CONFLICT, "Not verified", text)
        }
        VerifyError::TooManyHandles => {
            page(StatusCode::CONFLICT, "Not verified", "<p>Your account has as many addresses as it may.</p>")
        }
        VerifyError::Store(error) => {
            tracing::error!(%error, "a verification by link failed for a reason of ours");
            page(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "<p>The server cannot do this at this moment. Try again later.</p>",
            )
        }
        _ => page(
            StatusCode::GONE,
            "This link has ended",
            "<p>It was used, or is older than 15 minutes. Ask for a new mail.</p>",
        ),
    }
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} - Halcyon</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    (status, HEADERS, html).into_response()
}

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];
