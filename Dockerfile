# docker build -t hitchline .        (agents are not in it: build your own image FROM this one and add them)

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin hitchline \
    && install -D target/dist/hitchline /out/hitchline

# What the daemon needs from the system: CA roots, and a user whose name agents can look up.
FROM debian:bookworm-slim AS base
# Not pinned: the roots must be today's, not those of some version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 hitchline \
    && useradd --no-log-init --uid 65532 --gid 65532 --create-home --shell /usr/sbin/nologin hitchline \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/hitchline \
    && install -d -o 65532 -g 65532 -m 0755 /workspace

# No RUN from here on: deploy/image-test.sh builds and runs this stage on a base made of the machine's own files.
FROM base
LABEL org.opencontainers.image.title="hitchline" \
      org.opencontainers.image.description="Ties a Slack thread to an agent session over Socket Mode" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/hitchline /usr/local/bin/hitchline
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/hitchline/
ENV HOME=/home/hitchline \
    HITCHLINE__STORE__DIR=/var/lib/hitchline
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /workspace
VOLUME ["/var/lib/hitchline"]
# A stop takes 9 s at most, and Docker waits 10 s: leave the default or raise it (compose.yml has 15 s).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/local/bin/hitchline", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/hitchline"]
CMD ["run"]
