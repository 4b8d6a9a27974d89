//! Lookups, device lists, prekeys: the endpoints that speak protobuf. Spec: 11-directory.md.

use bytes::Bytes;
use halcyon_directory::{
    SignedList,
    lookup::{LookupAnswer, LookupRequest, RESPONSE_BYTES_MAX},
    prekeys::Prekey,
};

use super::{Api, Request};
use crate::{error::ApiError, ports::Method};

impl Request {
    /// DIR-20; to be signed.
    pub(crate) fn lookup(request: &LookupRequest) -> Self {
        Self::protobuf(Method::Post, "/v1/lookup".into(), request.encode()).answering(RESPONSE_BYTES_MAX)
    }

    /// DIR-4; to be signed.
    pub(crate) fn device_list(list: &SignedList) -> Self {
        Self::protobuf(Method::Put, "/v1/device-list".into(), list.encode())
    }

    /// DIR-10; to be signed.
    pub(crate) fn prekeys(prekeys: &[Prekey]) -> Self {
        Self::protobuf(Method::Put, "/v1/prekeys".into(), Prekey::encode_upload(prekeys))
    }
}

impl Api {
    /// DIR-20.
    pub(crate) async fn lookup(&self, asked: &LookupRequest, signed: Request) -> Result<Vec<LookupAnswer>, ApiError> {
        let body: Bytes = self.call(signed).await?;
        asked.read_response(body).map_err(|_| ApiError::Malformed("a lookup"))
    }
}
