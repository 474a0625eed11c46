# Builds sealdav and puts it alone into a small image that runs without privileges.
#
#   docker build -t sealdav .
#   docker run -v sealdav-data:/data -p 8443:8443 sealdav
#
# Commands in a running container:
#   docker exec -i CONTAINER sealdav user add NAME --email ADDRESS --password-stdin

FROM rust:1.95-slim-bookworm AS builder
WORKDIR /build
# aws-lc-rs compiles C
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked --bin sealdav

FROM debian:bookworm-slim
# A fixed number, so that the owner of the volume is known outside; no shell, no home.
RUN groupadd --system --gid 10001 sealdav \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin sealdav \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=builder /build/target/release/sealdav /usr/local/bin/sealdav
# so that commands in the container find the server without being told
ENV SEALDAV_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["sealdav", "health", "--data", "/data"]
ENTRYPOINT ["sealdav"]
CMD ["serve", "--data", "/data", "--listen", "0.0.0.0:8443"]
