//! Ids in hex and bytes in base64, as JSON carries them (20-accounts.md).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// For `#[serde(with = "base64_bytes")]`.
pub(super) mod base64_bytes {
    use super::*;

    pub(in crate::api) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))
    }
}

/// For `#[serde(default, with = "optional_base64")]`.
pub(super) mod optional_base64 {
    use super::*;

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))).transpose()
    }
}
