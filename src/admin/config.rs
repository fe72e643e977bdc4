//! `[http]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretString;

/// `[http]`: the listener for probes, metrics, web chat and MCP over TCP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Http")]
pub struct Config {
    /// Address and port to listen on; port 0 is any free one, an empty text turns the listener off.
    #[serde(with = "address")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
    /// Token that the operator's requests carry. Without it only the probes and MCP (which has tokens of its own) answer.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// File that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Whether the agents' tools give sessions to clients of an older MCP than 2026-07-28 that want one.
    pub mcp_sessions: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, 4680).into()), token: None, token_file: None, mcp_sessions: false }
    }
}

/// An address as text, where an empty text is none.
mod address {
    use std::net::SocketAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's `with` hands over a reference")]
    pub(super) fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&address.map(|address| address.to_string()).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = (!text.is_empty()).then(|| text.parse()).transpose();
        address.map_err(|_| {
            D::Error::custom(format!("`{text}` is no IP address with a port; write one such as 127.0.0.1:4680"))
        })
    }
}
