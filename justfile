# The steps of .ci/run, one recipe each.

# Everything that a change must pass
ci:
    .ci/run

# Install the tools that the tests call (Debian, as root)
tools:
    .ci/run tools

# Formatting
fmt:
    .ci/run fmt

# Lints, warnings denied
clippy:
    .ci/run clippy

# Documentation, warnings denied
doc:
    .ci/run doc

# The README's test command
test:
    .ci/run test

# Licences, banned crates, sources
deny:
    .ci/run deny

# Shell scripts
shellcheck:
    .ci/run shellcheck

# Dockerfile
hadolint:
    .ci/run hadolint
