"""Fuzzes the readers of what users and strangers hand in. Run by hand, with atheris installed:

python -m tests.fuzz idx --seconds=900

A target passes when it reads its input or refuses it by a UsageError or RunError; anything else ends the run and leaves
the input in a file named crash-….
"""

import argparse
import contextlib
import gzip
import importlib.util
import io
import struct
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

if importlib.util.find_spec("atheris") is None:
    raise SystemExit("atheris is not installed; to fuzz: pip install atheris")

import atheris

with atheris.instrument_imports(include=["agad_tf", "PIL", "numpy.lib", "tarfile", "zipfile"]):
    import numpy as np
    from absl import flags
    from PIL import Image

    from agad_tf.benchmark.sweep_flags import sweep_from_flags
    from agad_tf.config.errors import RunError, UsageError
    from agad_tf.config.flagfiles import with_flagfiles
    from agad_tf.config.flags import config_from_flags, define_flags
    from agad_tf.data.array_files import read_own_npz
    from agad_tf.data.image_lists import list_csv
    from agad_tf.data.readers import decode_picture, limit_pixels, read_idx, read_npz, read_pictures

SCRATCH = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def file_of(name: str, data: bytes) -> Path:
    path = SCRATCH / name
    path.write_bytes(data)
    return path


def idx(data: bytes) -> None:
    read_idx(file_of("images-idx3-ubyte", data))
    read_idx(file_of("images-idx3-ubyte.gz", gzip.compress(data, 1) if len(data) % 2 else data))


def npz(data: bytes) -> None:
    path = file_of("arrays.npz", data)
    read_npz(path)
    read_own_npz(path)


def npy(data: bytes) -> None:
    """The arrays in a whole archive."""
    with zipfile.ZipFile(SCRATCH / "arrays.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", data)
    read_own_npz(SCRATCH / "arrays.npz")


def csv(data: bytes) -> None:
    list_csv(file_of("list.csv", data))


def tar(data: bytes) -> None:
    read_pictures(file_of("pictures.tar", data))


def picture(data: bytes) -> None:
    decode_picture("picture", data, (None, 1, 3)[len(data) % 3])


def flag_file(data: bytes) -> None:
    values = flags.FlagValues()
    define_flags(values)
    try:
        values(with_flagfiles(["agad_tf", f"--flagfile={file_of('some.cfg', data)}"]))
    except flags.Error:
        return
    sweep_from_flags(values) if values.mode == "benchmark" else config_from_flags(values)


def seeds() -> dict[str, list[bytes]]:
    """Small inputs that are in order, for each target."""
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    arrays = {"x_train": images, "y_train": np.array([0, 1]), "x_test": images, "y_test": np.array([0, 1])}
    written, array = io.BytesIO(), io.BytesIO()
    np.savez_compressed(written, **arrays)
    np.save(array, images)
    encoded = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        for mode in ("L", "RGB", "P"):
            buffer = io.BytesIO()
            try:
                Image.fromarray(images[0]).convert(mode).save(buffer, form)
            except OSError:
                continue
            encoded.append(buffer.getvalue())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("train/a/1.png", "test/a/1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(encoded[0])
            archive.addfile(member, io.BytesIO(encoded[0]))
    flag_text = [path.read_bytes() for path in Path("flags").rglob("*.cfg")]
    return {
        "idx": [bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes()],
        "npz": [written.getvalue()],
        "npy": [array.getvalue()],
        "csv": [b"path,label,split,mask\nlist.csv,normal,train,\nlist.csv,bad,test,list.csv\n"],
        "tar": [packed.getvalue()],
        "picture": encoded,
        "flag_file": flag_text,
    }


TARGETS = {function.__name__: function for function in (idx, npz, npy, csv, tar, picture, flag_file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=900)
    options = parser.parse_args()
    limit_pixels(4.0)
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()[options.target]):
        (corpus / str(number)).write_bytes(seed)

    def attempt(data: bytes) -> None:
        with contextlib.suppress(RunError, UsageError):
            TARGETS[options.target](data)

    arguments = [sys.argv[0], str(corpus), f"-max_total_time={options.seconds}", "-max_len=4096", "-rss_limit_mb=4096"]
    atheris.Setup(arguments, attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
