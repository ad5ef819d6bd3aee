"""Texts that try to leave their box, for every place where a picture shows what somebody else wrote."""

from __future__ import annotations

LONG = "word" * 250_000

HOSTILE = [
    "</script><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "</title></svg></iframe><svg onload=alert(1)>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "javascript:alert(1)",
    "<a href=javascript:alert(1) style=position:fixed>a</a>",
    "&lt;b&gt; &amp;amp; \\u003cscript\\u003e",
    "{{ 7*7 }} ${alert(1)} `${1}` __proto__ constructor",
    "line\u2028and\u2029paragraph",
    "nul\x00 bell\x07 escape\x1b[31m delete\x7f c1\x9b",
    "\u202eright to left\u2066 isolate",
    "\ufeff\ufffe\uffff\ufdd0 noncharacters",
    "emoji 👩‍👩‍👧 and \U0001f468",
    LONG,
]
LONE_SURROGATES = "a \ud800 b\udfff"  # no encoding can hold them: they become U+FFFD
