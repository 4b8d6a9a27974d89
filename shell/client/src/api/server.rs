//! What a server says about itself. Spec: 20-accounts.md §1 (ACC-5).

use serde::Deserialize;

use super::{Request, answer, read_json};
use crate::{error::ApiError, ports::Http};

/// Asks where the courier listens: host and port of the native binding (ACC-5).
///
/// # Errors
/// [`ApiError`]
pub async fn discover_courier(http: &dyn Http) -> Result<(String, u16), ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        courier: String,
    }
    const WHAT: &str = "itself";
    let response = http.call(Request::get("/v1/server".into()).http).await?;
    let found: Answer = read_json(&answer(response)?, WHAT)?;
    let (host, port) = found.courier.rsplit_once(':').ok_or(ApiError::Malformed(WHAT))?;
    let port = port.parse().map_err(|_| ApiError::Malformed(WHAT))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}
