//! Hitchline ties a Slack thread to an agent session.
