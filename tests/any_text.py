"""Text of any characters for property tests.

What `st.text()` draws from by itself is a table of UTF-8, which takes seconds to make in a fresh
checkout; without surrogates, these are the same characters.
"""

from hypothesis import strategies as st

ANY_CHARACTER = st.characters(exclude_categories=["Cs"])
