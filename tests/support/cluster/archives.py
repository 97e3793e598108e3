"""Image archives made by hand, for images so small that no builder is worth starting."""

import hashlib
import io
import json
import tarfile
from pathlib import Path


def write_archive(path: Path, image: str, binary: Path) -> Path:
    """Write a Docker archive of an image that holds one static program and runs it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        program = tarfile.TarInfo(binary.name)
        program.size, program.mode = binary.stat().st_size, 0o755
        with binary.open("rb") as content:
            files.addfile(program, content)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{binary.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    body = json.dumps(config).encode()
    name = f"{hashlib.sha256(body).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        for file_name, content_bytes in (
            ("layer.tar", layer.getvalue()),
            (name, body),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(file_name)
            entry.size = len(content_bytes)
            archive.addfile(entry, io.BytesIO(content_bytes))
    return path
