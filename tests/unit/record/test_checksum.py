from __future__ import annotations

import json

from records import make_record

from raybench.record.checksum import checksum, fits_checksum, with_checksum


def test_a_checksum_holds_for_the_content_however_it_is_laid_out() -> None:
    content = with_checksum(make_record())
    assert fits_checksum(content)
    found = json.loads(content)
    assert len(found["checksum"]) == 64
    assert fits_checksum(json.dumps(found, sort_keys=True).encode())
    found["epochs"][0]["accuracy"] += 1e-12
    assert not fits_checksum(json.dumps(found).encode())


def test_a_record_without_one_is_taken_as_it_is() -> None:
    assert fits_checksum(b'{"a": 1}')
    assert fits_checksum(b'{"a": 1, "checksum": null}')


def test_the_checksum_is_what_it_says() -> None:
    """SHA-256 of compact JSON with sorted names, all in ASCII."""
    content = {"b": 1.5, "a": [1, "ü"], "checksum": "x"}
    assert checksum(content) == "50961491693da4dcfecfd58104dc30b5515a0c1ed5145d47593bea792ce43bc3"
