"""Inside a container of the stack: find out whether this container can work with a service that it waits for.

`check.py HOST:PORT` ends with exit code 0, or with one sentence if the service refuses the secrets of this container or
the clocks differ. HOST is `postgres`, `redis`, `s3` or `mlflow`. Of any other service nothing is checked.
"""

import http.client
import os
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

WAIT_SECONDS = 60.0
"""A service that accepts connections and does not answer yet has this time."""
MAX_SKEW_SECONDS = 10.0
"""Airflow accepts tokens whose times differ by this much (`[api_auth] jwt_leeway`)."""
SKEWED, REFUSED = "RequestTimeTooSkewed", {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403"}
REMEDY = (
    "the files of this host's folder of secrets must be those with which the service was made: put the old file back, "
    "or copy it from the host of the stack, and start this container again"
)


class RefusedError(Exception):
    """A service refuses; waiting does not help."""


def check_postgres(place: str) -> None:
    """Log in to the database."""
    import psycopg2

    address = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") or os.environ["MLFLOW_BACKEND_STORE_URI"]
    try:
        psycopg2.connect(address.replace("+psycopg2", ""), connect_timeout=10).close()
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error):
            msg = f"Postgres at {place} refuses the secret postgres_password; {REMEDY}"
            raise RefusedError(msg) from error
        raise


def check_redis(place: str) -> None:
    """Log in to the queue."""
    import redis

    with redis.Redis.from_url(os.environ["AIRFLOW__CELERY__BROKER_URL"], socket_timeout=10) as client:
        try:
            client.ping()
        except redis.AuthenticationError as error:
            msg = f"Redis at {place} refuses the secret redis_password; {REMEDY}"
            raise RefusedError(msg) from error


def check_s3(place: str) -> None:
    """Read a bucket, which need not exist yet."""
    import boto3
    from botocore.exceptions import ClientError

    bucket = "mlflow"
    try:
        boto3.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == SKEWED:
            msg = f"S3 at {place} says that the clock of this host is wrong; set the clocks of both hosts by NTP"
            raise RefusedError(msg) from error
        if code in REFUSED:
            msg = (
                f"S3 at {place} refuses the secrets s3_access_key and s3_secret_key for the bucket {bucket} ({code}); "
                f"{REMEDY}"
            )
            raise RefusedError(msg) from error
        if code != "NoSuchBucket":
            raise
    check_clock(place)


def check_clock(place: str) -> None:
    """Compare the clock of this host with that of a server, which tells its time in each answer."""
    connection = http.client.HTTPConnection(place, timeout=10)
    try:
        before = time.time()
        connection.request("HEAD", "/")
        told = connection.getresponse().getheader("Date")
        after = time.time()
    finally:
        connection.close()
    if told is None:
        return
    there = parsedate_to_datetime(told).timestamp()  # without the fraction of the second
    skew = max(there - after, before - there - 1)
    if skew > MAX_SKEW_SECONDS:
        side = "behind" if there > after else "ahead of"
        msg = f"the clock of this host is {skew:.0f} s {side} that of {place}; set the clocks of both hosts by NTP"
        raise RefusedError(msg)


CHECKS: dict[str, Callable[[str], None]] = {
    "postgres": check_postgres,
    "redis": check_redis,
    "s3": check_s3,
    "mlflow": check_clock,
}


def main(place: str) -> None:
    """Check until the service answers, or the time is over."""
    check = CHECKS.get(place.partition(":")[0], lambda _: None)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return check(place)
        except RefusedError as refused:
            sys.exit(str(refused))
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            if time.monotonic() > deadline:
                said = " ".join(str(error).split())[:300]
                sys.exit(f"{place} accepts connections and does not answer as it should ({said}); look at its log")
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
