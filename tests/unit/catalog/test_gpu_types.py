"""Tables of GPU types: raybench's own, and a site's."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.catalog.gpu_types import TABLE, GpuTypes, gpu_types
from raybench.catalog.hardware import GPUS, Hardware, canonical_label, label_of
from raybench.errors import SpecError

HEADER = TABLE.read_text(encoding="utf-8").splitlines()[0]
RX = "RX,RX 4$,6.1,1.5,,,,20,a quotation"


def site(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "site.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


with TABLE.open(newline="", encoding="utf-8") as _file:
    ROWS = list(csv.DictReader(_file))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['label']} {row['device_name']}")
def test_every_row(row: dict[str, str]) -> None:
    gpu = GPUS[row["label"]]
    (sheet,) = (sheet for sheet in gpu.datasheets if sheet.device_name == row["device_name"])
    assert canonical_label(row["label"].lower()) == row["label"]
    assert re.fullmatch(r"[A-Za-z0-9]+", row["label"])
    assert row["source"]
    older = gpu.compute_capability < (8, 0)
    assert not (older and (sheet.tf32_tflops or sheet.bf16_tflops))
    assert sheet.bf16_tflops is None or sheet.bf16_tflops == sheet.fp16_tflops


def test_a_row_is_found_in_one_place() -> None:
    assert len({(row["label"], row["device_name"]) for row in ROWS}) == len(ROWS)


def test_a_sites_own_rows_hold_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_its_own = "A100,A100-SXM4-40GB-liquid,8.0,20.5,,,,1600,our vendor"
    table = site(tmp_path, RX, of_its_own)
    monkeypatch.setenv("RAYBENCH_HARDWARE", str(table))
    types = GpuTypes()
    assert types["RX"].datasheet("Voodoo RX 4").memory_gb_per_s == 20
    assert types["A100"].datasheet("A100-SXM4-40GB-liquid").fp32_tflops == 20.5
    assert types["A100"].datasheet("A100-SXM4-40GB").fp32_tflops == 19.5
    assert [*types][:2] == ["RX", "A100"]
    assert gpu_types([site(tmp_path, RX.replace("RX,", "R-X_1.5,", 1))])["R-X_1.5"]
    assert set(types) == {"RX", *GPUS}
    assert types.spelling("rx") == "RX"


def test_the_variable_is_read_no_sooner_than_a_label_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(vars(GPUS), "_types", raising=False)
    monkeypatch.setenv("RAYBENCH_HARDWARE", str(site(tmp_path, RX)))
    assert label_of("Voodoo RX 4") == canonical_label("rx") == "RX"
    gpu = Hardware.parse("rx").gpu
    assert gpu is not None
    assert gpu.compute_capability == (6, 1)
    monkeypatch.delitem(vars(GPUS), "_types")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("RX,RX 4$,6.1,1.5,,,,20", "more or fewer cells"),
        (RX + ",more", "more or fewer cells"),
        (RX.replace("RX,", "R X,", 1), "label is 'R X'"),
        (RX.replace("RX,", "cpu:2,", 1), "label is 'cpu:2'"),
        (RX.replace("RX,", "GPU,", 1), "label is 'GPU'.*Ray has a resource"),
        (RX.replace("RX 4$", ""), "device_name is ''"),
        (RX.replace("RX 4$", "RX (4"), r"device_name is 'RX \(4'.*no regular expression"),
        (RX.replace("6.1", "6"), "capability is '6'"),
        (RX.replace("1.5", "fast"), "fp32 is 'fast'"),
        (RX.replace("20", "-20"), "memory is '-20'"),
        (RX.replace("1.5", "inf"), "fp32 is 'inf'"),
        (RX.replace("RX,", "A100,", 1), "A100 has another capability in .*hardware.csv"),
        (RX.replace("RX,", "a100,", 1), "'a100' is spelled 'A100' in .*hardware.csv"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(row: str, reason: str, tmp_path: Path) -> None:
    path = site(tmp_path, "K9,K9,3.5,,,,,,ours", row)
    with pytest.raises(SpecError, match=rf"{re.escape(str(path))}, line 3: .*{reason}"):
        gpu_types([path, TABLE])


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"line 1: .*not the columns(.|\n)*label,device_name"):
        gpu_types([site(tmp_path, RX, header="label,name")])
    with pytest.raises(SpecError, match=r"none\.csv.*No such file(.|\n)*RAYBENCH_HARDWARE"):
        gpu_types([tmp_path / "none.csv"])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"cannot read the GPU types of .*binary\.csv"):
        gpu_types([tmp_path / "binary.csv"])


@given(st.text(max_size=60) | st.text('AX,.10"$\n', max_size=60))
def test_any_row_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, row: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    try:
        assert all(label in row for label in gpu_types([path]))
    except SpecError as error:
        assert str(path) in str(error)  # noqa: PT017 - either is right
