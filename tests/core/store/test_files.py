"""The image store, in a real folder and on a real S3 server of this process."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from core.errors import EpochwatchError, Fixable, Permanent, Retryable
from core.store.files import ImageStore, LocalStore, NotStored, StoredImage, key_of, open_store

CODE_ROOT = Path(__file__).resolve().parents[3]
SECRET = "canary-secret-0123456789"
NOWHERE = "0" * 64


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Run an S3 server on loopback with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    _client(address).create_bucket(Bucket="pictures")
    yield address
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """Give each kind of store, empty."""
    if request.param == "folder":
        return open_store(tmp_path / "store")
    address = request.getfixturevalue("endpoint")
    return _bucket(address, prefix=tmp_path.name)


def test_an_image_and_its_thumbnail_come_back_under_the_contents_name(store: ImageStore) -> None:
    """The bytes are the same, the name is their hash, and the thumbnail is a WebP beside."""
    png = _png(_noise(24, 24))
    stored = store.put_image(png)
    assert stored.sha256 == hashlib.sha256(png).hexdigest()
    assert stored.uri.endswith(f"images/{stored.sha256[:2]}/{stored.sha256}.png")
    assert stored.thumb_uri.endswith(f"thumbs/{stored.sha256[:2]}/{stored.sha256}.webp")
    assert store.get("images", stored.sha256) == png
    with Image.open(io.BytesIO(store.get("thumbs", stored.sha256))) as thumb:
        assert (thumb.format, thumb.size) == ("WEBP", (192, 192))


def test_storing_the_same_image_again_changes_nothing(store: ImageStore) -> None:
    """Two workers may store one image; both get the same answer."""
    png = _png(_noise(16, 16))
    assert store.put_image(png) == store.put_image(png)


def test_what_was_never_stored_is_said_to_be_missing(store: ImageStore) -> None:
    """Asking is False, and getting is an error that tells what to do."""
    assert not store.has("images", NOWHERE)
    with pytest.raises(NotStored, match="deleted"):
        store.get("images", NOWHERE)


@pytest.mark.parametrize("size", [0, 1000, 8 * 2**20, 20 * 2**20 + 7])
def test_a_checkpoint_is_streamed_in_and_checked(
    store: ImageStore, tmp_path: Path, size: int
) -> None:
    """Files of any size, also of exactly one part, arrive whole."""
    path, sha256 = _file(tmp_path, size)
    uri = store.put_file("checkpoints", sha256, path)
    assert uri == store.put_file("checkpoints", sha256, path)
    assert uri.endswith(f"{sha256}.safetensors")
    assert store.get("checkpoints", sha256) == path.read_bytes()


@pytest.mark.parametrize("size", [1000, 20 * 2**20])
def test_a_file_that_changed_meanwhile_is_refused_and_leaves_nothing(
    store: ImageStore, tmp_path: Path, size: int
) -> None:
    """Nothing appears under the promised name, not even for a moment."""
    path, sha256 = _file(tmp_path, size)
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(Permanent, match="changed"):
        store.put_file("checkpoints", sha256, path)
    assert not store.has("checkpoints", sha256)


def test_a_source_that_is_gone_is_named(store: ImageStore, tmp_path: Path) -> None:
    """The message says which file could not be read."""
    with pytest.raises(Fixable, match=r"gone\.safetensors"):
        store.put_file("checkpoints", NOWHERE, tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    "name", ["", "ab", "../" * 20 + "x" * 4, "G" * 64, "A" * 64, "a" * 64 + "\n"]
)
def test_only_hashes_are_names(store: ImageStore, name: str) -> None:
    """No name can lead out of the store."""
    with pytest.raises(ValueError, match="not the name"):
        store.get("images", name)


def test_bytes_that_are_no_whole_png_are_refused(store: ImageStore) -> None:
    """Other formats, cut and broken files, and pictures of absurd size never get in."""
    whole = _png(_noise(32, 32))
    jpeg = io.BytesIO()
    Image.fromarray(_noise(32, 32)).save(jpeg, "JPEG")
    broken = whole[:60] + b"\xff" + whole[61:]
    for bad in (b"", b"<svg/>", jpeg.getvalue(), whole[:-40], whole[:20], broken):
        with pytest.raises(Permanent, match="was not stored"):
            store.put_image(bad)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    """A few bytes that promise gigapixels, or a side too long, are never decoded."""
    for width, height in ((50_000, 50_000), (8193, 1), (0, 5)):
        with pytest.raises(Permanent, match=f"{width} x {height} pixels"):
            LocalStore(Path("/nonexistent")).put_image(_header_only(width, height))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_gets_a_faithful_thumbnail(tmp_path: Path, mode: str) -> None:
    """Gray, palette, transparent and 16-bit pictures keep their middle gray."""
    if mode == "I;16":
        image = Image.fromarray(np.full((12, 12), 0x8080, dtype=np.uint16))
    else:
        image = Image.new("L", (12, 12), 128).convert("RGB").convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    store = open_store(tmp_path)
    stored = store.put_image(out.getvalue())
    with Image.open(io.BytesIO(store.get("thumbs", stored.sha256))) as thumb:
        mean = np.asarray(thumb.convert("RGB")).mean()
    # One bit a pixel shows gray by a pattern of black and white.
    assert abs(mean - 128) < (8 if mode == "1" else 1)


@pytest.mark.parametrize(
    ("size", "thumb"),
    [
        ((24, 24), (192, 192)),
        ((100, 60), (100, 60)),
        ((512, 512), (128, 128)),
        ((512, 256), (128, 64)),
        ((1000, 1), (192, 1)),
        ((509, 251), (192, 95)),
        ((192, 192), (192, 192)),
    ],
)
def test_thumbnails_have_whole_factors_where_possible(
    tmp_path: Path, size: tuple[int, int], thumb: tuple[int, int]
) -> None:
    """The long side is at most 192 pixels, and pixels of pixel art stay squares."""
    store = open_store(tmp_path)
    stored = store.put_image(_png(_noise(*size)))
    with Image.open(io.BytesIO(store.get("thumbs", stored.sha256))) as image:
        assert image.size == thumb


def test_pixel_art_survives_its_thumbnail_exactly(tmp_path: Path) -> None:
    """A 32 x 32 sprite drawn at 512 x 512 keeps each color in its thumbnail."""
    sprite = _noise(32, 32)
    store = open_store(tmp_path)
    stored = store.put_image(_png(np.kron(sprite, np.ones((16, 16, 1), dtype=np.uint8))))
    with Image.open(io.BytesIO(store.get("thumbs", stored.sha256))) as thumb:
        assert np.array_equal(np.asarray(thumb.resize((32, 32), Image.Resampling.NEAREST)), sprite)


def test_a_folder_repairs_a_lost_thumbnail_and_writes_nothing_twice(tmp_path: Path) -> None:
    """Only what is missing is written; the picture keeps its file."""
    store = open_store(tmp_path)
    png = _png(_noise(16, 16))
    stored = store.put_image(png)
    image, thumb = (tmp_path / key_of(kind, stored.sha256) for kind in ("images", "thumbs"))
    before = image.stat().st_ino
    thumb.unlink()
    store.put_image(png)
    assert thumb.exists()
    assert image.stat().st_ino == before
    assert list((tmp_path / ".partial").iterdir()) == []


def test_damage_in_the_store_is_noticed_when_read(tmp_path: Path) -> None:
    """A picture whose bytes changed is never shown as the one it was."""
    store = open_store(tmp_path)
    stored = store.put_image(_png(_noise(16, 16)))
    (tmp_path / key_of("images", stored.sha256)).write_bytes(b"other")
    with pytest.raises(Permanent, match="damaged"):
        store.get("images", stored.sha256)


def test_a_full_disk_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """A write that the system cuts off ends in one clear sentence and no file at all."""
    path, sha256 = _file(tmp_path, 3 * 2**20)
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from core.errors import Retryable; from core.store.files import open_store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2 ** 20, 2 ** 20))\n"
        "try: open_store(sys.argv[1]).put_file('files', sys.argv[2], Path(sys.argv[3]))\n"
        "except Retryable as error: print(error)\n"
    )
    root = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", code, root, sha256, path],
        cwd=CODE_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "is full, so nothing was stored" in done.stdout
    assert [file for file in root.rglob("*") if file.is_file()] == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 kB, where this system lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_truly_full_disk_keeps_what_was_there(tiny_disk: Path) -> None:
    """Images go in until there is no room; each one stored is whole, then work is put off."""
    store = open_store(tiny_disk)
    stored: list[StoredImage] = []
    with pytest.raises(Retryable, match="is full"):
        stored.extend(store.put_image(_png(_noise(96, 96))) for _ in range(100))
    assert stored
    assert all(len(store.get("images", one.sha256)) > 1000 for one in stored)
    assert list((tiny_disk / ".partial").iterdir()) == []


def test_leftovers_of_killed_writers_are_swept_after_a_day(tmp_path: Path) -> None:
    """An old partial file goes, a young one may still be in the making."""
    partial = tmp_path / ".partial"
    partial.mkdir()
    for name in ("old", "young"):
        (partial / name).write_bytes(b"half")
    os.utime(partial / "old", (0, 0))
    open_store(tmp_path)
    assert [path.name for path in partial.iterdir()] == ["young"]


def test_a_folder_that_cannot_be_written_is_a_matter_for_a_person(tmp_path: Path) -> None:
    """The message names the store and does not ask for a retry."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Fixable, match="cannot be used"):
        open_store(tmp_path / "file" / "store").put_image(_png(_noise(8, 8)))


def test_a_refused_upload_leaves_no_parts_in_the_bucket(endpoint: str, tmp_path: Path) -> None:
    """Parts of a file that changed are taken back, as they would be paid for."""
    path, _ = _file(tmp_path, 20 * 2**20)
    with pytest.raises(Permanent):
        _bucket(endpoint).put_file("checkpoints", NOWHERE, path)
    assert "Uploads" not in _client(endpoint).list_multipart_uploads(Bucket="pictures")


def test_a_signed_address_opens_without_credentials(endpoint: str) -> None:
    """The signature is version 4 and the address has the bucket in its path."""
    store = _bucket(endpoint)
    png = _png(_noise(8, 8))
    address = store.presign("images", store.put_image(png).sha256, seconds=60)
    assert address is not None
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in address
    assert address.startswith(f"{endpoint}/pictures/")
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == png


def test_bucket_troubles_say_what_to_set_and_tell_no_secrets(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket and no keys are for a person; no connection passes; no text has a key in it."""
    png = _png(_noise(8, 8))
    with pytest.raises(Fixable, match="no such bucket"):
        _bucket(endpoint, bucket="other").put_image(png)
    with pytest.raises(Retryable, match="not reached") as lost:
        _bucket("http://127.0.0.1:9").put_image(png)
    assert _told(lost.value).isdisjoint({SECRET})
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Fixable, match="AWS_ACCESS_KEY_ID"):
        open_store(f"s3://pictures?endpoint={endpoint}").put_image(png)


@pytest.mark.parametrize(
    "address",
    [
        f"s3://key:{SECRET}@bucket/prefix",
        f"s3://bucket/prefix?secret={SECRET}",
        f"s3://bucket?endpoint=not-{SECRET}",
        "s3:///prefix",
        "https://bucket.example/prefix",
    ],
)
def test_addresses_with_other_parts_are_refused_without_repeating_them(address: str) -> None:
    """Keys belong into the environment; an address that has them is not echoed."""
    with pytest.raises(Fixable) as refused:
        open_store(address)
    assert SECRET not in " ".join(_told(refused.value))


def _told(error: EpochwatchError) -> set[str]:
    """Return the words of an error and of all it was raised from."""
    words: set[str] = set()
    one: BaseException | None = error
    while one is not None:
        words |= set(str(one).split())
        one = one.__cause__
    return words


def _bucket(address: str, bucket: str = "pictures", prefix: str = "some/where") -> ImageStore:
    return open_store(
        f"s3://{bucket}/{prefix}?endpoint={address}&region=eu-central-1",
        access_key="an-access-key",
        secret_key=SECRET,
    )


def _client(address: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="an-access-key",
        aws_secret_access_key=SECRET,
    )


def _noise(width: int, height: int) -> np.ndarray:
    """Return colors without order, ``(height, width, 3)`` bytes."""
    return np.frombuffer(os.urandom(width * height * 3), np.uint8).reshape(height, width, 3)


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _header_only(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 20


def _file(folder: Path, size: int) -> tuple[Path, str]:
    path = folder / "weights.safetensors"
    path.write_bytes(os.urandom(size))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
