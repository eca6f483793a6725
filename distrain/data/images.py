"""Encoded images (PNG, JPEG and the like) as pixels of one shape: channels, height, width."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.reading import Reading, Shape
from distrain.data.sniff import HEAD_BYTES, check_fetched
from distrain.errors import DataError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS: Final = 2**26
"""Few bytes may unpack to any number of pixels; more than these are refused unread."""
_FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_GREY_MODES: Final = ("1", "L", "LA", "La")
_COLOURED_MODES: Final = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

Pixels = npt.NDArray[np.uint8]


def is_encoded(kind: pa.DataType) -> bool:
    """Return whether an Arrow type may hold image files: bytes, or a struct with `bytes`."""
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and is_encoded(kind.field(place).type)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def encoded_values(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the bytes of each row of a column for which `is_encoded` holds."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    return pa.compute.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values


def image_shape(content: bytes, where: str, reading: Reading) -> Shape | None:
    """Return the shape of an image, None where the bytes are none.

    Args:
        content: an image file's bytes.
        where: its place, for messages.
        reading: which size and channels are asked for.

    Raises:
        DataError: the image has more pixels than are read.
    """
    try:
        with _opened(content, where) as image:
            height, width = reading.image_size or (image.height, image.width)
            channels = reading.image_channels or _channels_of(image, where)
            return channels, height, width
    except _Undecodable:
        return None


def decoded(
    contents: Sequence[bytes | None], shape: Shape, reading: Reading, where: Callable[[int], str]
) -> pa.FixedSizeListArray:
    """Return the pixels of images, channels first, as lists of one length.

    Args:
        contents: image files' bytes.
        shape: channels, height and width.
        reading: whether other sizes and colours are brought to that shape.
        where: names the place of an image, for messages.

    Raises:
        DataError: one cannot be decoded, or has another shape.
    """
    pixels = np.empty((len(contents), *shape), dtype=np.uint8)
    for place, content in enumerate(contents):
        if content is None:
            raise DataError(
                "there is no image",
                where=where(place),
                expected="an image in every row",
                mend="Leave the row out.",
            )
        try:
            pixels[place] = _pixels(content, shape, reading, where(place))
        except _Undecodable as fault:
            check_fetched(content[:HEAD_BYTES], where(place))
            raise DataError(
                f"the image cannot be decoded ({first_line(fault)})",
                where=where(place),
                expected=f"a whole image: {', '.join(_FORMATS)}",
                mend="Fetch the file again, or take it out of the source.",
            ) from fault
    flat = pa.array(pixels.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape, dtype=np.int64)))


class _Undecodable(Exception):  # noqa: N818 (told with the place by the caller)
    """Bytes are no image, or not a whole one."""


@contextmanager
def _opened(content: bytes, where: str) -> Iterator["Image"]:
    from PIL import Image, UnidentifiedImageError

    faults = (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images and odd headers: both are told here
        try:
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
        except Image.DecompressionBombError as fault:
            raise _too_large(str(fault), where) from fault
        except faults as fault:
            raise _Undecodable(first_line(fault)) from fault
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(f"{image.width:,} x {image.height:,} pixels", where)
            try:
                yield image
            except faults as fault:
                raise _Undecodable(first_line(fault)) from fault


def _pixels(content: bytes, shape: Shape, reading: Reading, where: str) -> Pixels:
    channels, height, width = shape
    with _opened(content, where) as image:
        found = _channels_of(image, where)
        if found > channels and reading.image_channels is None:
            raise _differs(f"{found} channels", f"{channels}, as the first image has", where)
        if (image.height, image.width) != (height, width) and reading.image_size is None:
            raise _differs(
                f"height {image.height} and width {image.width}",
                f"{height} and {width}, as the first image has",
                where,
            )
        plain = image.convert("L" if channels == 1 else "RGB")
        if (plain.height, plain.width) != (height, width):
            from PIL import Image

            plain = plain.resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(plain, dtype=np.uint8).reshape(height, width, channels)
    return values.transpose(2, 0, 1)


def _channels_of(image: "Image", where: str) -> int:
    if image.mode in _GREY_MODES:
        return 1
    if image.mode in _COLOURED_MODES:
        return 3
    raise DataError(
        f"the image has pixels of the kind {image.mode}",
        where=where,
        expected="8 bits for each channel: grey, or colours",
        mend="Convert the images to 8 bits.",
    )


def _too_large(what: str, where: str) -> DataError:
    return DataError(
        f"the image is too large ({what})",
        where=where,
        expected=f"at most {MAX_PIXELS:,} pixels",
        mend="Make the images smaller before they are read.",
    )


def _differs(what: str, expected: str, where: str) -> DataError:
    key = "channels: 1" if "channels" in what else "size: [height, width]"
    return DataError(
        f"the image has {what}",
        where=where,
        expected=expected,
        mend=f"Bring the images to one shape, or set data.read.{key}.",
    )
