# syntax=docker/dockerfile:1
# The gateway, for an unprivileged user on a root file system that may be read-only. docs/container.md says how to run it.

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
# The versions and hashes that the tests ran with; before the code, so that a change of it reuses this layer.
RUN python -m venv /opt/oc-trio \
    && /opt/oc-trio/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY oc_trio ./oc_trio
RUN /opt/oc-trio/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/oc-trio/bin/pip uninstall --yes --quiet pip \
    && /opt/oc-trio/bin/python -m compileall -q /opt/oc-trio/lib

FROM python:3.13-slim-bookworm
COPY --from=build /opt/oc-trio /opt/oc-trio
# Owned by the user: a named volume takes over owner and mode of the directory that it is mounted on.
RUN install -d -o 10001 -g 10001 -m 700 /var/lib/oc-trio && install -d -m 755 /etc/oc-trio
ENV PATH=/opt/oc-trio/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/oc-trio \
    OC_TRIO_CONFIG=/etc/oc-trio/config.toml \
    STATE_DIRECTORY=/var/lib/oc-trio \
    CREDENTIALS_DIRECTORY=/run/secrets
USER 10001:10001
WORKDIR /var/lib/oc-trio
VOLUME /var/lib/oc-trio
EXPOSE 18789
# SIGTERM lets running answers end for `gateway.drainSeconds` (30 s): stop with a longer grace, `docker stop --time 60`.
STOPSIGNAL SIGTERM
# Asks the gateway over the socket in its state directory: healthy while an account is live.
HEALTHCHECK --interval=60s --timeout=10s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import subprocess, sys; sys.exit(subprocess.call(['oc-trio', 'status']) != 0)"]
ENTRYPOINT ["oc-trio"]
CMD ["run"]
