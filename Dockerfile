# The site: web, worker, beat and migrate are this one image with different commands (see docker-compose.yml).
#
#   docker build -t agentsite .
#   docker build -t agentsite --build-arg BASE_IMAGE=my-debian .
#
# Behind a private certificate authority: put its certificates (PEM) beside this file as .ca-bundle.pem. They are used to
# install packages, in a stage that is thrown away, and are not in the image.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1

# Debian's own Python, unlike the official image's, makes no virtual environment without another package.
RUN python3 -m venv /opt/agentsite >/dev/null 2>&1 || { \
        apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv >/dev/null && \
        python3 -m venv --clear /opt/agentsite; }

# The lock alone first: this layer lives as long as the lock does.
COPY requirements.txt requirements-installer.txt .ca-bundle.pe[m] /tmp/
RUN if [ -s /tmp/.ca-bundle.pem ]; then export PIP_CERT=/tmp/.ca-bundle.pem SSL_CERT_FILE=/tmp/.ca-bundle.pem; fi; \
    python3 -m venv /tmp/installer && \
    /tmp/installer/bin/pip install --quiet --require-hashes --requirement /tmp/requirements-installer.txt && \
    /tmp/installer/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/agentsite/bin/python --require-hashes \
        --requirement /tmp/requirements.txt

WORKDIR /app
COPY pyproject.toml README.md LICENSE manage.py ./
COPY clients clients
COPY containers containers
COPY streaming streaming
COPY agents agents
COPY agentsite agentsite
COPY agents.tom[l] ./
RUN /opt/agentsite/bin/pip install --quiet --no-deps --no-build-isolation --editable . && \
    AGENTSITE_DATA_DIR=/tmp/build AGENTSITE_SECRET_KEY=only-for-collectstatic \
        /opt/agentsite/bin/python manage.py collectstatic --noinput && \
    rm -rf build && /opt/agentsite/bin/python -m compileall -q /opt/agentsite /app


FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Agentsite" org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/agentsite /opt/agentsite
COPY --from=build /app /app
# The user that agents run as, too: web, worker and agents write to the same workspaces.
RUN mkdir -p /var/lib/agentsite && chown 65532:65532 /var/lib/agentsite
ENV PATH=/opt/agentsite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    AGENTSITE_DATA_DIR=/var/lib/agentsite
WORKDIR /app
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentsite"]
CMD ["web", "--host", "0.0.0.0", "--port", "8000"]
