# A member of the etcd cluster that keeps the metadata.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="TritonTube etcd" \
      org.opencontainers.image.description="Debian's etcd, as TritonTube runs it" \
      org.opencontainers.image.licenses="Apache-2.0"
# The user first: with a number that does not change when Debian's package makes its own.
RUN groupadd --gid 10002 etcd \
 && useradd --uid 10002 --gid 10002 --no-create-home --home-dir /var/lib/etcd --shell /usr/sbin/nologin etcd \
 && apt-get update \
 && apt-get install -y --no-install-recommends etcd-client etcd-server \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/lib/etcd/* \
 && install -d -m 0700 -o etcd -g etcd /var/lib/etcd
ENV ETCD_DATA_DIR=/var/lib/etcd
USER etcd
WORKDIR /var/lib/etcd
EXPOSE 2379 2380
VOLUME /var/lib/etcd
STOPSIGNAL SIGTERM
# Healthy is a member that reads with the quorum's consent.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
  CMD ["etcdctl", "--endpoints=http://127.0.0.1:2379", "--command-timeout=3s", "endpoint", "health"]
ENTRYPOINT ["etcd"]
