"""Numbers and names as C99 source text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qdeploy.errors import UserError

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# Of C99 and C++17: a header serves both.
_WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl
const const_cast constexpr continue decltype default delete do double dynamic_cast else
enum explicit export extern false float for friend goto if inline int long main mutable
namespace new noexcept not not_eq nullptr operator or or_eq private protected public
register reinterpret_cast restrict return short signed sizeof static static_assert
static_cast struct switch template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq qd
"""
_RESERVED = frozenset(_WORDS.split())
_LINE = 96


def check_prefix(prefix: str) -> None:
    """Whether names in C can begin so.

    Raises:
        UserError: it is no identifier, or C or a kernel has the name already.
    """
    if not _IDENTIFIER.fullmatch(prefix) or prefix in _RESERVED or prefix.startswith("qd_"):
        raise UserError(
            f"names in C cannot begin with `{prefix}`",
            where="--prefix",
            why="a letter, then letters, digits and underscores, no word of C or C++, not `qd_`",
            do="give another one, such as `network` or `digits`",
        )


def wide(value: int) -> str:
    """An int64_t constant."""
    return f"INT64_C({value})"


def array(c_type: str, name: str, values: Iterable[str]) -> str:
    """The definition of a constant array."""
    lines, line = [], "   "
    found = list(values)
    for value in found:
        if len(line) + len(value) + 2 > _LINE:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    body = "\n".join(lines)
    return f"const {c_type} {name}[{len(found)}] = {{\n{body}\n}};\n"


def structure(c_type: str, name: str, fields: Sequence[tuple[str, object]]) -> str:
    """The definition of a constant structure, by name of each field; zeros are left out."""
    body = "\n".join(f"    .{key} = {value}," for key, value in fields if value not in (0, "0"))
    return f"static const {c_type} {name} = {{\n{body}\n}};\n"


def comment_word(text: str) -> str:
    """A name of the network's inside a comment, whatever is in it."""
    plain = "".join(one if one.isascii() and one.isprintable() else "?" for one in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "? ?")
