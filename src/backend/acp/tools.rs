//! How an agent is told of its tools.

use serde_json::{Value, json};

use crate::domain::agent::ToolAccess;

/// What the server is called: agents name its tools after it.
const NAME: &str = "slack";

/// The entry of `mcpServers`. By HTTP where the agent can: that is one process less for each session. What an agent does with a token
/// is the same either way (claude-agent-acp 0.100 puts the whole entry on a command line, variables too), which is why it is worth so
/// little: one conversation, on this machine, while the session lives.
pub(super) fn mcp_server(tools: &ToolAccess, by_http: bool) -> Value {
    let ToolAccess { url, stdio_url, token, program } = tools;
    if by_http {
        let header = json!({"name": "Authorization", "value": format!("Bearer {token}")});
        return json!({"type": "http", "name": NAME, "url": url, "headers": [header]});
    }
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let env = [variable(ToolAccess::URL, stdio_url), variable(ToolAccess::TOKEN, token)];
    json!({"name": NAME, "command": program, "args": ["mcp-stdio"], "env": env})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_gets_what_it_can_speak() {
        let tools = ToolAccess {
            url: "http://h/mcp".into(),
            stdio_url: "http://h/mcp/stdio".into(),
            token: "t".into(),
            program: "/bin/hitchline".into(),
        };
        let by_http = json!({"type": "http", "name": "slack", "url": "http://h/mcp",
            "headers": [{"name": "Authorization", "value": "Bearer t"}]});
        assert_eq!(mcp_server(&tools, true), by_http);
        let by_streams = json!({"name": "slack", "command": "/bin/hitchline", "args": ["mcp-stdio"], "env": [
            {"name": "HITCHLINE_MCP_URL", "value": "http://h/mcp/stdio"}, {"name": "HITCHLINE_MCP_TOKEN", "value": "t"}]});
        assert_eq!(mcp_server(&tools, false), by_streams);
        assert!(!format!("{tools:?}").contains("\"t\""), "a token is not printed");
    }
}
