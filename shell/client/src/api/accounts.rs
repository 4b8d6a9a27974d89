//! Verification, registration, sign-in, handles. Spec: 20-accounts.md §2 to §5.

use halcyon_crypto::SecretBytes;
use halcyon_directory::{SignedList, prekeys::Prekey};
use halcyon_types::{AccountId, Handle, PushToken, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Api, Request, codec::base64_bytes, read_json};
use crate::{error::ApiError, ports::Method};

/// A verification that began (ACC-20).
pub(crate) struct VerificationAnswer {
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
}

/// What finishes a registration (ACC-32).
pub(crate) struct RegistrationUpload<'a> {
    pub(crate) verification_id: &'a str,
    pub(crate) upload: &'a [u8],
    pub(crate) list: &'a SignedList,
    pub(crate) prekeys: &'a [Prekey],
}

/// The server's half of a sign-in (ACC-40).
pub(crate) struct SignInAnswer {
    pub(crate) id: String,
    pub(crate) ke2: Vec<u8>,
}

/// What the server holds of the own account (ACC-50).
pub(crate) struct AccountAnswer {
    pub(crate) account: AccountId,
    pub(crate) handles: Vec<(Handle, Timestamp)>,
    /// Encoded `SignedDeviceList`; not verified.
    pub(crate) device_list: Vec<u8>,
}

#[derive(Serialize)]
pub(super) struct PrekeyJson {
    suite: u32,
    #[serde(with = "base64_bytes")]
    record: Vec<u8>,
}

pub(super) fn prekeys_json(prekeys: &[Prekey]) -> Vec<PrekeyJson> {
    prekeys.iter().map(|prekey| PrekeyJson { suite: prekey.suite.as_u32(), record: prekey.record.to_vec() }).collect()
}

/// Ids that the server makes are put into paths; only what cannot change a path's meaning is taken.
const ID_BYTES_MAX: usize = 128;

pub(super) fn checked_id(id: String, what: &'static str) -> Result<String, ApiError> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if (1..=ID_BYTES_MAX).contains(&id.len()) && plain { Ok(id) } else { Err(ApiError::Malformed(what)) }
}

impl Request {
    /// ACC-20.
    pub(crate) fn verification(handle: &Handle) -> Self {
        Self::json(Method::Post, "/v1/verifications".into(), &HandleJson { handle: handle.as_uri() })
    }

    /// ACC-51; to be signed.
    pub(crate) fn add_handle(handle: &Handle) -> Self {
        Self::json(Method::Post, "/v1/handles".into(), &HandleJson { handle: handle.as_uri() })
    }

    /// ACC-52; to be signed.
    pub(crate) fn remove_handle(handle: &Handle) -> Self {
        let encoded: String = handle.as_uri().bytes().map(percent_encoded).collect();
        Self::new(Method::Delete, format!("/v1/handles/{encoded}"), bytes::Bytes::new())
    }

    /// ACC-50; to be signed.
    pub(crate) fn account() -> Self {
        Self::get("/v1/account".into())
    }

    /// ACC-32; to be signed by the device of the list.
    pub(crate) fn finish_registration(upload: &RegistrationUpload<'_>) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            verification_id: &'a str,
            #[serde(with = "base64_bytes")]
            upload: Vec<u8>,
            #[serde(with = "base64_bytes")]
            device_list: Vec<u8>,
            prekeys: Vec<PrekeyJson>,
        }
        let body = Body {
            verification_id: upload.verification_id,
            upload: upload.upload.to_vec(),
            device_list: upload.list.encode().to_vec(),
            prekeys: prekeys_json(upload.prekeys),
        };
        Self::json(Method::Post, "/v1/registrations/finish".into(), &body)
    }
}

#[derive(Serialize)]
struct HandleJson<'a> {
    handle: &'a str,
}

impl Api {
    /// ACC-20, ACC-51.
    pub(crate) async fn begin_verification(&self, request: Request) -> Result<VerificationAnswer, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            verification_id: String,
            expires_at_ms: u64,
        }
        let answer: Answer = read_json(&self.call(request).await?, "a verification")?;
        Ok(VerificationAnswer {
            id: checked_id(answer.verification_id, "a verification")?,
            expires: Timestamp::from_millis(answer.expires_at_ms),
        })
    }

    /// ACC-21.
    pub(crate) async fn give_code(&self, verification_id: &str, code: &str) -> Result<(), ApiError> {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
        }
        let path = format!("/v1/verifications/{verification_id}/code");
        self.call(Request::json(Method::Post, path, &Body { code })).await.map(drop)
    }

    /// ACC-23.
    pub(crate) async fn is_verified(&self, verification_id: &str) -> Result<bool, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            verified: bool,
        }
        let body = self.call(Request::get(format!("/v1/verifications/{verification_id}"))).await?;
        read_json::<Answer>(&body, "a verification").map(|answer| answer.verified)
    }

    /// ACC-31.
    pub(crate) async fn start_registration(
        &self,
        verification_id: &str,
        account: AccountId,
        request: &[u8],
    ) -> Result<Vec<u8>, ApiError> {
        #[derive(Serialize)]
        struct Body<'a> {
            verification_id: &'a str,
            account_id: String,
            #[serde(with = "base64_bytes")]
            request: Vec<u8>,
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(with = "base64_bytes")]
            response: Vec<u8>,
        }
        let body = Body { verification_id, account_id: account.to_hex(), request: request.to_vec() };
        let body = self.call(Request::json(Method::Post, "/v1/registrations/start".into(), &body)).await?;
        read_json::<Answer>(&body, "a registration").map(|answer| answer.response)
    }

    /// ACC-32.
    pub(crate) async fn finish_registration(&self, request: Request) -> Result<PushToken, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            push_token: String,
        }
        let answer: Answer = read_json(&self.call(request).await?, "a registration")?;
        answer.push_token.parse().map_err(|_| ApiError::Malformed("a registration"))
    }

    /// ACC-40.
    pub(crate) async fn start_sign_in(&self, handle: &Handle, ke1: &[u8]) -> Result<SignInAnswer, ApiError> {
        #[derive(Serialize)]
        struct Body<'a> {
            handle: &'a str,
            #[serde(with = "base64_bytes")]
            ke1: Vec<u8>,
        }
        #[derive(Deserialize)]
        struct Answer {
            sign_in_id: String,
            #[serde(with = "base64_bytes")]
            ke2: Vec<u8>,
        }
        let body = Body { handle: handle.as_uri(), ke1: ke1.to_vec() };
        let body = self.call(Request::json(Method::Post, "/v1/sign-ins/start".into(), &body)).await?;
        let answer: Answer = read_json(&body, "a sign-in")?;
        Ok(SignInAnswer { id: checked_id(answer.sign_in_id, "a sign-in")?, ke2: answer.ke2 })
    }

    /// ACC-41. The ticket is good for one link.
    pub(crate) async fn finish_sign_in(
        &self,
        sign_in_id: &str,
        ke3: &[u8],
    ) -> Result<(SecretBytes, AccountId), ApiError> {
        #[derive(Serialize)]
        struct Body<'a> {
            sign_in_id: &'a str,
            #[serde(with = "base64_bytes")]
            ke3: Vec<u8>,
        }
        #[derive(Deserialize)]
        struct Answer {
            ticket: String,
            account_id: String,
        }
        let body = Body { sign_in_id, ke3: ke3.to_vec() };
        let body = self.call(Request::json(Method::Post, "/v1/sign-ins/finish".into(), &body)).await?;
        let answer: Answer = read_json(&body, "a sign-in")?;
        let account = answer.account_id.parse().map_err(|_| ApiError::Malformed("a sign-in"))?;
        Ok((SecretBytes::from_vec(answer.ticket.into_bytes()), account))
    }

    /// ACC-50.
    pub(crate) async fn account(&self, request: Request) -> Result<AccountAnswer, ApiError> {
        #[derive(Deserialize)]
        struct HandleAnswer {
            handle: String,
            added_ms: u64,
        }
        #[derive(Deserialize)]
        struct Answer {
            account_id: String,
            handles: Vec<HandleAnswer>,
            #[serde(with = "base64_bytes")]
            device_list: Vec<u8>,
        }
        const WHAT: &str = "this account";
        let answer: Answer = read_json(&self.call(request).await?, WHAT)?;
        let handle = |answer: HandleAnswer| {
            let handle = Handle::parse(&answer.handle).map_err(|_| ApiError::Malformed(WHAT))?;
            Ok((handle, Timestamp::from_millis(answer.added_ms)))
        };
        Ok(AccountAnswer {
            account: answer.account_id.parse().map_err(|_| ApiError::Malformed(WHAT))?,
            handles: answer.handles.into_iter().map(handle).collect::<Result<_, ApiError>>()?,
            device_list: answer.device_list,
        })
    }
}

/// RFC 3986 §2.3: everything but the unreserved is encoded.
fn percent_encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACC-52: a handle in a path cannot become another path.
    #[test]
    fn a_handle_is_percent_encoded() {
        let request = Request::remove_handle(&Handle::parse("mailto:a+b/c@example.org").unwrap());
        assert_eq!(request.http.path, "/v1/handles/mailto%3Aa%2Bb%2Fc%40example.org");
    }

    /// A server's id cannot become another path either.
    #[test]
    fn an_odd_id_is_refused() {
        assert!(checked_id("../account".into(), "x").is_err());
        assert!(checked_id(String::new(), "x").is_err());
        assert!(checked_id("a".repeat(129), "x").is_err());
        assert!(checked_id("0123abcd".into(), "x").is_ok());
    }
}
