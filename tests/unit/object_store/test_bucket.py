"""Objects as they are asked for."""

from distrain.object_store.bucket import Bucket, temporary_place
from distrain.object_store.place import Place


def test_what_lies_at_a_temporary_place_is_gone_afterwards_and_nothing_else(run: Place) -> None:
    Bucket(run).put("kept", b"")
    with temporary_place(run, "changed") as below:
        Bucket(below).put("0123/manifest.json", b"{}")
        assert below.name.startswith(".changed-")
        assert len(Bucket(run).entries("")) == 2

    assert [entry.name for entry in Bucket(run).entries("")] == ["kept"]
