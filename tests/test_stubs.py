"""Do the committed stubs say what the .proto files say?"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
PROTOS = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("nodeapi/v*/*.proto"))
ENDINGS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


def generate(protos: list[str], source: Path, out: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}"]
    outputs = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    subprocess.run([*command, *outputs, *protos], check=True, cwd=source, timeout=60)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stubs")
    generate(PROTOS, PROTO, out)
    return out


def different(source: Path, fresh: Path) -> list[str]:
    """The stubs that are missing, differ, or belong to no .proto file."""
    made = {path.relative_to(fresh).as_posix(): path.read_bytes() for path in stubs(fresh)}
    kept = {path.relative_to(source).as_posix(): path.read_bytes() for path in stubs(source)}
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


def stubs(folder: Path) -> list[Path]:
    return [path for path in folder.glob("nodeapi/v*/*") if path.name.endswith(ENDINGS)]


def test_there_are_protos() -> None:
    assert PROTOS


def test_committed_stubs_equal_fresh_ones(fresh: Path) -> None:
    assert different(PROTO, fresh) == [], "run make proto and commit the result"


def test_a_changed_proto_is_noticed(fresh: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "nodeapi/v1").mkdir(parents=True)
    (source / "nodeapi/v1/small.proto").write_text(
        'syntax = "proto3";\npackage nodeapi.v1;\nmessage Small { string name = 1; }\n'
    )
    out = tmp_path / "out"
    out.mkdir()
    generate(["nodeapi/v1/small.proto"], source, out)
    assert different(out, out) == []
    assert "nodeapi/v1/small_pb2.py" in different(fresh, out)
    assert "nodeapi/v1/control_pb2.py" in different(fresh, out)
