# The reverse proxy before the web services.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="TritonTube proxy" \
      org.opencontainers.image.description="Debian's Caddy before the web services of TritonTube" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10003 caddy \
 && useradd --uid 10003 --gid 10003 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin caddy \
 && apt-get update \
 && apt-get install -y --no-install-recommends caddy curl \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY deploy/Caddyfile /etc/caddy/Caddyfile
# It keeps nothing; what it would keep goes where a read-only container has a tmpfs.
ENV XDG_CONFIG_HOME=/tmp/config XDG_DATA_HOME=/tmp/data
RUN caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile && rm -rf /tmp/config /tmp/data
USER caddy
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
