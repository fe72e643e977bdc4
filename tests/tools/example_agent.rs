//! The example agent of ACP's own TypeScript library: deterministic, and somebody else's.

use std::path::PathBuf;

use crate::package::Package;

/// The newest version that has examples in it.
const PACKAGE: Package = Package {
    folder: "npm",
    spec: "@agentclientprotocol/sdk@1.9.0",
    holds: "node_modules/@agentclientprotocol/sdk/dist/examples/agent.js",
};

/// Its script, for Node.
pub(crate) fn script() -> Option<PathBuf> {
    PACKAGE.installed()
}
