# The image contains the locked requirements and the package, and no build tools. The container needs no
# privilege (it uses port 1053). It writes to /var/lib/dnsd, and writes the credentials that a kubeconfig
# contains to /tmp.
#
#   docker build -t dnsd .
#   docker run --read-only --tmpfs /tmp -v dnsd:/var/lib/dnsd -p 127.0.0.1:53:1053/udp \
#     dnsd serve …
#
# The file /etc/dnsd/dnsd.yaml has the settings for a container (ports, the state directory). Variables and
# flags override it, and another file replaces it, as the chart's does. The health check reads variables and
# the file, but no flags.

FROM python:3.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dnsd
COPY requirements.txt ./
# Installs only wheels with known hashes: pip compiles and resolves nothing.
RUN /opt/dnsd/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
    --only-binary :all: -r requirements.txt
COPY dnsd ./dnsd
RUN cp -R dnsd "$(/opt/dnsd/bin/python -c 'import site; print(site.getsitepackages()[0])')" \
    && printf '#!%s\nimport sys\nfrom dnsd.cli import main\nsys.exit(main())\n' \
       /opt/dnsd/bin/python > /opt/dnsd/bin/dnsd \
    && chmod 755 /opt/dnsd/bin/dnsd \
    && /opt/dnsd/bin/python -m compileall -q /opt/dnsd/lib \
    && /opt/dnsd/bin/python -m pip uninstall -q -y pip

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="dnsd" \
      org.opencontainers.image.description="The DNS server for Kubernetes Services" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/dnsd /opt/dnsd
RUN install -d -o 10053 -g 10053 -m 0750 /var/lib/dnsd \
    && install -d -m 0755 /etc/dnsd \
    && printf '%s\n' 'listen: "0.0.0.0:1053"' 'admin: "0.0.0.0:8053"' \
       'state_dir: /var/lib/dnsd' > /etc/dnsd/dnsd.yaml
ENV PATH=/opt/dnsd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DNSD_CONFIG=/etc/dnsd/dnsd.yaml
# A numeric user, so that Kubernetes can verify that it is not root (runAsNonRoot).
USER 10053:10053
VOLUME /var/lib/dnsd
EXPOSE 1053/udp 1053/tcp 8053/tcp
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "dnsd.commands.health"]
ENTRYPOINT ["dnsd"]
CMD ["serve", "--kubernetes"]
