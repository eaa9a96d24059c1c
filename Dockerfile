# fuserec serve, with torch for the processor alone, as a user without rights. Not built by the tests: see docs/serving.md.
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# torch first and by the constraints: its build for the processor is a tenth of the one for graphics cards. TORCH_INDEX
# names the index of those builds; without it, pip takes what its own index has.
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} --constraint constraints.txt torch \
    && pip install --no-cache-dir --constraint constraints.txt ".[serve,redis,mongo,pretrained]" \
    && useradd --uid 10001 --no-create-home fuserec \
    && install --directory --owner fuserec /models /service
USER fuserec
ENV OMP_NUM_THREADS=1 XDG_CACHE_HOME=/tmp
EXPOSE 8000
VOLUME ["/service"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["fuserec"]
# In the container, 0.0.0.0 is its own network; compose.yaml decides who may reach it.
CMD ["serve", "/models/shop-model", "--host", "0.0.0.0", "--store", "sqlite:////service/store.sqlite", "--media", "/service/media"]
