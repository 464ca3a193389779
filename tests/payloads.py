"""A hundred payloads: markup, terminal escapes, formulas, and what else some reader obeys."""

import numpy as np
import polars as pl

MARKUP = [
    payload.replace("!", "window.ran=1")
    for payload in (
        *("<script>!</script>", "</script><script>!</script>", "<ScRiPt>!</sCrIpT>"),
        *("<img src=x onerror=!>", '"><img src=x onerror=!>', "'><img src=x onerror=!>"),
        *(
            "<svg onload=!>",
            "<svg><script>!</script></svg>",
            "<body onload=!>",
            "<b onmouseover=!>b",
        ),
        *("<iframe srcdoc='<script>parent.!</script>'>", "<iframe src=javascript:parent.!>"),
        *("<a href=javascript:!>a</a>", "javascript:!", "data:text/html,<script>!</script>"),
        *("<details open ontoggle=!>", "<input autofocus onfocus=!>", "<video><source onerror=!>"),
        *("<math><mi xlink:href=javascript:!>", "<style>@import'javascript:!'</style>", "<!--"),
        *("-->", "]]>", "<![CDATA[<script>!</script>]]>", "\"onmouseover='!'", "'onfocus=!'"),
        *("&lt;script&gt;!&lt;/script&gt;", "\\u003cscript\\u003e!\\u003c/script\\u003e", "`${!}`"),
        *(
            "';!;'",
            '";!;"',
            "\u2028!\u2029",
            "</style><script>!</script>",
            "</title><svg onload=!>",
        ),
        *("</textarea><script>!</script>", "<meta http-equiv=refresh content='0;javascript:!'>"),
    )
]
ESCAPES = [
    *(
        "\x1b[31mred",
        "\x1b[2J",
        "\x1b[H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    ),
    *(
        "\x1b]52;c;cm0=\x07",
        "\x1b[6n",
        "\x1b[21t",
        "\x1bc",
        "\x1b(0",
        "\x9b31m",
        "\x9d0;t\x9c",
        "\x90q\x9c",
    ),
    *(
        "\x07",
        "\x08\x08\x08",
        "a\rb",
        "a\r\nb",
        "a\nb",
        "a\tb",
        "\x0b",
        "\x0c",
        "\x0e",
        "\x0f",
        "\x7f",
    ),
    *(
        "\x1b[?1049h",
        "\x1b[1000A",
        "\x1b[999C",
        "\x1b_G\x1b\\",
        "\x1bP\x1b\\",
        "\x01",
        "\x1a",
        "\x85",
    ),
    *("\u202eevil", "\u2066a\u2069", "\u200e", "\ufeffa"),
]
FORMULAS = [
    *("=1+1", "=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(1)", '=HYPERLINK("http://x","y")'),
    *('=IMPORTXML("http://x","//a")', "\t=1+1", " =1+1", '=DDE("a";"b")'),
]
OTHERS = [
    *(
        "[bold red]x[/]",
        "[/]",
        "[link=http://x]y[/link]",
        "[",
        "]",
        "\\[",
        "{{ 7 * 7 }}",
        "{% raw %}",
    ),
    *(
        "{0}",
        "%s%n",
        "$(id)",
        "`id`",
        "; id",
        "../../x",
        "'; drop table t; --",
        "__class__",
        "\\",
        "\"'",
    ),
]
PAYLOADS = [*MARKUP, *ESCAPES, *FORMULAS, *OTHERS]
assert len(set(PAYLOADS)) >= 100

ROWS = 120


def payload_table(seed: int) -> pl.DataFrame:
    """Return rows whose columns have all payloads for names, and all for values."""
    rng = np.random.default_rng(seed)
    # Constant but for a few: a wide model would take its time.
    table = {name: np.full(ROWS, float(seed)) for name in PAYLOADS if name.strip()}
    table |= {name: rng.normal(size=ROWS) for name in list(table)[::40]}
    for first in range(0, len(PAYLOADS), 20):
        some = PAYLOADS[first : first + 20]
        table[f"text {first}"] = [some[place] for place in rng.integers(0, len(some), ROWS)]
    return pl.DataFrame(table | {"key": [f"{row}{PAYLOADS[row % 100]}" for row in range(ROWS)]})
