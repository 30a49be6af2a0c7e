"""Pictures as PNG, where the extra `leangen[sweep]` is installed and there is a font."""

from collections.abc import Mapping

ZOOM = 2  # pixels a pixel, for sharp screens


def as_png(pictures: Mapping[str, str]) -> tuple[dict[str, bytes], str]:
    """Turn SVGs into PNGs; else say why there are none."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        return {}, "no PNG: pip install 'leangen[sweep]' brings what draws them"
    letter, nothing = (
        svg_to_bytes(svg_string=f'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">{x}</svg>')
        for x in ('<text y="15" font-family="sans-serif">M</text>', "")
    )
    if letter == nothing:
        return {}, "no PNG: there is no font here, as from Debian's fonts-dejavu-core"
    return {
        name: bytes(svg_to_bytes(svg_string=picture, zoom=ZOOM)) for name, picture in pictures.items()
    }, ""
