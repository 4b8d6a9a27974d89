//! Linking. Spec: 21-linking.md.

use bytes::Bytes;
use halcyon_crypto::SecretBytes;
use halcyon_directory::{
    link_approval::{Challenge, LinkRequest, approver::Completion, newcomer::Approval},
    prekeys::Prekey,
};
use halcyon_types::{DeviceId, Duration, LinkId, PushToken, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Api, Request,
    accounts::{PrekeyJson, prekeys_json},
    codec::{base64_bytes, optional_base64},
    read_json,
};
use crate::{error::ApiError, ports::Method};

const WHAT: &str = "a link";

/// How far a link came (LNK-3).
pub(crate) enum LinkState {
    Waiting,
    Challenged(Challenge),
    /// With rN, which only the approving side reads (LNK-5).
    Revealed(Option<[u8; 32]>),
    Approved(Approval),
    Rejected,
    Expired,
}

/// A link as a device of the account sees it (LNK-2).
pub(crate) struct LinkListed {
    pub(crate) id: LinkId,
    pub(crate) request: LinkRequest,
    pub(crate) created: Timestamp,
    /// Whether it waits for a challenge.
    pub(crate) waiting: bool,
}

impl Request {
    /// LNK-1; to be signed by the device of the entry.
    pub(crate) fn link(ticket: &SecretBytes, link: &LinkRequest, prekeys: &[Prekey]) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            ticket: &'a str,
            #[serde(with = "base64_bytes")]
            entry: Vec<u8>,
            #[serde(with = "base64_bytes")]
            entry_signature: Vec<u8>,
            prekeys: Vec<PrekeyJson>,
            #[serde(with = "base64_bytes")]
            ephemeral: Vec<u8>,
            #[serde(with = "base64_bytes")]
            commitment: Vec<u8>,
        }
        let body = Body {
            ticket: std::str::from_utf8(ticket.expose()).unwrap_or_default(),
            entry: link.entry.to_vec(),
            entry_signature: link.entry_signature.to_vec(),
            prekeys: prekeys_json(prekeys),
            ephemeral: link.ephemeral.to_vec(),
            commitment: link.commitment.to_vec(),
        };
        Self::json(Method::Post, "/v1/links".into(), &body)
    }

    /// LNK-2; to be signed.
    pub(crate) fn links() -> Self {
        Self::get("/v1/links".into())
    }

    /// LNK-3, LNK-5; to be signed. Answers when the state is another than before, or after the wait.
    pub(crate) fn link_state(id: LinkId, wait: Duration) -> Self {
        Self::get(format!("/v1/links/{id}?wait_s={}", wait.as_secs())).waiting(wait)
    }

    /// LNK-2; to be signed.
    pub(crate) fn challenge(id: LinkId, challenge: &Challenge) -> Self {
        #[derive(Serialize)]
        struct Body {
            #[serde(with = "base64_bytes")]
            ephemeral: Vec<u8>,
            #[serde(with = "base64_bytes")]
            nonce: Vec<u8>,
        }
        let body = Body { ephemeral: challenge.ephemeral.to_vec(), nonce: challenge.nonce.to_vec() };
        Self::json(Method::Post, format!("/v1/links/{id}/challenge"), &body)
    }

    /// LNK-4; to be signed by the new device.
    pub(crate) fn reveal(id: LinkId, nonce: [u8; 32]) -> Self {
        #[derive(Serialize)]
        struct Body {
            #[serde(with = "base64_bytes")]
            nonce: Vec<u8>,
        }
        Self::json(Method::Post, format!("/v1/links/{id}/reveal"), &Body { nonce: nonce.to_vec() })
    }

    /// LNK-7; to be signed.
    pub(crate) fn reject(id: LinkId) -> Self {
        Self::new(Method::Post, format!("/v1/links/{id}/reject"), Bytes::new())
    }

    /// LNK-8; to be signed.
    pub(crate) fn complete(id: LinkId, completion: &Completion) -> Self {
        #[derive(Serialize)]
        struct Body {
            #[serde(with = "base64_bytes")]
            device_list: Vec<u8>,
            #[serde(with = "base64_bytes")]
            sealed: Vec<u8>,
        }
        let body = Body { device_list: completion.list.encode().to_vec(), sealed: completion.sealed.to_vec() };
        Self::json(Method::Post, format!("/v1/links/{id}/complete"), &body)
    }
}

impl Api {
    /// LNK-1.
    pub(crate) async fn link(&self, request: Request) -> Result<LinkId, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            link_id: String,
        }
        let answer: Answer = read_json(&self.call(request).await?, WHAT)?;
        answer.link_id.parse().map_err(|_| ApiError::Malformed(WHAT))
    }

    /// LNK-2.
    pub(crate) async fn links(&self, request: Request) -> Result<Vec<LinkListed>, ApiError> {
        #[derive(Deserialize)]
        struct Listed {
            link_id: String,
            #[serde(with = "base64_bytes")]
            entry: Vec<u8>,
            #[serde(with = "base64_bytes")]
            entry_signature: Vec<u8>,
            #[serde(with = "base64_bytes")]
            ephemeral: Vec<u8>,
            #[serde(with = "base64_bytes")]
            commitment: Vec<u8>,
            state: String,
            created_ms: u64,
        }
        #[derive(Deserialize)]
        struct Answer {
            links: Vec<Listed>,
        }
        let listed = |link: Listed| {
            Ok(LinkListed {
                id: link.link_id.parse().map_err(|_| ApiError::Malformed(WHAT))?,
                request: LinkRequest {
                    entry: link.entry.into(),
                    entry_signature: link.entry_signature.into(),
                    ephemeral: array(&link.ephemeral)?,
                    commitment: array(&link.commitment)?,
                },
                created: Timestamp::from_millis(link.created_ms),
                waiting: link.state == "waiting",
            })
        };
        let answer: Answer = read_json(&self.call(request).await?, WHAT)?;
        answer.links.into_iter().map(listed).collect()
    }

    /// LNK-3, LNK-5, LNK-10.
    pub(crate) async fn link_state(&self, request: Request) -> Result<LinkState, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            state: String,
            approver_device: Option<String>,
            #[serde(default, with = "optional_base64")]
            ephemeral: Option<Vec<u8>>,
            #[serde(default, with = "optional_base64")]
            nonce: Option<Vec<u8>>,
            #[serde(default, with = "optional_base64")]
            device_list: Option<Vec<u8>>,
            #[serde(default, with = "optional_base64")]
            sealed: Option<Vec<u8>>,
            push_token: Option<String>,
        }
        let missing = || ApiError::Malformed(WHAT);
        let answer: Answer = read_json(&self.call(request).await?, WHAT)?;
        Ok(match answer.state.as_str() {
            "waiting" => LinkState::Waiting,
            "challenged" => LinkState::Challenged(Challenge {
                approver: answer.approver_device.ok_or_else(missing)?.parse::<DeviceId>().map_err(|_| missing())?,
                ephemeral: array(&answer.ephemeral.ok_or_else(missing)?)?,
                nonce: array(&answer.nonce.ok_or_else(missing)?)?,
            }),
            "revealed" => LinkState::Revealed(answer.nonce.map(|nonce| array(&nonce)).transpose()?),
            "approved" => LinkState::Approved(Approval {
                device_list: answer.device_list.ok_or_else(missing)?.into(),
                sealed: answer.sealed.ok_or_else(missing)?.into(),
                push_token: answer.push_token.ok_or_else(missing)?.parse::<PushToken>().map_err(|_| missing())?,
            }),
            "rejected" => LinkState::Rejected,
            "expired" => LinkState::Expired,
            _ => return Err(missing()),
        })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ApiError> {
    bytes.try_into().map_err(|_| ApiError::Malformed(WHAT))
}
