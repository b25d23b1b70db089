"""Reading a page: its elements, its text, and where each piece of text says that it comes from."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Elements(HTMLParser):
    """The elements of a page: tags with their attributes, the text outside scripts, and the scripts.

    headings: their tag and text. texts: every piece of text, with the data-source of the element around it.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str | None]] = []
        self._open: list[tuple[str, str | None]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            source = dict(attrs).get("data-source", self._open[-1][1] if self._open else None)
            self._open.append((tag, source))
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem != "style":
            self.text += data
            tag, source = self._open[-1] if self._open else ("", None)
            self.texts.append((data, source))
            if tag in ("h1", "h2", "h3"):
                self.headings.append((tag, data))
