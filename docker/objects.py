"""Inside the container of MLflow: copy all objects of the stack's buckets to a tar, or from one. `backup.sh` calls it.

`objects.py dump` writes a tar to standard output. `objects.py load` reads it from standard input, and then checks that
the buckets hold exactly these objects. The members of the tar are named BUCKET/KEY.
"""

import os
import shutil
import sys
import tarfile
import tempfile
from typing import IO, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BUCKETS = ("dvc", "logs", "mlflow")
IN_MEMORY = 16 * 1024**2
"""Bytes of an object up to which it needs no file."""


def dump(s3: Any, stream: IO[bytes]) -> int:  # noqa: ANN401 - boto3 makes its classes when it runs
    """Write every object to a tar. Returns their number."""
    count = 0
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for bucket in BUCKETS:
            for key in find_sizes(s3, bucket):
                count += add(s3, archive, bucket, key)
    return count


def add(s3: Any, archive: tarfile.TarFile, bucket: str, key: str) -> int:  # noqa: ANN401 - likewise
    """Add one object. Returns 0 if somebody has deleted it since it was listed, as `stillhouse gc` may."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return 0
    member = tarfile.TarInfo(f"{bucket}/{key}")
    member.size, member.mtime = found["ContentLength"], found["LastModified"].timestamp()
    archive.addfile(member, found["Body"])
    return 1


def load(s3: Any, stream: IO[bytes]) -> int:  # noqa: ANN401 - likewise
    """Write every member of a tar to its bucket, which `prepare.py` has made. Returns their number."""
    put: dict[str, dict[str, int]] = {bucket: {} for bucket in BUCKETS}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            bucket, _, key = member.name.partition("/")
            content = archive.extractfile(member)
            if bucket not in put or content is None:
                sys.exit(f"the tar has {member.name}, which is no object of a bucket of the stack; use another backup")
            with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=os.environ.get("STILLHOUSE_STATE")) as spool:
                shutil.copyfileobj(content, spool)
                spool.seek(0)
                s3.upload_fileobj(spool, bucket, key)
            put[bucket][key] = member.size
    for bucket, sizes in put.items():
        if find_sizes(s3, bucket) != sizes:
            sys.exit(f"the bucket {bucket} does not hold what the backup has; remove the stack and restore again")
    return sum(map(len, put.values()))


def find_sizes(s3: Any, bucket: str) -> dict[str, int]:  # noqa: ANN401 - likewise
    """Return key -> bytes of every object. Some servers also list folders, whose names end with a slash."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    entries = [entry for page in pages for entry in page.get("Contents", [])]
    return {entry["Key"]: entry["Size"] for entry in entries if not entry["Key"].endswith("/")}


if __name__ == "__main__":
    client = boto3.client("s3")
    try:
        number = load(client, sys.stdin.buffer) if sys.argv[1] == "load" else dump(client, sys.stdout.buffer)
    except (BotoCoreError, ClientError, tarfile.TarError) as error:
        sys.exit(f"the objects could not be copied ({error}); look at the log of the service s3")
    sys.stderr.write(f"{number} objects\n")
