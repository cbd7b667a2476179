"""Uploads a file in parts by MLflow's client, and downloads it again.

    python parts.py http://127.0.0.1:5000 [MIB]

The last line of the output is JSON: the SHA-256 of both, and how many parts were sent.
"""

import hashlib
import json
import os
import sys
import tempfile
import time

MIB = 1 << 20
mib = int(sys.argv[2]) if len(sys.argv) > 2 else 24
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(8 * MIB)
if mib < 100:
    os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 * MIB)
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
import mlflow
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

sent = []
send = HttpArtifactRepository._upload_part
HttpArtifactRepository._upload_part = staticmethod(
    lambda credential, local_file, size, start_byte: sent.append(credential.part_number)
    or send(credential, local_file, size, start_byte)
)


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


mlflow.set_tracking_uri(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "large file.bin")
    piece = os.urandom(MIB)
    with open(path, "wb") as file:
        for at in range(mib):
            file.write(at.to_bytes(8, "big") + piece[8:])
        file.write(b"and a little more")
    begun = time.time()
    with mlflow.start_run() as run:
        mlflow.log_artifact(path, "models/a")
    took = time.time() - begun
    listed = mlflow.MlflowClient().list_artifacts(run.info.run_id, "models/a")
    down = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="models/a/large file.bin", dst_path=os.path.join(folder, "down")
    )
    print(
        json.dumps(
            {
                "up": digest_of(path),
                "down": digest_of(down),
                "size": os.path.getsize(path),
                "listed": [[it.path, it.file_size] for it in listed],
                "parts": sorted(sent),
                "seconds": took,
            }
        )
    )
