import pytest

from distrain.track.links import Pages, with_links
from distrain.track.markdown import code, plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one | two\n  three", "one \\| two three"),
        ("a_b *c* `d` \\e", "a\\_b \\*c\\* \\`d\\` \\\\e"),
        ("~~gone~~", "\\~\\~gone\\~\\~"),
        ("[x](http://y)", "\\[x\\](http://y)"),
        ("<b>5 < 6</b>", "&lt;b>5 &lt; 6&lt;/b>"),
    ],
)
def test_no_sign_of_a_text_means_anything(text: str, told: str) -> None:
    assert plain(text) == told


def test_a_text_is_cut_before_its_signs_are_escaped() -> None:
    assert plain("ab_cd", 3) == "ab\\_"


def test_code_is_ended_by_no_backtick_of_its_own() -> None:
    assert code("run `a_b`\n  <x>") == "`run 'a_b' <x>`"


@pytest.mark.parametrize("what", ["trial/3", "trial/x", "run"])
def test_a_link_in_a_text_of_others_is_filled_in_by_nobody(what: str) -> None:
    told = plain(f"[here](distrain:{what})")

    assert with_links(told, Pages("7", "abc", "a/b", {3: "def"})) == told
