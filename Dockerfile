# The binary `funnel` on Debian 12. Build: docker build -t funnel .
#
# The toolchain and the base are those the product is tested on; both stages are Debian 12, so that
# the binary finds the C library it was linked with.
FROM rust:1.95-slim-bookworm AS build
# librdkafka and zstd are built from source with the crate: a C and C++ compiler and make.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked -p funnel-cli \
 && install -D -m 0755 target/release/funnel /out/funnel

FROM debian:bookworm-slim
# curl asks /readyz for the health check; the certificates are for TLS to Kafka and object stores; openssl makes the
# server's own in deploy/make-keys.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl openssl \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 funnel \
 && useradd --uid 10001 --gid funnel --no-create-home --home-dir /var/lib/funnel \
            --shell /usr/sbin/nologin funnel \
 && install -d -o funnel -g funnel -m 0750 /var/lib/funnel \
 && install -d -o funnel -g funnel -m 0755 /keys
COPY --from=build /out/funnel /usr/local/bin/funnel
# By number: Kubernetes' runAsNonRoot cannot check a name.
USER 10001:10001
WORKDIR /var/lib/funnel
VOLUME /var/lib/funnel
ENV FUNNEL_CONFIG=/etc/funnel/funnel.toml
EXPOSE 9464 8443 5433
# `funnel ingest` commits what it has read when it gets this signal, and exits 0.
STOPSIGNAL SIGTERM
ENTRYPOINT ["funnel"]
CMD ["ingest"]
