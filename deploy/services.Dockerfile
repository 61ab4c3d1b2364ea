# The services of TritonTube: `--target web` (also the worker, and tritonctl), `--target storage`.
# Everything comes from one Debian image, Debian's packages, crates.io and npm. Needs no BuildKit.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS ui
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates nodejs npm \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY deploy/ca/ /tmp/ca/
RUN find /tmp/ca -name '*.crt' -exec cat {} + >>/etc/ssl/certs/ca-certificates.crt
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
WORKDIR /src/web-svc/ui
COPY web-svc/ui/package.json web-svc/ui/package-lock.json ./
RUN npm ci
COPY web-svc/ui/ ./
RUN npm run build

# Debian's `rustc-web` is the Rust that it keeps up to date for browsers; its `rustc` is older than this workspace wants.
FROM ${BASE_IMAGE} AS rust
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates cargo-web gcc libc6-dev libprotobuf-dev lld make protobuf-compiler rustc-web \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY deploy/ca/ /tmp/ca/
RUN find /tmp/ca -name '*.crt' -exec cat {} + >>/etc/ssl/certs/ca-certificates.crt
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH \
    CARGO_TERM_PROGRESS_WHEN=never CARGO_INCREMENTAL=0 RUSTFLAGS=-Clink-arg=-fuse-ld=lld
ARG CARGO_CHEF_VERSION=0.1.78
# Without optimisation: it takes longer to compile than to run.
RUN CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-chef --debug --locked --version ${CARGO_CHEF_VERSION} \
 && rm -rf /usr/local/cargo/registry
WORKDIR /src

# What Rust compiles, so that nothing else makes it compile again.
FROM ${BASE_IMAGE} AS source
COPY Cargo.toml Cargo.lock /src/
COPY .cargo/ /src/.cargo/
COPY migrations/ /src/migrations/
COPY crates/ /src/crates/
COPY admin-cli/ /src/admin-cli/
COPY storage-svc/ /src/storage-svc/
COPY web-svc/ /src/web-svc/

# What the dependencies depend on, and nothing else: the next stage's layers change when this does.
FROM rust AS recipe
COPY --from=source /src/ ./
RUN cargo chef prepare --recipe-path /recipe.json

FROM rust AS build
COPY --from=recipe /recipe.json /recipe.json
RUN cargo chef cook --release --locked --recipe-path /recipe.json \
      --package web-svc --package storage-svc --package admin-cli
COPY --from=source /src/ ./
COPY --from=ui /src/web-svc/ui/dist/ web-svc/ui/dist/
RUN cargo build --release --locked --package web-svc --package storage-svc --package admin-cli \
 && mkdir /out \
 && cp target/release/web-svc target/release/storage-svc target/release/tritonctl /out/ \
 && strip /out/*

# One user for all services, who can read the cluster secret that one of them has made.
FROM ${BASE_IMAGE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10001 tritontube \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tritontube --shell /usr/sbin/nologin tritontube \
 && install -d -m 0700 -o tritontube -g tritontube /var/lib/tritontube /run/tritontube
COPY deploy/new-secret /usr/local/bin/new-secret
WORKDIR /var/lib/tritontube
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]

FROM runtime AS storage
LABEL org.opencontainers.image.title="TritonTube storage-svc" \
      org.opencontainers.image.description="A storage node of TritonTube" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/storage-svc /usr/local/bin/
ENV TRITON_LISTEN=0.0.0.0:8090 TRITON_DIR=/var/lib/tritontube
USER tritontube
EXPOSE 8090
VOLUME /var/lib/tritontube
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8090/healthz"]
CMD ["storage-svc"]

FROM runtime AS web
LABEL org.opencontainers.image.title="TritonTube web-svc" \
      org.opencontainers.image.description="API, page, transcoding and cluster control of TritonTube, and tritonctl" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /out/web-svc /out/tritonctl /usr/local/bin/
ENV TRITON_LISTEN=0.0.0.0:8080 TRITON_DATA_DIR=/var/lib/tritontube
USER tritontube
EXPOSE 8080
VOLUME /var/lib/tritontube
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/healthz"]
CMD ["web-svc"]
