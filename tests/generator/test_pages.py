"""What a look at a page sees, with and without parsing it."""

import pytest

from leangen.generator.pages import Page, page_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("leangen: 1\nname: tiny # its folder\nmodel: {}\n", Page("tiny", "")),
        ("leangen: 1\r\nname: tiny\r\n", Page("tiny", "")),
        ("leangen: 1\nname: 'tiny'\n", Page("tiny", "")),
        ("leangen: 1\nname: tiny\ntemplates: mine\n", Page("tiny", "mine")),
        ("{leangen: 1, name: tiny, templates: mine}\n", Page("tiny", "mine")),
        ("leangen: 1\nmodel: {name: other}\n", Page("", "")),
        ("leangen: 1\nname: a\nname: [\n", Page("", "")),
        ("name: tiny\nof: leangen\n", None),
        ("name: tiny\n", None),
    ],
)
def test_a_page_is_known_by_its_name_and_its_templates(
    text: str, found: Page | None
) -> None:
    assert page_in(text.encode()) == found
