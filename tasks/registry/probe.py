"""Test that a downloaded version answers, in its own runtime, before an alias points at it."""

from dataclasses import replace
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import is_packed, unpack
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.artifacts.student_file import locate_judged
from stillhouse.tasks.errors import ServiceError, StillhouseError


def probe(folder: Path) -> Bundle:
    """Run a version on one random input; returns its bundle, unpacked.

    Args:
        folder: the downloaded version. Packed files are unpacked into it.

    Raises:
        StillhouseError: the version cannot be opened, or its answer is not finite, or its vectors do not have unit
            length.
        ServiceError: this machine cannot read the files. This says nothing about the version.
    """
    try:
        bundle = _unpack_files(open_bundle(locate_judged(folder)))
        runtime_of(bundle.workload).probe(bundle)
    except (ModelError, FileNotFoundError, RuntimeError, ValueError) as error:
        msg = f"the version does not answer ({' '.join(str(error).split())[:200]}); choose another"
        raise StillhouseError(msg) from error
    except OSError as error:
        msg = f"the version cannot be read on this machine ({error}); free the disk or memory and do it again"
        raise ServiceError(msg) from error
    return bundle


def _unpack_files(bundle: Bundle) -> Bundle:
    """Unpack each packed file once. To unpack 23 MB takes a second, and a server reads a file three times."""
    components = {name: [_unpack_file(path) for path in paths] for name, paths in bundle.components.items()}
    return replace(bundle, components=components, named_digest=bundle.digest)


def _unpack_file(path: Path) -> Path:
    if not is_packed(path):
        return path
    plain = path.with_suffix("")
    plain.write_bytes(unpack(path))
    return plain
