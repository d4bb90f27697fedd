"""`qdeploy export --target c`: the package tests itself; what cannot be is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.cli.main import qdeploy, run


def exported(folder: Path, **more: object) -> Path:
    path = SmallNetwork().save(folder / "small.onnx")
    options = Options(path, target="c", frames=24, input="uint8:1/256", **more)  # type: ignore[arg-type]
    result = build(options, folder / "build")
    assert result.failure is None
    return result.folder


def make(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=package, capture_output=True, text=True, check=False
    )


def test_the_package_tests_itself_and_the_build_verifies_again(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    record = json.loads((folder / "verify.json").read_text())
    rungs = {one["name"]: one for one in record["rungs"]}
    assert (rungs["c"]["frames"], rungs["c"]["mismatches"]) == (24, 0)
    assert rungs["c"]["codes"] > 0
    again = verify(folder, package=True)
    assert again.failure is None
    done = make(folder / "package", "test")
    assert done.returncode == 0, done.stderr
    assert "16 golden frames, no difference" in done.stdout
    assert verify(folder, package=True, skip=("qonnx", "int")).failure is None


def test_a_changed_weight_fails_rung_and_self_test(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    for place in ("c", "package"):
        path = folder / place / "weights.c"
        head, rest = path.read_text().split("const uint8_t network_weights_0", 1)
        first = rest.split("{\n", 1)[1].split(",")[0].strip()
        path.write_text(f"{head}const uint8_t network_weights_0{rest.replace(first, '17', 1)}")
    found = verify(folder, skip=("qonnx", "int"))
    assert found.failure is not None and "weights.c" in str(found.failure)
    done = make(folder / "package", "test")
    assert done.returncode != 0
    assert "golden frame" in done.stdout


def test_two_networks_live_in_one_program(tmp_path: Path) -> None:
    packages = []
    for prefix in ("first", "second"):
        (tmp_path / prefix).mkdir()
        packages.append(exported(tmp_path / prefix, prefix=prefix) / "package")
    objects = []
    for package in packages:
        done = make(package, "objects")
        assert done.returncode == 0, done.stderr
        objects += [str(path) for path in (package / "build").glob("*.o")]
    (tmp_path / "main.c").write_text(
        '#include "first/build/package/golden.h"\n#include "second/build/package/golden.h"\n'
        "static FIRST_ARENA(one);\nstatic SECOND_ARENA(two);\n"
        "int main(void) { return first_selftest(one) + second_selftest(two); }\n"
    )
    program = tmp_path / "both"
    command = ["gcc", "-I", str(tmp_path), str(tmp_path / "main.c"), *objects, "-o", str(program)]
    subprocess.run(command, check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


ARDUINO = """
#include <cstdio>
#include <cstdint>
static struct {
    void begin(long) {}
    void println(const char *text) { puts(text); }
    void println(unsigned long number) { printf("%lu\\n", number); }
} Serial;
static unsigned long micros() { return 0; }
static void delay(int) {}
"""


def test_the_sketch_of_the_arduino_library_runs_the_class_of_cpp(tmp_path: Path) -> None:
    """With g++ and as much of Arduino as the sketch calls: the root is the library's folder."""
    package = exported(tmp_path, prefix="digits") / "package"
    assert "includes=digits.hpp" in (package / "library.properties").read_text()
    library = sorted(path.name for path in package.glob("*.c"))
    assert library == [
        *("golden.c", "golden_layers.c", "network.c", "network_io.c", "weights.c"),
    ], "no main"
    (tmp_path / "arduino.h").write_text(ARDUINO)
    (tmp_path / "board.cpp").write_text(
        '#include "arduino.h"\n#include "build/package/examples/selftest/selftest.ino"\n'
        "int main() {\n    setup();\n    loop();\n    return 0;\n}\n"
    )
    assert make(package, "objects").returncode == 0
    objects = [str(path) for path in (package / "build").glob("*.o")]
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
    command = ["g++", "-std=c++11", *warnings, "-I", str(package), str(tmp_path / "board.cpp")]
    subprocess.run([*command, *objects, "-o", str(tmp_path / "board")], check=True)
    done = subprocess.run([tmp_path / "board"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["golden frames: no difference", "0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mcu", "cortex-m5"), "there is no core `cortex-m5`; did you mean `cortex-m"),
        (("--prefix", "2nd"), "names in C cannot begin with `2nd`"),
        (("--prefix", "static"), "names in C cannot begin with `static`"),
        (("--optimize", "rom"), "nothing is optimized for `rom`; did you mean `ram`"),
        (("--flash", "20"), "weights, thresholds and biases take"),
        (("--ram", "20"), "the arena takes 724 bytes, --ram is 20"),
        (("--fps", "100"), "the target `c` has no use for --fps"),
        (("--board", "pynq-z2"), "the target `c` has no use for --board"),
        (("--require", "rtl"), "rung `rtl` is required, and the target does not have it"),
    ],
)
def test_what_cannot_be_is_refused(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SmallNetwork().save(tmp_path / "small.onnx")
    out = tmp_path / "out"
    words = ["export", str(path), "--target", "c", "--out", str(out), *options]
    assert run(qdeploy, words) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_build_for_little_memory_verifies_again_and_simulates(tmp_path: Path) -> None:
    folder = exported(tmp_path, optimize="ram")
    assert json.loads((folder / "c" / "plan.json").read_text())["optimize"] == "ram"
    assert verify(folder, skip=("qonnx", "int")).failure is None
    done = make(folder / "package", "test")
    assert done.returncode == 0, done.stderr


def test_what_a_core_was_seen_to_take_is_within_budgets_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SmallNetwork().save(tmp_path / "small.onnx")
    words = ["export", str(path), "--target", "c", "--mcu", "cortex-m0plus", "--frames", "4"]
    skip = ["--skip", "qonnx", "--skip", "int", "--skip", "c"]
    for option, said in (
        (("--flash", "2000"), "code and constants take"),
        (("--ram", "800"), "arena, input, result and stack take"),
    ):
        assert run(qdeploy, [*words, *skip, "--out", str(tmp_path / option[0]), *option]) == 2
        error = capsys.readouterr().err
        assert f"{said} " in error and "bytes on cortex-m0plus" in error


def test_golden_frames_are_fewer_where_they_do_not_fit(tmp_path: Path) -> None:
    plan = json.loads((exported(tmp_path) / "c" / "plan.json").read_text())
    (tmp_path / "less").mkdir()
    folder = exported(tmp_path / "less", max_flash=plan["constants"] + 300)
    bundle = json.loads((folder / "package" / "bundle.json").read_text())
    assert 1 <= bundle["golden_frames"] < 16
    assert make(folder / "package", "test").returncode == 0


def test_other_targets_have_no_use_for_a_core(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SmallNetwork().save(tmp_path / "small.onnx")
    assert run(qdeploy, ["export", str(path), "--mcu", "cortex-m4"]) == 2
    assert "the target `pynq` has no use for --mcu" in capsys.readouterr().err
