"""What a manifest keeps of a streamed source."""

from typing import Any

from distrain.data.files import SourceFile
from distrain.data.reading import Piece, Unit
from distrain.data.recipe import Recipe


def test_a_recipe_is_kept_without_credentials_and_read_from_the_files_of_now() -> None:
    files = tuple(
        SourceFile(f"s3://key:secret@bucket/{name}.csv?secret_key=abc", 9, "1") for name in "ab"
    )
    pieces = tuple(Piece(file, number) for number, file in enumerate(files))
    nothing: Any = None
    recipe = Recipe(nothing, (Unit(0, pieces),), (), {}, None, {}, 16, ())

    kept = recipe.kept()

    uris = [file.uri for file in kept.listing]
    assert uris == [f"s3://***@bucket/{name}.csv?secret_key=***" for name in "ab"]
    assert kept.at(files) == recipe
