"""Archives made to do harm, and ones that are fine in every packing."""

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from pitboard.compliance.archives import Limits, tree, unpack
from pitboard.errors import PitboardError

Files = dict[str, bytes]
GOOD: Files = {"acme/results/box/flux1/result_0.txt": b":::MLLOG {}\n" * 99, "acme/systems/box.json": b"{}"}


def tarred(files: Files, *extra: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
        for member in extra:
            tar.addfile(member)
    return out.getvalue()


def zipped(files: Files, change: Callable[[zipfile.ZipInfo], None] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(member)
            archive.writestr(member, body)
    return out.getvalue()


PACKINGS: dict[str, Callable[[Files], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "tgz": lambda files: gzip.compress(tarred(files)),
    "tar.zst": lambda files: zstd.compress(tarred(files)),
    "tar.xz": lambda files: lzma.compress(tarred(files)),
    "tar.bz2": lambda files: bz2.compress(tarred(files)),
}


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def read_back(root: Path) -> Files:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def nothing_outside(tmp_path: Path, target: Path) -> bool:
    return [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "upload"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_submission_is_unpacked_to_its_own_folder(packing: str, target: Path) -> None:
    place = unpack(io.BytesIO(PACKINGS[packing](GOOD)), f"acme.{packing}", target)
    assert place == target / "acme"
    assert read_back(target) == GOOD


def test_the_folder_results_is_not_stepped_into(target: Path) -> None:
    assert unpack(io.BytesIO(tarred({"results/box/flux1/result_0.txt": b"x"})), "a.tar", target) == target


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress, lzma.compress, bz2.compress])
def test_a_log_is_taken_as_it_is(pack: Callable[[bytes], bytes], target: Path) -> None:
    log = unpack(io.BytesIO(pack(b":::MLLOG {}\n")), "../../run.log", target)
    assert (log.parent, log.name, log.read_bytes()) == (target, "run.log", b":::MLLOG {}\n")


HOSTILE_NAMES = [
    "/etc/passwd",
    "../out",
    "a/../../out",
    "a\\..\\out",
    "C:out",
    "a\nb",
    "a\x1b[31m",
    "x" * 300,
    "a/" * 30 + "b",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("packing", ["zip", "tgz"])
def test_hostile_names_are_refused(packing: str, name: str, tmp_path: Path, target: Path) -> None:
    with pytest.raises(PitboardError, match=r"leads out|control characters|too long or too deep"):
        unpack(io.BytesIO(PACKINGS[packing]({name: b"x"})), "a", target)
    assert nothing_outside(tmp_path, target)


@pytest.mark.parametrize(
    "member",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "../.."),
        special("link", tarfile.LNKTYPE, "/etc/passwd"),
        special("null", tarfile.CHRTYPE),
        special("disk", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.linkname}",
)
def test_links_and_devices_are_refused(member: tarfile.TarInfo, target: Path) -> None:
    with pytest.raises(PitboardError, match=r"is a link|is a device"):
        unpack(io.BytesIO(tarred(GOOD, member)), "a.tar", target)


def test_a_link_in_a_zip_is_refused(target: Path) -> None:
    def link(member: zipfile.ZipInfo) -> None:
        member.external_attr = 0o120777 << 16

    with pytest.raises(PitboardError, match="a link or a device"):
        unpack(io.BytesIO(zipped({"link": b"/etc/passwd"}, link)), "a.zip", target)


def test_an_encrypted_zip_is_refused(target: Path) -> None:
    archive = bytearray(zipped({"a.txt": b"x"}))
    archive[archive.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(PitboardError, match="encrypted"):
        unpack(io.BytesIO(archive), "a.zip", target)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")])
def test_the_same_name_twice_is_refused(names: tuple[str, str], target: Path) -> None:
    first, second = (tarred({name: b"x"}) for name in names)
    both = first[:1024] + second
    with pytest.raises(PitboardError, match="twice"):
        unpack(io.BytesIO(both), "a.tar", target)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_stops_at_the_limit(packing: str, target: Path) -> None:
    bomb = PACKINGS[packing]({"zeros": bytes(3 << 20)})
    with pytest.raises(PitboardError, match="unpacks to more than 1 MiB"):
        unpack(io.BytesIO(bomb), "a", target, Limits(bytes=1 << 20))
    assert sum(map(len, read_back(target).values())) <= 2 << 20


def test_a_zip_that_understates_its_size_is_refused(target: Path) -> None:
    archive = bytearray(zipped({"zeros": bytes(3 << 20)}))
    for mark, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = archive.index(mark) + offset
        archive[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(PitboardError):
        unpack(io.BytesIO(archive), "a.zip", target, Limits(bytes=1 << 20))
    assert sum(map(len, read_back(target).values())) <= 1 << 20


@pytest.mark.parametrize("packing", PACKINGS)
def test_too_many_files_are_refused(packing: str, target: Path) -> None:
    many = PACKINGS[packing]({f"f{number}": b"" for number in range(30)})
    with pytest.raises(PitboardError, match="more than 20 files"):
        unpack(io.BytesIO(many), "a", target, Limits(files=20))


def test_an_archive_within_an_archive_stays_packed(target: Path) -> None:
    inner = zipped({"../out": b"x"})
    unpack(io.BytesIO(zipped({"inner.zip": inner, "b": b""})), "a.zip", target)
    assert read_back(target) == {"inner.zip": inner, "b": b""}


@given(
    body=st.binary(max_size=2000),
    start=st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"]),
)
def test_any_bytes_are_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, start: bytes
) -> None:
    _unpack_in(tmp_path_factory, start + body)


@given(
    packing=st.sampled_from(list(PACKINGS)),
    changes=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_a_damaged_archive_is_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, packing: str, changes: list[tuple[int, int]]
) -> None:
    archive = bytearray(PACKINGS[packing](GOOD))
    for place, value in changes:
        archive[place % len(archive)] = value
    _unpack_in(tmp_path_factory, bytes(archive))


@given(name=st.text(max_size=30), packing=st.sampled_from(["zip", "tar"]))
def test_no_name_leads_out(tmp_path_factory: pytest.TempPathFactory, name: str, packing: str) -> None:
    try:
        archive = PACKINGS[packing]({name: b"x"})
    except (UnicodeEncodeError, ValueError, zlib.error):
        return
    _unpack_in(tmp_path_factory, archive)


def _unpack_in(factory: pytest.TempPathFactory, upload: bytes) -> None:
    around = factory.mktemp("unpack")
    target = around / "upload"
    target.mkdir()
    with contextlib.suppress(PitboardError):
        place = unpack(io.BytesIO(upload), "upload", target, Limits(bytes=1 << 20, files=100))
        assert place.resolve().is_relative_to(target.resolve())
    assert nothing_outside(around, target)
    assert not any(path.is_symlink() for path in target.rglob("*"))


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_archive_is_a_tree_for_a_while(packing: str, tmp_path: Path) -> None:
    archive = tmp_path / f"acme.{packing}"
    archive.write_bytes(PACKINGS[packing](GOOD))
    with tree(archive) as place:
        assert place.name == "acme"
        assert read_back(place.parent) == GOOD
    assert not place.exists()
    with tree(tmp_path) as place:
        assert place == tmp_path


def test_a_submission_packed_without_its_folder_is_called_as_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "Zenith.tar.gz"
    archive.write_bytes(gzip.compress(tarred({"results/box/flux1/result_0.txt": b"", "systems/b.json": b""})))
    with tree(archive) as place:
        assert place.name == "Zenith"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), "is a 7z archive, which Pitboard does not read"),
        (b"Rar!\x1a\x07" + bytes(40), "is a RAR archive"),
        (tarred(GOOD, special("link", tarfile.SYMTYPE, "/etc/passwd")), "is a link"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "acme.archive"
    path.write_bytes(content)
    with pytest.raises(PitboardError, match=why) as refused, tree(path):
        pytest.fail("it was taken")
    assert "pitboard-tree-" not in str(refused.value)
